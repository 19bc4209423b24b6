"""Reads a table's file in a stream: text columns by name, with the row numbers that a user sees.

Every table that users give is read here: records, counts, weights, matrices, files to convert. Nothing here
looks at what the values mean. No message holds a value; parsers' own messages, which do, are dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from tasks import storage
from tasks.errors import InputError
from tasks.sources.find import SourceFile, sha256_of
from tasks.sources.header import read_header, same_names
from tasks.sources.kinds import NOT_UTF8
from tasks.sources.missing import missing_as_null
from tasks.sources.parquet import nested_columns, open_parquet, parquet_batches, typed_columns
from tasks.sources.quotes import OPEN_QUOTE, Quotes
from tasks.sources.stream import Passing, Text, unpacked

HEADER_BYTES = 1 << 20
CSV_BLOCK = 16 << 20
EMPTY: Any = pa.scalar("")


@dataclass
class RowBatch:
    """Some rows of a file: their numbers as a user sees them, and columns by name (text, null = missing)."""

    rows: np.ndarray
    columns: dict[str, Any]


@dataclass
class FileReader:
    """A file. After the last batch, the fields from `bytes` on say what was read.

    columns: what its folders say (year=2023). typed: columns of numbers, not text. nested: columns of lists
    and the like, which cannot be read. odd_header: row 1 may not be the header. total: rows below the header.
    ragged: rows with more or fewer cells. blank: how many rows have nothing in any cell. swallowed: rows with
    a cell of several lines that look like rows.
    """

    source: SourceFile
    names: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    typed: frozenset[str] = frozenset()
    nested: frozenset[str] = frozenset()
    delimiter: str = ","
    odd_header: bool = False
    bytes: int = 0
    sha256: str = ""
    total: int = 0
    ragged: list[int] = field(default_factory=list)
    blank: int = 0
    swallowed: list[int] = field(default_factory=list)

    def read_header(self) -> None:
        """Fills the fields down to `odd_header`. Raises InputError if the file cannot be read at all."""
        with storage.errors(self.source.name), self.source.open() as file:
            if self.source.format == "parquet":
                schema = open_parquet(file, self.source.name).schema_arrow
                self.names, self.typed = list(schema.names), typed_columns(schema)
                self.nested = nested_columns(schema)
            else:
                with self._sound():
                    data = bytes(unpacked(file).read(HEADER_BYTES))
                header = read_header(data, self.source.name)
                self.names, self.delimiter = header.names, header.delimiter
                self.odd_header, self._line_end = header.odd, header.line_end
        own = {name: value for name, value in self.source.above.items() if not same_names(name, self.names)}
        self.columns = own | self.source.columns

    def batches(
        self, wanted: Sequence[str], named: Mapping[str, Collection[str]] | None = None
    ) -> Iterator[RowBatch]:
        """The wanted columns of every row, in the order of the file.

        named: by column, texts in lower case that are values although others would mean missing by them.
        """
        format, kept = self.source.format, named or {}
        for rows, cells in self.cells([self.names.index(name) for name in wanted]):
            pairs = zip(wanted, cells, strict=True)
            yield RowBatch(rows, {n: missing_as_null(array, format, kept.get(n, ())) for n, array in pairs})

    def cells(self, positions: Sequence[int]) -> Iterator[tuple[np.ndarray, list[Any]]]:
        """The columns at these positions as they are written, with the rows' numbers."""
        with storage.errors(self.source.name), self.source.open() as file:
            if self.source.format == "parquet":
                self.bytes, self.sha256 = sha256_of(file)
                file.seek(0)
                for rows, cells in parquet_batches(file, self.source.name, positions):
                    self.total += len(rows)
                    yield rows, cells
            else:
                yield from self._csv(file, positions)

    def _csv(self, file: Any, positions: Sequence[int]) -> Iterator[tuple[np.ndarray, list[Any]]]:
        quotes = Quotes(self.delimiter, len(self.names), self._line_end)
        stream = Passing(file)
        text = Text(unpacked(stream), quotes.feed)
        start = 2
        with self._sound(quotes):
            for batch in self._open_csv(text):
                rows = self._row_numbers(start, batch.num_rows)
                start = int(rows[-1]) + 1 if batch.num_rows else start
                self.total += batch.num_rows
                yield self._without_blank(batch, rows, positions)
                self._check(quotes)
            text.rest()
            stream.rest()
        quotes.end()
        self._check(quotes)
        self.total += len(self.ragged)
        self.bytes, self.sha256 = stream.size, stream.sha256
        self.swallowed = quotes.swallowed

    def _open_csv(self, text: Any) -> Any:
        keys = [str(index) for index in range(len(self.names))]
        return pa_csv.open_csv(
            text,
            read_options=pa_csv.ReadOptions(
                use_threads=False, column_names=keys, skip_rows_after_names=1, block_size=CSV_BLOCK
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=self.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=self._ragged,
            ),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(keys, pa.string())),
        )

    def _ragged(self, row: Any) -> Literal["skip"]:
        self.ragged.append(int(row.number))
        return "skip"

    def _row_numbers(self, start: int, count: int) -> np.ndarray:
        """Numbers of the next `count` whole rows, the ragged ones among them left out."""
        among = self.ragged[bisect_left(self.ragged, start) :]
        numbers = np.arange(start, start + count + len(among), dtype=np.int64)
        return np.setdiff1d(numbers, among, assume_unique=True)[:count] if among else numbers

    def _without_blank(
        self, batch: Any, rows: np.ndarray, positions: Sequence[int]
    ) -> tuple[np.ndarray, list[Any]]:
        """A row without anything in any cell is not a record."""
        kept = batch
        maybe: Any = pc.equal(batch.column(0), EMPTY)
        if pc.any(maybe).as_py():
            for index in range(1, batch.num_columns):
                maybe = pc.and_(maybe, pc.equal(batch.column(index), EMPTY))
            keep = pc.invert(maybe)
            self.blank += batch.num_rows - (pc.sum(keep).as_py() or 0)
            kept, rows = batch.filter(keep), rows[keep.to_numpy(zero_copy_only=False)]
        return rows, [kept.column(position) for position in positions]

    def _check(self, quotes: Quotes) -> None:
        if quotes.broken:
            raise InputError(f"{self.source.name}: {quotes.broken}")

    @contextmanager
    def _sound(self, quotes: Quotes | None = None) -> Iterator[None]:
        """Errors of the CSV parser and of gzip without their messages, which may hold parts of records."""
        try:
            yield
        except pa.ArrowInvalid as error:
            if quotes is not None:
                self._check(quotes)
            what = NOT_UTF8 if "UTF8" in str(error) else OPEN_QUOTE
            raise InputError(f"{self.source.name}: {what}") from None
        except OSError as error:
            if not ("zlib" in str(error) or "compressed" in str(error)):  # of the system, not of gzip
                raise
            raise InputError(f"{self.source.name}: the compressed data are damaged or cut off") from None


def inline_batches(counts: Mapping[str, Mapping[str, int]]) -> Iterator[RowBatch]:
    """Counts of a request as rows of the columns algorithm, cause and deaths; they have no row numbers."""
    cells = [
        (algorithm, cause, str(n)) for algorithm, causes in counts.items() for cause, n in causes.items()
    ]
    if not cells:
        return
    algorithm, cause, deaths = (pa.array(column, pa.string()) for column in zip(*cells, strict=True))
    columns = {"algorithm": algorithm, "cause": missing_as_null(cause), "deaths": deaths}
    yield RowBatch(np.zeros(len(cells), dtype=np.int64), columns)
