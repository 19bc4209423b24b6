"""Requests in files: YAML or JSON, every problem at once, nothing taken twice."""

from __future__ import annotations

import json
import os.path
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import InputError
from tasks.request.addresses import with_addresses
from tasks.terms import show


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
    # Relative to the request's file, so that both can be moved together.
    return with_addresses(fields, lambda uri: _beside(uri, file.parent))


def _beside(uri: str, folder: Path) -> str:
    if "://" in uri:
        return uri
    if uri.startswith("~"):
        return str(Path(uri).expanduser())
    if Path(uri).is_absolute():
        return uri
    return os.path.normpath(folder / uri)
