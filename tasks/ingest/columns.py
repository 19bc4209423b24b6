"""Which column of a file plays which part, and what a row's own numbers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.ingest.reading import Part, Reading
from tasks.sources import FileReader, RowBatch, by_value, is_grouped, number, same_names
from tasks.terms import CauseList, nearest, show

VALID, BAD_COUNT, NOT_ONE_CAUSE, PROBABILITY, UNREADABLE, GROUPED_COUNT = 0, 1, 2, 3, 4, 5
MAX_DEATHS = 10**9
NO_TABLE = "is no table: row 1 has one name only; it must hold the names of the columns"
LABELS = ("algorithm", "cause", "age_group", "country")


@dataclass
class ColumnPlan:
    """The parts of one file's columns; `labels` also has s0, s1, ... for the strata columns."""

    labels: dict[str, Part] = field(default_factory=dict)
    id: str | None = None
    count: str | None = None
    causes: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    folders: Mapping[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def wanted(self) -> list[str]:
        """The file's columns that are read."""
        names = [part.column for part in self.labels.values() if part.column]
        names += [name for name in (self.id, self.count) if name]
        return list(dict.fromkeys([*names, *self.causes, *self.others]))

    @property
    def others(self) -> list[str]:
        """Columns of counts that nobody named, and that may tell rows apart."""
        return [name for name in dict.fromkeys(self.unused) if name] if self.count else []


def label_columns(reading: Reading) -> list[str]:
    """The label columns of the reduced records: the four that every record has, then the strata columns."""
    return [*LABELS, *(f"s{index}" for index in range(len(reading.columns.strata)))]


def stratum_columns(reading: Reading) -> list[str]:
    """The label columns that make the strata."""
    return label_columns(reading)[2:]


def plan_columns(reader: FileReader, reading: Reading, causes: Sequence[CauseList]) -> ColumnPlan:
    """Finds the columns that the reading names in a file, or says which are not there, or that it is no table."""
    if len(reader.names) < 2:
        return ColumnPlan(problems=[f"{reader.source.name}: {NO_TABLE}"])
    plan, find = ColumnPlan(), _Finder(reader)
    columns, layout = reading.columns, reading.layout
    plan.labels["algorithm"] = _algorithm(find, reader, reading)
    for role in ("age_group", "country"):
        part: Part = getattr(reading, role)
        plan.labels[role] = find(part.column) if part.column else part
    for index, name in enumerate(columns.strata):
        plan.labels[f"s{index}"] = find(name)
    if layout == "counts":
        plan.count = find(columns.count, "columns.count").column
    elif layout == "records" or columns.id != "ID" or find.has("ID"):
        plan.id = find(columns.id, "columns.id").column
    if layout == "matrix":
        plan.labels["cause"] = Part()
        plan.causes = [name for name in _rest(reader, plan) if _is_cause(name, causes)]
        if not plan.causes:
            find.problems.append("no column is named by a cause; see vacal causes for the names")
    else:
        plan.labels["cause"] = find(columns.cause) if columns.cause else _cause(find)
        if not plan.labels["cause"].column and layout == "records":
            find.problems += _many_causes(reader, causes)
    plan.unused, plan.folders = _rest(reader, plan), reader.columns
    plan.problems = [f"{reader.source.name}: {problem}" for problem in find.problems]
    return plan


class _Finder:
    """Finds columns by name: as spelled, else without regard to case; never one of several."""

    def __init__(self, reader: FileReader) -> None:
        self.names, self.folders = reader.names, reader.columns
        self._odd_header = reader.odd_header
        self.problems: list[str] = []

    def __call__(self, name: str, field: str = "") -> Part:
        """The part of that column. field: of the request, where another name of the column can be said."""
        places = self._places(name)
        if len(places) == 1:
            return places[0]
        if places:
            self.problems.append(f"has more than one column {show(name)}; rename the others")
        else:
            near = nearest(name, [*self.names, *self.folders], limit=1)
            must = "row 1 must hold the names of the columns"
            if near:
                hint = f"did you mean {show(near[0])}?" + (f" Then say so in {field}" if field else "")
            elif self._odd_header:
                hint = must.replace("row 1", "row 1 does not look like a header; it")
            else:
                hint = must + (f"; if it has another name, say so in {field}" if field else "")
            self.problems.append(f"has no column {show(name)}; {hint}")
        return Part()

    def has(self, name: str) -> bool:
        """Whether there is a column of this name."""
        return bool(self._places(name))

    def _places(self, name: str) -> list[Part]:
        columns: list[tuple[str, Part]] = [(other, Part(column=other)) for other in self.names]
        columns += [(other, Part(text=value or None)) for other, value in self.folders.items()]
        found = same_names(name, (other for other, _ in columns))
        return [part for other, part in columns if other in found]


def _algorithm(find: _Finder, reader: FileReader, reading: Reading) -> Part:
    if reader.source.algorithm is not None:
        return Part(text=reader.source.algorithm)
    if reading.columns.algorithm is not None:
        return find(reading.columns.algorithm)
    if find.has("algorithm") or len(reading.algorithms) > 1:
        return find("algorithm", "columns.algorithm")
    return Part(text=reading.algorithms[0])


def _cause(find: _Finder) -> Part:
    names = [name for name in ("cause", "cause1") if find.has(name)]
    if len(names) == 2:
        find.problems.append("has both columns 'cause' and 'cause1'; say which in columns.cause")
        return Part()
    return find(names[0] if names else "cause", "columns.cause")


def _many_causes(reader: FileReader, causes: Sequence[CauseList]) -> list[str]:
    """A hint for files with a column for each cause, which have none that holds the cause."""
    named = sum(_is_cause(name, causes) for name in reader.names)
    if named < 2:
        return []
    return [
        f"{named} columns are named by causes; if they hold probabilities (InSilicoVA's indiv.prob), take the most "
        "probable cause of each death first (openVA's getTopCOD); if one of them is 1 and all others 0, set "
        "input.layout: matrix"
    ]


def _rest(reader: FileReader, plan: ColumnPlan) -> list[str]:
    used = set(plan.wanted)
    return [name for name in reader.names if name not in used | reader.nested]


def _is_cause(name: str, causes: Sequence[CauseList]) -> bool:
    return any(known.match(name).treatment in ("mapped", "undetermined", "stillbirth") for known in causes)


def labels_of(plan: ColumnPlan, batch: RowBatch) -> dict[str, Any]:
    """The label columns of a batch: arrays, or one text for all rows; algorithms in lower case."""
    labels = {role: batch.columns[p.column] if p.column else p.text for role, p in plan.labels.items()}
    algorithm = labels["algorithm"]
    if algorithm is not None:
        labels["algorithm"] = algorithm.lower() if isinstance(algorithm, str) else pc.utf8_lower(algorithm)
    return labels


def whole_numbers(array: Any, *, typed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Counts written as text (12, 12.0, 1e+05 as R writes it), and what is wrong where a cell is no count.

    typed: the cells were numbers in the file, not text.
    """
    numbers = by_value(array, lambda text: _count(text, typed), np.int64)
    return np.maximum(numbers, 0), np.where(numbers < 0, -numbers, VALID).astype(np.int8)


def _count(text: str | None, typed: bool) -> int:
    """The count, or less than 0: what is wrong with it."""
    if not typed and is_grouped(text):
        return -GROUPED_COUNT
    count = number(text)
    if count is None or not 0 <= count <= MAX_DEATHS or count != count.to_integral_value():
        return -BAD_COUNT
    return int(count)


def one_cause(columns: Mapping[str, Any], causes: Sequence[str]) -> tuple[Any, np.ndarray]:
    """The cause whose cell is 1 in each row of a 0/1 matrix, and what is wrong with the other rows."""
    cells = np.column_stack([_cells(columns[name]) for name in causes])
    share = ((cells > 0) & (cells < 1)).any(axis=1)
    one = ((cells == 0) | (cells == 1)).all(axis=1) & (cells.sum(axis=1) == 1)
    bad = np.where(share, PROBABILITY, np.where(one, VALID, NOT_ONE_CAUSE)).astype(np.int8)
    index = (cells == 1).argmax(axis=1)
    names: Any = np.array([*causes, None], dtype=object)
    return pa.array(names[np.where(one, index, len(causes))], pa.string()), bad


def _cells(array: Any) -> np.ndarray:
    """Cells as numbers; NaN for what is none."""

    def value(text: str | None) -> float:
        found = number(text)
        return float("nan") if found is None else float(found)

    return by_value(array, value, np.float64)


def others_of(plan: ColumnPlan, batch: RowBatch) -> Any | None:
    """What the columns that nobody named say in each row, as one text; null where they say nothing."""
    cells = [batch.columns[name] for name in plan.others]
    if not cells:
        return None
    joined: Any = pc.binary_join_element_wise(*cells, "\x1f", null_handling="replace", null_replacement="")
    return pc.if_else(pc.equal(pc.utf8_trim(joined, "\x1f"), ""), None, joined)
