"""Which files an input's address means: a file, a pattern, or a folder with year=2023 style subfolders."""

from __future__ import annotations

import hashlib
import os.path
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote

from tasks import storage
from tasks.errors import InputError
from tasks.roots import require_all_allowed, require_allowed

BLOCK = 8 << 20
_ENDINGS = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet", ".pq": "parquet"}
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class SourceFile:
    """One file of the input: `name` is what users see, `columns` what its folders say (year=2023).

    above: what the last folders of its address itself say; they count where the file has no such column.
    """

    name: str
    path: str
    format: str
    algorithm: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    above: dict[str, str] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return not self.name.startswith("s3://")

    def open(self) -> Any:
        """The file's bytes, as a file to read and seek."""
        fs, _ = storage.filesystem(self.name)
        return fs.open(self.path, "rb", block_size=BLOCK)


Addresses = str | Sequence[str]
"""One address, or several: a file, a folder, or a pattern with *."""


def find_files(
    given: Addresses | Mapping[str, Addresses] | None, format: Literal["csv", "parquet"] | None = None
) -> list[SourceFile]:
    """The files at the addresses, by name; given by algorithm, each file knows its algorithm.

    `format`: of all files; None: from each file's ending. Raises InputError with every address that is wrong.
    """
    by_algorithm = given if isinstance(given, Mapping) else {None: given}
    problems: list[str] = []
    found: list[SourceFile] = []
    for algorithm, uris in by_algorithm.items():
        for uri in (uris,) if isinstance(uris, str) else uris or ():
            try:
                found += _expand(uri, algorithm, format)
            except InputError as error:
                problems += error.problems
    problems += _given_twice(found)
    if problems:
        raise InputError(problems)
    return sorted(found, key=lambda file: (file.algorithm or "", file.name))


def every_file(uri: str) -> list[tuple[str, str]]:
    """Name and path of every file at an address; in a folder also those that are hidden or put beside.

    `find_files` leaves these out, but they may hold records too. None where nothing is there.
    """
    return [(name, path) for name, path, _ in _at(uri)]


def _given_twice(found: Sequence[SourceFile]) -> Iterator[str]:
    """Files with several addresses: the same text, another way to write it, or a link."""
    by_place: dict[str, list[str]] = {}
    for file in found:
        by_place.setdefault(os.path.realpath(file.path) if file.is_local else file.path, []).append(file.name)
    for names in sorted(by_place.values()):
        if len(names) > 1:
            also = f", also as {', '.join(others)}" if (others := sorted(set(names) - {names[0]})) else ""
            yield f"{names[0]}: is given more than once{also}; each file is read once"


def _at(uri: str) -> list[tuple[str, str, str]]:
    """Name, path, and path below the address of every file at an address, by path."""
    fs, path = storage.filesystem(uri)
    require_allowed(uri, "input")
    if _is_pattern(uri):
        require_allowed(_before_pattern(uri) or ".", "input")
    root_uri, root = uri, path
    with storage.errors(uri):
        if fs.isfile(path):
            paths = [path]
        elif fs.isdir(path):
            paths = fs.find(path)
        else:
            root_uri, root = _before_pattern(uri), _before_pattern(path)
            paths = [p for p in fs.glob(path) if fs.isfile(p)] if _is_pattern(path) else []
    below = [(path, path.removeprefix(root)) for path in sorted(paths)]
    return [(root_uri + inside if inside else uri, path, inside) for path, inside in below]


def _expand(uri: str, algorithm: str | None, format: str | None) -> list[SourceFile]:
    found = [file for file in _at(uri) if _is_pattern(uri) or _is_data(file[2])]
    if not found:
        what = "no file fits this pattern" if _is_pattern(uri) else "there is no such file, or no file in it"
        raise InputError(f"{uri}: {what}")
    require_all_allowed(uri, [f"s3://{p}" if uri.startswith("s3://") else p for _, p, _ in found])
    files, problems = [], []
    for name, path, below in found:
        kind = format or _format(path)
        if kind is None:
            problems.append(_unknown_format(name))
        else:
            root = path.removesuffix(below)
            above = dict(_last_partitions(root if below else path.rpartition("/")[0]))
            files.append(SourceFile(name, path, kind, algorithm, dict(_partitions(below)), above))
    if problems:
        raise InputError(problems)
    return files


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _before_pattern(text: str) -> str:
    """The text up to the last '/' before the first sign of a pattern."""
    first = min((text.index(sign) for sign in "*?[" if sign in text), default=len(text))
    return text[: text.rfind("/", 0, first) + 1]


def _is_data(inside: str) -> bool:
    """Whether a file below the folder counts: not what other tools hide or put beside (_SUCCESS, .crc)."""
    return not any(part.startswith((".", "_")) for part in PurePosixPath(inside.strip("/")).parts)


def _format(path: str) -> str | None:
    return next((kind for ending, kind in _ENDINGS.items() if path.lower().endswith(ending)), None)


def _unknown_format(name: str) -> str:
    if name.lower().endswith((".xlsx", ".xls", ".ods")):
        return f"{name}: is a spreadsheet; save it as CSV UTF-8"
    return f"{name}: its ending is none of .csv, .csv.gz and .parquet; rename it, or set input.format"


def _partitions(path: str) -> Iterator[tuple[str, str]]:
    for part in PurePosixPath(path).parts[:-1]:
        key, sign, value = part.partition("=")
        if sign and key:
            yield key, "" if value == _HIVE_NULL else unquote(value)


def _last_partitions(folder: str) -> Iterator[tuple[str, str]]:
    """Those of the last folders of a path: of home/run=1/deaths/year=2023, the year."""
    last = list(takewhile(lambda part: "=" in part, reversed(PurePosixPath(folder).parts)))
    yield from _partitions("/".join([*reversed(last), "file"]))


def sha256_of(file: Any) -> tuple[int, str]:
    """Number of bytes and SHA-256 of an open file, read to its end."""
    digest, size = hashlib.sha256(), 0
    while block := file.read(BLOCK):
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()
