"""Requests in files: YAML or JSON, every problem at once, nothing taken twice."""

from __future__ import annotations

import json
import os.path
import re
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import InputError
from tasks.terms import show

_NAMED_SOURCES = re.compile(r"inventory|illustrative|champs-\d[\w.-]*(?<!\.parquet)")


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key that is given twice is an error, not a silent choice of the last."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    _refuse_repeats(keys, f"line {node.start_mark.line + 1}: ")
    return {
        loader.construct_object(k, deep=True): loader.construct_object(v, deep=True) for k, v in node.value
    }


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _refuse_repeats(keys: list[Any], where: str = "") -> None:
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise InputError(f"{where}{show(str(key))} is given more than once")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_repeats([key for key, _ in pairs])
    return dict(pairs)


def read_fields(path: str | Path) -> dict[str, Any]:
    """The fields of a request file as they stand; relative input addresses are made relative to where we are.

    Raises InputError if the file is not there, not YAML or JSON, or no map.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
        fields = (
            json.loads(text, object_pairs_hook=_pairs)
            if file.suffix == ".json"
            else yaml.load(text, _StrictLoader)
        )
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{file}: is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{file}: is not JSON (line {error.lineno}: {error.msg})") from None
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1}: {error.problem})" if error.problem_mark else ""
        raise InputError(f"{file}: is not YAML{line}") from None
    except InputError as error:
        raise InputError([f"{file}: {problem}" for problem in error.problems]) from None
    if not isinstance(fields, dict):
        raise InputError(f"{file}: must be a map of the request's fields, such as name: moz-2023")
    return _resolve(fields, file.parent)


def _resolve(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Addresses of what is read are relative to the request's file, so that both can be moved together."""
    fields = dict(fields)
    if isinstance(given := fields.get("input"), dict) and "uri" in given:
        fields["input"] = {**given, "uri": _beside(given["uri"], folder)}
    matrix = fields.get("matrix")
    if isinstance(matrix, dict) and not _NAMED_SOURCES.fullmatch(str(matrix.get("source", "inventory"))):
        fields["matrix"] = {**matrix, "source": _beside(matrix["source"], folder)}
    for name in ("roll_up_weights", "boundaries"):
        if fields.get(name) is not None:
            fields[name] = _beside(fields[name], folder)
    return fields


def _beside(uri: Any, folder: Path) -> Any:
    if isinstance(uri, list):
        return [_beside(one, folder) for one in uri]
    if isinstance(uri, dict):
        return {key: _beside(one, folder) for key, one in uri.items()}
    if not isinstance(uri, str) or not uri or "://" in uri:
        return uri
    if uri.startswith("~"):
        return str(Path(uri).expanduser())
    if Path(uri).is_absolute():
        return uri
    return os.path.normpath(folder / uri)
