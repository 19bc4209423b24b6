"""Writes simulated records in a stream: one file or folders such as year=2019, in CSV or Parquet."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

ROWS_IN_MEMORY = 2_000_000
"""Rows kept over all open files before they are written."""


class RecordFiles:
    """The files of one data set; used as a context, within which `add` takes the records block by block."""

    def __init__(self, out: Path, format: str, partition_by: tuple[str, ...], partitions: int) -> None:
        self.uri = f"records.{format}" if not partition_by else "records"
        self._out, self._format, self._by = out, format, partition_by
        self._keep = ROWS_IN_MEMORY // partitions
        self._waiting: dict[str, list[pa.Table]] = {}
        self._writers: dict[str, pq.ParquetWriter | pacsv.CSVWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for path in list(self._waiting):
                self._write(path)
        for writer in self._writers.values():
            writer.close()

    def add(self, records: pa.Table) -> None:
        """Take a block of records."""
        for path, part in self._parts(records, self.uri, self._by):
            self._waiting.setdefault(path, []).append(part)
            if sum(table.num_rows for table in self._waiting[path]) >= self._keep:
                self._write(path)

    def _parts(self, records: pa.Table, path: str, by: tuple[str, ...]) -> list[tuple[str, pa.Table]]:
        if not by:
            return [(path if path == self.uri and not self._by else f"{path}/part.{self._format}", records)]
        name, rest = by[0], by[1:]
        column = records[name].combine_chunks()
        parts = []
        for code, value in enumerate(column.dictionary.to_pylist()):
            part = records.filter(pc.equal(column.indices, code))
            if part.num_rows:
                folder = f"{path}/{name}={quote(str(value), safe='')}"
                parts += self._parts(part.drop_columns([name]), folder, rest)
        return parts

    def _write(self, path: str) -> None:
        tables = self._waiting.pop(path)
        table = pa.concat_tables(tables).unify_dictionaries()
        if self._format == "csv":
            plain = [
                pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type)
                for f in table.schema
            ]
            table = table.cast(pa.schema(plain))
        if path not in self._writers:
            file = self._out / path
            file.parent.mkdir(parents=True, exist_ok=True)
            make = pacsv.CSVWriter if self._format == "csv" else pq.ParquetWriter
            self._writers[path] = make(file, table.schema)
        self._writers[path].write_table(table)
