"""Tables of runs in a former format, as the present readers expect them.

Format 1 (up to 8fe7a0e) joined the reasons of a verdict by ";" and ":", and algorithms and causes by "," and
"()". A name that holds such a sign cannot be recognised in it; it is read in pieces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.results.reasons import Named, Reason, named_to_json, reasons_to_json, texts_to_json

_CAUSES = ("zero_causes", "algorithms_disagree")
_MEMBERS = ("member_passed_through", "misfit")
_BECAUSE = ("no_result", "not_calibrated")


def from_format_1(name: str, table: pa.Table) -> pa.Table:
    """The table, or a part of it, of a run of format 1 with the cells of the present format."""
    cells: dict[str, Callable[[str], str]] = {"verdict_codes": _reasons, "misfit_of": _misfit_of}
    if name == "misfit":
        cells["causes"] = _causes
    for column in cells.keys() & {*table.column_names}:
        place = table.column_names.index(column)
        new = _converted(table[column], cells[column])
        table = table.set_column(place, table.schema.field(place).with_type(new.type), new)
    return table


def _converted(column: pa.ChunkedArray, cell: Callable[[str], str]) -> Any:
    """The column with each different text converted once; of the same type, texts or their dictionary."""
    compact = pa.types.is_dictionary(column.type)
    texts = column.cast(pa.string()) if compact else column
    known = {text: None if text is None else cell(text) for text in pc.unique(texts).to_pylist()}
    new = pa.chunked_array([pa.array([known[text] for text in texts.to_pylist()], pa.string())])
    return new.dictionary_encode() if compact else new


def _reasons(cell: str) -> str:
    parts = (code.split(":", 2) for code in cell.split(";") if code)
    return reasons_to_json(_reason(rule, limit, value) for rule, limit, value in parts)


def _reason(rule: str, limit: str, value: str) -> Reason:
    if rule in _CAUSES:
        return Reason(rule, causes=tuple(value.split(",")))
    if rule in _MEMBERS:
        return Reason(rule, algorithms=tuple(_members(value)))
    if rule in _BECAUSE:
        return Reason(rule, because=value or None)
    if not limit:
        return Reason(rule, algorithms=tuple(Named(name) for name in value.split(",") if name))
    figure, _, algorithm = value.partition(",")
    named = (Named(algorithm),) if algorithm else ()
    return Reason(rule, _number(limit), _number(figure), algorithms=named)


def _number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)


def _members(text: str) -> Iterator[Named]:
    """Each algorithm with its causes, from "eava (ipre, pneumonia), interva"."""
    for algorithm, causes in re.findall(r"([^,(]+?)(?: \(([^)]*)\))?(?:, |$)", text):
        yield Named(algorithm, tuple(cause for cause in causes.split(", ") if cause))


def _misfit_of(cell: str) -> str:
    return named_to_json(_members(cell.replace(";", ",")))


def _causes(cell: str) -> str:
    return texts_to_json(cell.split(", "))
