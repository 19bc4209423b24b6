"""Rows of a table, looked up by key and read where they lie: a run may have hundreds of thousands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.results import split_flags
from tasks.verdict import TOO_NARROW


class Row(Mapping[str, Any]):
    """One row: each cell is made when it is asked for, a missing value is None."""

    __slots__ = ("_columns", "_place")

    def __init__(self, columns: Mapping[str, pa.Array[Any]], place: int) -> None:
        self._columns = columns
        self._place = place

    def __getitem__(self, name: str) -> Any:
        return self._columns[name][self._place].as_py()

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class Rows:
    """The rows of an Arrow table by key. A text that comes again and again is held once.

    `key`: text columns without missing values. Rows of one key keep their order.
    """

    def __init__(self, table: pa.Table, key: Sequence[str]) -> None:
        self._columns = {name: _compact(table[name]) for name in table.column_names}
        self.table = pa.table(self._columns)
        codes = [self._columns[name].indices.to_numpy() for name in key]
        self._places = np.lexsort(codes[::-1])
        ordered = [code[self._places] for code in codes]
        starts = np.flatnonzero(np.any([np.diff(code, prepend=-1) != 0 for code in ordered], axis=0))
        self._ends = np.append(starts, len(self._places))
        texts = [self._columns[name].dictionary.to_pylist() for name in key]
        keys = ([text[n] for n in code[starts]] for text, code in zip(texts, ordered, strict=True))
        self._groups = {names: group for group, names in enumerate(zip(*keys, strict=True))}

    def of(self, *key: str) -> list[Row]:
        """The rows of a key; none if there is no such key."""
        group = self._groups.get(key)
        if group is None:
            return []
        places = self._places[self._ends[group] : self._ends[group + 1]]
        return [Row(self._columns, place) for place in places.tolist()]


def _compact(column: pa.ChunkedArray[Any]) -> Any:
    """The column as one array, texts as numbers of a dictionary."""
    if pa.types.is_string(column.type):
        column = column.dictionary_encode()
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return column.combine_chunks()


def trusts_interval(row: Mapping[str, Any]) -> bool:
    """Whether no flag of an estimate or a fit says that its interval is too narrow."""
    return TOO_NARROW.isdisjoint(split_flags(row.get("flags") or ""))
