"""Conversion of a file's causes to broad causes, row by row, for users who want the converted records."""

from __future__ import annotations

import csv
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.errors import InputError, StorageError
from tasks.sources import FileReader, find_files, missing_as_null, row_numbers, same_names
from tasks.terms import CauseList, show

NEW_COLUMN = "broad_cause"
Found = tuple[str, str | None, str]
"""Label, broad cause or None, treatment."""


def convert_file(source: Path, target: Path, age_group: str, column: str) -> Counter[Found]:
    """Copy a table as CSV with a column broad_cause; counts records by (label, broad cause, treatment).

    The file is read as a run reads its input; its rows keep their order and its cells their text. The
    copy gets its name when it is whole. Raises InputError where the file cannot be read, the column is
    missing, rows have more or fewer cells than the header, or the target is there; nothing is written then.
    """
    if target.exists():
        raise InputError(f"{target}: is there already; give another name")
    reader = _opened(str(source))
    place = _place(reader, column)
    causes = CauseList(age_group)
    found: Counter[Found] = Counter()
    with _whole(target) as written:
        writer = csv.writer(written, delimiter=reader.delimiter)
        writer.writerow([*reader.names, NEW_COLUMN])
        for _, cells in reader.cells(range(len(reader.names))):
            labels = missing_as_null(cells[place], reader.source.format).to_pylist()
            matches = [causes.match(label) for label in labels]
            found.update((match.label, match.cause, match.treatment) for match in matches)
            rows = zip(
                *(_texts(cell) for cell in cells), (match.cause or "" for match in matches), strict=True
            )
            writer.writerows(rows)
        if reader.ragged:
            raise InputError(f"{source}, {row_numbers(reader.ragged)}: more or fewer cells than row 1")
    return found


def _opened(source: str) -> FileReader:
    files = find_files(source)
    if len(files) > 1:
        raise InputError(f"{source}: is {len(files)} files; give one")
    reader = FileReader(files[0])
    reader.read_header()
    return reader


def _place(reader: FileReader, column: str) -> int:
    name, names = reader.source.name, reader.names
    found = same_names(column, names)
    if not found:
        raise InputError(f"{name}: has no column {show(column)}; its columns are {', '.join(names)}")
    if len(found) > 1:
        raise InputError(f"{name}: has more than one column {show(column)}; rename the others")
    if same_names(NEW_COLUMN, names):
        raise InputError(f"{name}: has a column {NEW_COLUMN} already")
    return names.index(found[0])


def _texts(array: Any) -> list[str]:
    return ["" if text is None else text for text in array.to_pylist()]


@contextmanager
def _whole(target: Path) -> Iterator[Any]:
    """A file beside the target, which takes its name when it is whole, and is removed otherwise."""
    try:
        number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent or ".")
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({error.strerror})") from None
    part = Path(name)
    try:
        with os.fdopen(number, "w", newline="", encoding="utf-8") as file:
            yield file
        part.chmod(0o666 & ~_umask())
        part.replace(target)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
