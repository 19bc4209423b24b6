"""Conversion of a file's causes to broad causes, row by row, for users who want the converted records."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from tasks.errors import InputError
from tasks.terms import CauseList

NEW_COLUMN = "broad_cause"
Found = tuple[str, str | None, str]
"""Label, broad cause or None, treatment."""


def convert_file(source: Path, target: Path, age_group: str, column: str) -> Counter[Found]:
    """Copy a CSV file with the column broad_cause added; counts records by (label, broad cause, treatment).

    Rows keep their order, so that a cause never moves to another record. Raises InputError where
    the file cannot be read, the column is missing, or the target is there already; nothing is written then.
    """
    causes = CauseList(age_group)
    found: Counter[Found] = Counter()
    try:
        with source.open(newline="", encoding="utf-8-sig") as read:
            rows = csv.reader(read)
            header = next(rows, [])
            _check(source, target, header, column)
            place = header.index(column)
            with target.open("x", newline="", encoding="utf-8") as written:
                writer = csv.writer(written)
                writer.writerow([*header, NEW_COLUMN])
                for row in rows:
                    match = causes.match(row[place] if place < len(row) else "")
                    found[(match.label or "", match.cause, match.treatment)] += 1
                    writer.writerow([*row, match.cause or ""])
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{source}: cannot be converted ({getattr(error, 'strerror', None) or error})"
        ) from None
    return found


def _check(source: Path, target: Path, header: list[str], column: str) -> None:
    if target.exists():
        raise InputError(f"{target}: is there already; give another name")
    if column not in header:
        raise InputError(
            f"{source}: has no column {column!r}; its columns are {', '.join(header) or '(none)'}"
        )
    if NEW_COLUMN in header:
        raise InputError(f"{source}: has a column {NEW_COLUMN} already")
