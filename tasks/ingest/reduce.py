"""Individual records reduced to codes with DuckDB, in bounded memory (the rest goes to a private folder).

Labels become numbers as they are read. IDs become 128-bit digests with a key that is gone with the process:
what is spilled to disk names nobody.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.settings import cores

MEMORY = "256MB"
MAX_DISTINCT = 100_000
ROW_BITS = 40


class TooManyValues(Exception):  # noqa: N818 - a finding, turned into a problem by the caller
    """A label column has so many different values that it cannot be what the request says it is."""


@dataclass
class Codes:
    """The distinct labels of one column, numbered in the order in which they were seen; None is missing."""

    labels: list[str | None] = field(default_factory=list)
    _numbers: dict[str | None, int] = field(default_factory=dict)

    def number(self, label: str | None) -> int:
        """The number of a label, a new one if it is new."""
        if label not in self._numbers:
            if len(self.labels) >= MAX_DISTINCT:
                raise TooManyValues
            self._numbers[label] = len(self.labels)
            self.labels.append(label)
        return self._numbers[label]

    def encode(self, array: Any) -> np.ndarray:
        """Numbers of a text array's values."""
        coded = pc.dictionary_encode(array, null_encoding="encode")
        numbers = [self.number(label) for label in coded.dictionary.to_pylist()]
        table: Any = np.asarray(numbers, dtype=np.int32)
        found: np.ndarray = table[coded.indices.to_numpy(zero_copy_only=False)]
        return found


class Records:
    """The records of one input as a DuckDB table: pos, id, n, bad, others, and a code for each label column.

    pos = file number * 2^40 + row number; n = deaths in the row; bad = the row's own numbers are not valid;
    others = digest of what the columns say that nobody named.
    """

    def __init__(self, label_columns: Sequence[str], *, has_ids: bool, memory: str = MEMORY) -> None:
        self.codes = {column: Codes() for column in label_columns}
        self.has_ids = has_ids
        self._memory = memory
        self._key = secrets.token_hex(16)
        self._folder = tempfile.TemporaryDirectory(prefix="vacal-ingest-")

    def __enter__(self) -> Records:
        self.db = duckdb.connect(
            f"{self._folder.name}/records.duckdb",
            config={
                "memory_limit": self._memory,
                "temp_directory": f"{self._folder.name}/spill",
                "threads": min(4, cores()),
                "preserve_insertion_order": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        labels = "".join(f", {column} INTEGER" for column in self.codes)
        self.db.execute(
            f"CREATE TABLE records (pos BIGINT, id UHUGEINT, n BIGINT, bad TINYINT, others UHUGEINT{labels})"
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.db.close()
        self._folder.cleanup()

    def add(
        self,
        file: int,
        rows: np.ndarray,
        labels: Mapping[str, Any],
        ids: Any | None = None,
        n: np.ndarray | None = None,
        bad: np.ndarray | None = None,
        others: Any | None = None,
    ) -> None:
        """Adds rows of one file; each label column is a text array, or one text (or None) for all rows."""
        count = len(rows)
        columns: dict[str, Any] = {
            "pos": (np.int64(file) << ROW_BITS) + rows,
            "id": pa.nulls(count, pa.string()) if ids is None else ids,
            "n": np.ones(count, dtype=np.int64) if n is None else n,
            "bad": np.zeros(count, dtype=np.int8) if bad is None else bad,
            "others": pa.nulls(count) if others is None else others,
        }
        for name, codes in self.codes.items():
            value = labels[name]
            if value is None or isinstance(value, str):
                columns[name] = np.full(count, codes.number(value), dtype=np.int32)
                continue
            try:
                columns[name] = codes.encode(value)
            except TooManyValues:
                raise TooManyValues(name) from None
        self._insert(pa.table(columns))

    def _insert(self, batch: pa.Table) -> None:
        names = ", ".join(self.codes)
        self.db.register("batch", batch)
        self.db.execute(
            f"INSERT INTO records SELECT pos, md5_number($key || id), n, bad, md5_number($key || others), "
            f"{names} FROM batch",
            {"key": self._key},
        )
        self.db.unregister("batch")

    def lookup(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[int | str | None]]) -> None:
        """A small table for queries: the meaning of codes (columns of codes are numbers, others text)."""
        values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
        is_code = {"code", "label", *self.codes} - ({"cause"} if name == "treatment" else set())
        arrays = [
            pa.array(column, pa.int32() if title in is_code else pa.string())
            for title, column in zip(columns, values, strict=True)
        ]
        self.db.register("given", pa.table(arrays, names=list(columns)))
        self.db.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM given")
        self.db.unregister("given")

    def query(self, sql: str) -> pa.Table:
        """The result of a query."""
        found: pa.Table = self.db.sql(sql).to_arrow_table()
        return found

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The result of a small query."""
        return list(self.db.execute(sql).fetchall())
