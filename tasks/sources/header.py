"""The first row of a CSV file: names of the columns, and the delimiter that divides them."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from tasks.errors import InputError
from tasks.sources.kinds import NOT_UTF8, other_kind
from tasks.sources.quotes import BOM, OPEN_QUOTE

DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Header:
    """odd: row 1 has one name, or another number of cells than row 2: it may not be the header."""

    names: list[str]
    delimiter: str
    line_end: bytes
    odd: bool


def read_header(data: bytes, name: str) -> Header:
    """The header in the first bytes of a file. Raises InputError if they are not the beginning of a table."""
    if what := other_kind(data):
        raise InputError(f"{name}: {what}")
    text = data.removeprefix(BOM).decode("utf-8", errors="surrogateescape")
    lines = text.splitlines()
    if not lines or not lines[0].strip():
        raise InputError(f"{name}: is empty; its first row must hold the names of the columns")
    found = {sign: rows for sign in DELIMITERS if (rows := _first_rows(text, sign))}
    if not found:
        raise InputError(f"{name}: row 1: {OPEN_QUOTE}")
    delimiter = max(found, key=lambda sign: len(found[sign][0]))
    names, *second = found[delimiter]
    if any("\udc80" <= sign <= "\udcff" for one in names for sign in one):
        raise InputError(f"{name}: {NOT_UTF8}")
    names = [" ".join(one.split()) for one in names]
    odd = sum(map(bool, names)) < 2 or any(row and len(row) != len(names) for row in second)
    return Header(names, delimiter, b"\n" if b"\n" in data else b"\r", odd)


def _first_rows(text: str, delimiter: str) -> list[list[str]]:
    """Row 1, and row 2 if there is one; empty where the quotation marks of row 1 do not fit the delimiter."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        first = next(rows)
    except (csv.Error, StopIteration):
        return []
    try:
        return [first, *islice(rows, 1)]
    except csv.Error:
        return [first]


def same_names(name: str, names: Iterable[str]) -> list[str]:
    """The names that are this one: as spelled, else without regard to case, spaces and Unicode form."""
    known = list(names)
    return [one for one in known if one == name] or [one for one in known if _form(one) == _form(name)]


def _form(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split()).casefold()
