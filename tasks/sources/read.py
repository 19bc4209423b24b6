"""Reads the input's files in a stream: text columns by their role, with the row numbers that a user sees.

Nothing here looks at what the values mean. No message holds a value; parsers' own messages, which do, are
dropped.
"""

from __future__ import annotations

import csv
import hashlib
import io
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from tasks import storage
from tasks.errors import InputError
from tasks.sources.find import BLOCK, SourceFile, sha256_of

HEADER_BYTES = 1 << 20
BATCH_ROWS = 1 << 18
CSV_BLOCK = 16 << 20
EMPTY: Any = pa.scalar("")
DELIMITERS = ",;\t"
NOT_UTF8 = "is not UTF-8 text; save it as CSV UTF-8"
OPEN_QUOTE = "a quotation mark is not closed, so that rows run into each other; correct the file"


@dataclass
class Batch:
    """Some rows of a file: their numbers as a user sees them, and columns by name (text, null = missing)."""

    rows: np.ndarray
    columns: dict[str, Any]


@dataclass
class FileReader:
    """One open file. After the last batch, `bytes`, `sha256`, `ragged` and `blank` say what was read.

    odd_header: row 1 has one name, or another number of cells than row 2: it may not be the header.
    """

    source: SourceFile
    names: list[str] = field(default_factory=list)
    bytes: int = 0
    sha256: str = ""
    ragged: list[int] = field(default_factory=list)
    blank: int = 0
    delimiter: str = ","
    odd_header: bool = False

    def read_header(self) -> None:
        """Fills `names`. Raises InputError if the file cannot be read at all."""
        with storage.errors(self.source.name), self.source.open() as file:
            if self.source.format == "parquet":
                self.names = list(_parquet(file, self.source.name).schema_arrow.names)
                return
            with _sound(self.source.name):
                text = _decompressed(file).read(HEADER_BYTES)
        self.names, self.delimiter = _header(bytes(text), self.source.name)
        self.odd_header = sum(map(bool, self.names)) < 2 or _of_another_length(bytes(text), self)

    def batches(self, wanted: Sequence[str]) -> Iterator[Batch]:
        """The wanted columns of every row, in the order of the file."""
        with storage.errors(self.source.name), self.source.open() as file:
            if self.source.format == "parquet":
                self.bytes, self.sha256 = sha256_of(file)
                file.seek(0)
                yield from self._parquet_batches(file, wanted)
            else:
                yield from self._csv_batches(file, wanted)

    def _parquet_batches(self, file: Any, wanted: Sequence[str]) -> Iterator[Batch]:
        start = 1
        try:
            for batch in _parquet(file, self.source.name).iter_batches(BATCH_ROWS, columns=list(wanted)):
                rows = np.arange(start, start + batch.num_rows, dtype=np.int64)
                start += batch.num_rows
                yield Batch(rows, {name: as_text(batch.column(name)) for name in wanted})
        except pa.ArrowException:
            raise InputError(f"{self.source.name}: cannot be read as Parquet; is it whole?") from None

    def _csv_batches(self, file: Any, wanted: Sequence[str]) -> Iterator[Batch]:
        stream = _Counting(file)
        text = _Counting(_decompressed(stream))
        start = 2
        with _sound(self.source.name):
            for batch in self._open_csv(text):
                rows = self._row_numbers(start, batch.num_rows)
                start = int(rows[-1]) + 1 if batch.num_rows else start
                yield self._without_blank(batch, rows, wanted)
            text.rest()
            stream.rest()
        if text.quotes % 2:
            raise InputError(f"{self.source.name}: {OPEN_QUOTE}")
        self.bytes, self.sha256 = stream.size, stream.digest.hexdigest()

    def _open_csv(self, text: Any) -> Any:
        keys = [str(index) for index in range(len(self.names))]
        return pa_csv.open_csv(
            text,
            read_options=pa_csv.ReadOptions(
                use_threads=False, column_names=keys, skip_rows=1, block_size=CSV_BLOCK
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

    def _without_blank(self, batch: Any, rows: np.ndarray, wanted: Sequence[str]) -> Batch:
        """A row without anything in any cell is no record."""
        kept = batch
        maybe: Any = pc.equal(batch.column(0), EMPTY)
        if pc.any(maybe).as_py():
            for index in range(1, batch.num_columns):
                maybe = pc.and_(maybe, pc.equal(batch.column(index), EMPTY))
            keep = pc.invert(maybe)
            self.blank += batch.num_rows - (pc.sum(keep).as_py() or 0)
            kept, rows = batch.filter(keep), rows[keep.to_numpy(zero_copy_only=False)]
        position = {name: index for index, name in reversed(list(enumerate(self.names)))}
        return Batch(rows, {name: missing_as_null(kept.column(position[name])) for name in wanted})


class _Counting(io.RawIOBase):
    """Passes bytes on; keeps their number, SHA-256 and number of quotation marks."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.size = self.quotes = 0
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = bytes(self._inner.read(size if size > 0 else BLOCK))
        self.size += len(data)
        self.quotes += data.count(b'"')
        self.digest.update(data)
        return data

    def rest(self) -> None:
        while self.read(BLOCK):
            pass


def _decompressed(file: Any) -> Any:
    """The file's text, unpacked if it is gzip (told by its first bytes, whatever its name)."""
    head = file.read(2)
    whole = _Joined(head, file)
    return pa.CompressedInputStream(pa.PythonFile(whole, mode="r"), "gzip") if head == b"\x1f\x8b" else whole


class _Joined(io.RawIOBase):
    """Bytes that were read already, then the rest of the file."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            return bytes(self._rest.read(size))
        head, self._head = self._head, b""
        return head + bytes(self._rest.read(max(size - len(head), 0) if size > 0 else BLOCK))


def _header(data: bytes, name: str) -> tuple[list[str], str]:
    """Column names of a CSV file and the delimiter that divides them: the one that gives the most columns."""
    line = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")[0].split(b"\r")[0]
    if not line.strip():
        raise InputError(f"{name}: is empty; its first row must hold the names of the columns")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{name}: {NOT_UTF8}") from None
    if text.count('"') % 2:
        raise InputError(f"{name}: row 1: {OPEN_QUOTE}")
    rows = {delimiter: next(csv.reader([text], delimiter=delimiter)) for delimiter in DELIMITERS}
    delimiter = max(rows, key=lambda sign: len(rows[sign]))
    return [cell.strip() for cell in rows[delimiter]], delimiter


def _of_another_length(data: bytes, reader: FileReader) -> bool:
    """Whether row 2 has more or fewer cells than row 1, as below a title or above a table."""
    lines = io.StringIO(data.decode("utf-8-sig", errors="replace"), newline="")
    rows = csv.reader(lines, delimiter=reader.delimiter)
    try:
        second = next(islice(rows, 1, 2), None)
    except csv.Error:
        return False
    return bool(second) and len(second or ()) != len(reader.names)


def _parquet(file: Any, name: str) -> Any:
    try:
        return pq.ParquetFile(file)
    except pa.ArrowException:
        raise InputError(f"{name}: is not a Parquet file, or not a whole one") from None


@contextmanager
def _sound(name: str) -> Iterator[None]:
    """Errors of the CSV parser and of gzip without their messages, which may hold parts of records."""
    try:
        yield
    except pa.ArrowInvalid as error:
        raise InputError(f"{name}: {NOT_UTF8 if 'UTF8' in str(error) else OPEN_QUOTE}") from None
    except OSError as error:
        if not ("zlib" in str(error) or "compressed" in str(error)):  # of the system, not of gzip
            raise
        raise InputError(f"{name}: the compressed data are damaged or cut off") from None


def as_text(array: Any) -> Any:
    """A Parquet column as text: whole floating numbers (IDs that were once read as numbers) without '.0'."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_boolean(array.type):
        array = pc.cast(array, pa.int8())
    if pa.types.is_floating(array.type):
        whole = pc.if_else(pc.is_nan(array), None, array)
        try:
            return missing_as_null(pc.cast(pc.cast(whole, pa.int64()), pa.string()))
        except pa.ArrowInvalid:
            return pc.cast(whole, pa.string())
    return missing_as_null(pc.cast(array, pa.string()))


def missing_as_null(array: Any) -> Any:
    """Outer white space taken off; an empty cell, and NA as R writes a missing value, as null."""
    text = pc.utf8_trim_whitespace(array)
    return pc.if_else(pc.is_in(text, pa.array(["", "NA"])), None, text)


def inline_batches(counts: Mapping[str, Mapping[str, int]]) -> Iterator[Batch]:
    """Counts of a request as rows of the columns algorithm, cause and deaths; they have no row numbers."""
    cells = [
        (algorithm, cause, str(n)) for algorithm, causes in counts.items() for cause, n in causes.items()
    ]
    if not cells:
        return
    algorithm, cause, deaths = (pa.array(column, pa.string()) for column in zip(*cells, strict=True))
    columns = {"algorithm": algorithm, "cause": missing_as_null(cause), "deaths": deaths}
    yield Batch(np.zeros(len(cells), dtype=np.int64), columns)
