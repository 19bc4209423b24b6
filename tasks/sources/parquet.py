"""Parquet files: columns of any type that holds one value a row, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.errors import InputError
from tasks.sources.kinds import other_kind

BATCH_ROWS = 1 << 18


def open_parquet(file: Any, name: str) -> Any:
    """The open file. Raises InputError if it is not a whole Parquet file, with what it is if known."""
    try:
        return pq.ParquetFile(file)
    except pa.ArrowException:
        file.seek(0)
        head = bytes(file.read(64))
        what = None if head.startswith(b"PAR1") else other_kind(head)
        raise InputError(f"{name}: {what or 'is not a Parquet file, or not a whole one'}") from None


def typed_columns(schema: Any) -> frozenset[str]:
    """The columns of numbers."""
    types = pa.types
    return frozenset(
        one.name
        for one in schema
        if types.is_integer(one.type) or types.is_floating(one.type) or types.is_decimal(one.type)
    )


def nested_columns(schema: Any) -> frozenset[str]:
    """The columns of lists, groups of values and bytes."""
    types = pa.types
    return frozenset(one.name for one in schema if types.is_nested(one.type) or types.is_binary(one.type))


def parquet_batches(file: Any, name: str, positions: Sequence[int]) -> Iterator[tuple[np.ndarray, list[Any]]]:
    """The columns at these positions as text, with the rows' numbers, counted from 1."""
    opened = open_parquet(file, name)
    names = [opened.schema_arrow.names[position] for position in positions]
    start = 1
    try:
        for batch in opened.iter_batches(BATCH_ROWS, columns=names):
            rows = np.arange(start, start + batch.num_rows, dtype=np.int64)
            _no_missing_of_r(batch, start, name)
            start += batch.num_rows
            yield rows, [_text(batch.column(one), one, name) for one in names]
    except pa.ArrowException:
        raise InputError(f"{name}: cannot be read as Parquet; is it whole?") from None


MISSING_OF_R = -(2**31)
"""R's missing whole number, as it comes out where a program copies R's numbers without knowing of it."""


def _no_missing_of_r(batch: Any, start: int, name: str) -> None:
    for column, array in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_signed_integer(array.type) and array.type.bit_width >= 32:
            place = pc.index(array, pa.scalar(MISSING_OF_R, array.type)).as_py()
            if place >= 0:
                raise InputError(
                    f"{name}, column '{column}', row {start + place}: holds {MISSING_OF_R}, R's missing whole number "
                    "as a program writes it that does not know it; write null there (arrow and nanoparquet do)"
                )


def _text(array: Any, column: str, name: str) -> Any:
    try:
        return as_text(array)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        kind = (
            "lists or other groups of values"
            if pa.types.is_nested(array.type)
            else "values that are not text"
        )
        raise InputError(
            f"{name}: column '{column}' holds {kind}; it must hold one text or number a row"
        ) from None


def as_text(array: Any) -> Any:
    """A Parquet column as text: whole numbers (also IDs that were once read as numbers) without '.0'."""
    types = pa.types
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if types.is_boolean(array.type):
        array = pc.cast(array, pa.int8())
    if types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, array)
    if types.is_floating(array.type) or types.is_decimal(array.type):
        try:
            return pc.cast(pc.cast(array, pa.int64()), pa.string())
        except pa.ArrowInvalid:
            pass
    text = pc.cast(array, pa.string())
    if types.is_decimal(array.type):
        text = pc.replace_substring_regex(text, r"(\.\d*?)0+$", r"\1")
        text = pc.replace_substring_regex(text, r"\.$", "")
    return text
