"""Tables of a run as CSV that spreadsheets open as they should: no formulas, and the caveats inside."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from tasks.errors import StateError
from tasks.results import Results
from tasks.storage import Storage

DEFAULT_TABLES = (
    "csmf",
    "strata",
    "records",
    "rollups",
    "contrasts",
    "common_fits",
    "checks",
    "joint_fits",
    "misfit",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a text cell that starts so would be run by a spreadsheet


def write_csv(
    results: Results, folder: str, tables: Sequence[str] | None = None, *, decimal_comma: bool = False
) -> list[str]:
    """Write tables as CSV to a local folder or s3:// URI; returns their addresses.

    `tables`: by default those of DEFAULT_TABLES that the run has. Every row keeps its run, inventory, flags
    and caveat. UTF-8 with byte order mark, lines end in CR LF, a missing value is an empty cell, a text
    that a spreadsheet would take for a formula gets an apostrophe in front. `decimal_comma`: semicolons
    between cells and commas in numbers, for spreadsheets set to French or Portuguese. Raises StateError for
    a table that is not there.
    """
    present = {Path(file["path"]).stem for file in results.manifest["files"]}
    wanted = [name for name in DEFAULT_TABLES if name in present] if tables is None else tables
    if missing := [name for name in wanted if name not in present]:
        has = ", ".join(sorted(present))
        raise StateError(f"run {results.manifest['run']} has no table {', '.join(missing)}; it has: {has}")
    target, written = Storage(folder), []
    with tempfile.TemporaryDirectory() as scratch:
        for name in wanted:
            path = Path(scratch) / f"{results.manifest['run']}-{name}.csv"
            with path.open("w", encoding="utf-8-sig", newline="") as file:
                _write_table(results.table(name), file, decimal_comma=decimal_comma)
            target.upload(path.name, path)
            written.append(target.uri(path.name))
    return written


def _write_table(table: pa.Table, file: TextIO, *, decimal_comma: bool) -> None:
    writer = csv.writer(file, delimiter=";" if decimal_comma else ",", lineterminator="\r\n")
    writer.writerow([safe_text(name) for name in table.column_names])
    for batch in table.to_batches(max_chunksize=10_000):
        columns = (_cells(column.to_pylist(), decimal_comma=decimal_comma) for column in batch.columns)
        writer.writerows(zip(*columns, strict=True))


def _cells(values: Iterable[Any], *, decimal_comma: bool) -> list[str]:
    return [_cell(value, decimal_comma=decimal_comma) for value in values]


def _cell(value: Any, *, decimal_comma: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    text = repr(value)
    return text.replace(".", ",") if decimal_comma else text


def safe_text(text: str) -> str:
    """A text that a spreadsheet takes for text: what begins like a formula gets an apostrophe in front."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
