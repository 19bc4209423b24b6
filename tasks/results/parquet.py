"""Parquet as this project writes it: the same rows make the same bytes, however they were dealt into parts.

Rows are dealt anew into row groups of a fixed size; the writer's settings are fixed; no Arrow schema and no
date is stored. The bytes still depend on pyarrow's version, which the manifest names.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.results import schema

ROW_GROUP = 65_536  # rows; about 1 MB of results: memory stays small and readers can skip
_SETTINGS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "version": "2.6",
    "data_page_version": "1.0",
}


def write(path: Path, parts: Iterable[pa.Table]) -> int:
    """Write tables of one schema as one file, holding one row group in memory; returns the number of rows.

    Raises ValueError if there is no part at all: without a schema there is no table.
    """
    writer, rows = None, 0
    try:
        for group in _row_groups(parts):
            writer = writer or pq.ParquetWriter(path, group.schema, store_schema=False, **_SETTINGS)
            writer.write_table(group, row_group_size=ROW_GROUP)
            rows += group.num_rows
            del group  # before the next one is made
    finally:
        if writer:
            writer.close()
    if writer is None:
        raise ValueError(f"no table to write to {path.name}")
    return rows


def to_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file in memory that keeps Arrow's types."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **_SETTINGS)
    return buffer.getvalue()


def from_bytes(
    data: bytes,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
    *,
    compact: bool = False,
) -> pa.Table:
    """The table of a Parquet file in memory, or those columns and rows of it; `compact`: texts by number."""
    schema = pq.read_schema(pa.BufferReader(data))
    texts = [field.name for field in schema if compact and pa.types.is_string(field.type)]
    return pq.read_table(
        pa.BufferReader(data), columns=columns and list(columns), filters=where, read_dictionary=texts
    )


def column_names(data: bytes) -> list[str]:
    """The columns of a Parquet file in memory."""
    return list(pq.read_schema(pa.BufferReader(data)).names)


def long_draws(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Compact draws (a list `values` in each row, the last column) as one row a draw."""
    for part in parts:
        for row in range(max(part.num_rows, 1)):  # an empty table tells the schema
            yield _expand(part.slice(row, 1))


def dataset_rows(csmf: pa.Table) -> pa.Table:
    """Rows of the table csmf as the dataset over all runs holds them: with the same columns for every run.

    `run` and `name` are in the path; the strata columns become one JSON text `strata`; of the quantiles only
    those that every run has are kept. So every reader can take many runs as one table.
    """
    fixed = [column.name for column in schema.columns("csmf") if column.name not in ("run", "name")]
    first = csmf.column_names.index("country") + 1
    strata_columns = csmf.column_names[first : csmf.column_names.index("inventory")]
    strata = [json.dumps(row, ensure_ascii=False) for row in csmf.select(strata_columns).to_pylist()]
    field = pa.field("strata", pa.string(), nullable=False)
    return csmf.select(fixed).add_column(fixed.index("country") + 1, field, pa.array(strata, pa.string()))


def _row_groups(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows of the parts, ROW_GROUP to a table, the last one shorter; an empty one if there are none."""
    waiting: list[pa.Table] = []
    count, given = 0, False
    for part in parts:
        waiting.append(part)
        count += part.num_rows
        del part
        while count >= ROW_GROUP:
            group, waiting = _first_group(waiting)
            yield group
            del group
            count, given = count - ROW_GROUP, True
    if waiting and (count or not given):
        yield _first_group(waiting)[0]


def _first_group(waiting: Sequence[pa.Table]) -> tuple[pa.Table, list[pa.Table]]:
    """The first row group of tables in a row as a table of its own, and what is left of them."""
    table = pa.concat_tables(waiting)
    return table.slice(0, ROW_GROUP).combine_chunks(), [table.slice(ROW_GROUP)]


def _expand(row: pa.Table) -> pa.Table:
    """All draws of one row of compact draws (none of an empty table)."""
    values = pc.list_flatten(row["values"])
    numbers = np.arange(1, len(values) + 1)
    long = row.drop_columns(["values"]).take(pa.array(numbers * 0))
    last = "cause" if "cause" in row.column_names else "va_cause"
    for place, name, column in ((1, "draw", pa.array(numbers)), (2, "value", values)):
        field = pa.field(name, column.type, nullable=False)
        long = long.add_column(row.column_names.index(last) + place, field, column)
    return long
