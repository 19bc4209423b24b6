"""A whole table in memory, for what is small: weights, matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tasks.errors import InputError
from tasks.sources.find import find_files
from tasks.sources.header import same_names
from tasks.sources.read import FileReader

SHOWN_ROWS = 5


@dataclass(frozen=True)
class Table:
    """Columns as text (null = missing) by the names under which they were looked for.

    rows: the rows' numbers as a user sees them. typed: columns of numbers, not text. others: names of the
    columns that nobody looked for.
    """

    columns: pa.Table
    rows: np.ndarray
    typed: frozenset[str]
    others: tuple[str, ...]


def read_table(uri: str, names: Sequence[str]) -> Table:
    """The columns of these names, as far as the file has them. Raises InputError where it cannot be read."""
    sources = find_files(uri)
    if len(sources) > 1:
        raise InputError(f"{uri}: is {len(sources)} files; give one")
    reader = FileReader(sources[0])
    reader.read_header()
    places = {name: same_names(name, reader.names) for name in names}
    if twice := [name for name, found in places.items() if len(found) > 1]:
        raise InputError(f"{uri}: there is more than one column {', '.join(twice)}")
    found = {name: own[0] for name, own in places.items() if own}
    batches = list(reader.batches(list(found.values()))) if found else []
    if reader.ragged:
        raise InputError(f"{uri}, {row_numbers(reader.ragged)}: more or fewer cells than row 1")
    empty = pa.schema([(name, pa.string()) for name in found]).empty_table()
    parts = [pa.table({name: batch.columns[own] for name, own in found.items()}) for batch in batches]
    return Table(
        columns=pa.concat_tables([empty, *parts]).combine_chunks(),
        rows=np.concatenate([np.zeros(0, np.int64), *(batch.rows for batch in batches)]),
        typed=frozenset(name for name, own in found.items() if own in reader.typed),
        others=tuple(name for name in reader.names if name and name not in found.values()),
    )


def row_numbers(rows: Sequence[int]) -> str:
    """The first rows in words: "row 3", "rows 3, 5 and 9 more"."""
    more = f" and {len(rows) - SHOWN_ROWS} more" if len(rows) > SHOWN_ROWS else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {', '.join(str(row) for row in rows[:SHOWN_ROWS])}{more}"
