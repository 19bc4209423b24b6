"""Tables of texts and numbers as every listing command prints them; nothing here loads pandas or a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flows.cli.terminal import Listing

RECORDS = ("algorithm", "disposition", "reason", "records")
"""Columns of the table `records` that are shown."""


def plain_table(columns: Iterable[str], rows: Iterable[Iterable[object]], title: str = "") -> Listing:
    """A table of texts and numbers (numbers to the right), as every listing command prints it."""
    cells = [list(row) for row in rows]
    heads = list(columns)
    numeric = [
        place
        for place in range(len(heads))
        if cells and all(isinstance(row[place], int | float) for row in cells)
    ]
    texts = (["-" if cell is None else str(cell) for cell in row] for row in cells)
    return Listing(heads, texts, title=title, numeric=numeric)


def dict_table(rows: Sequence[Mapping[str, object]], title: str = "") -> Listing:
    """`plain_table` of rows that are maps with the same keys; a list is shown with commas."""
    columns = list(rows[0]) if rows else []
    return plain_table(columns, ([_cell(row[column]) for column in columns] for row in rows), title)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def records_table(records: Iterable[Mapping[str, Any]]) -> Listing:
    """Where every record went: received = used + not fitted + excluded + rejected, by algorithm."""
    fates: Counter[tuple[str, str, str]] = Counter()
    received: Counter[str] = Counter()
    for row in records:
        fates[row["algorithm"], row["disposition"], row["reason"] or ""] += row["records"]
        received[row["algorithm"]] += row["records"]
    order = sorted(fates, key=lambda fate: (*fate[:2], not fate[2], fate[2]))
    rows = [[fate[0], *(text.replace("_", " ") for text in fate[1:]), f"{fates[fate]:,}"] for fate in order]
    bold = range(len(rows), len(rows) + len(received))
    rows += [[algorithm, "received", "", f"{received[algorithm]:,}"] for algorithm in sorted(received)]
    title = "\nRecords accounted for"
    return Listing(RECORDS, rows, title=title, title_style="bold", numeric=(3,), bold=bold)
