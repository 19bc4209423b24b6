"""The long table of matrices: one row a cell, in Parquet, CSV or JSON; how users bring their own matrices.

Columns: type (prior, fixed or samples), algorithm, champs_cause (true cause, row of the matrix), va_cause
(cause that the algorithm says, column), value; optional: age_group, country (empty: serves every one), and
sample (1, 2, ..., for type samples).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.errors import InputError
from tasks.matrices.model import MATRIX_TYPES, Matrix
from tasks.sources import THOUSANDS, Table, decimals, read_table, row_numbers
from tasks.terms import AGE_GROUPS, ALIASES, resolve_country, show

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ("type", "algorithm", "champs_cause", "va_cause", "value")
OPTIONAL = ("age_group", "country", "sample")
NO_TABLE = f"is no table of matrices: row 1 must name its columns {', '.join(REQUIRED)}"
_IDENTITY = ["age_group", "algorithm", "country", "type"]
_TEXT = [*_IDENTITY, "champs_cause", "va_cause"]
ROW_SUM_TOLERANCE = 1e-6


def to_table(entries: tuple[Matrix, ...]) -> pa.Table:
    """The long table of `entries`, rows in their order; `sample` is null but for type samples."""
    return pa.concat_tables([_rows_of(matrix) for matrix in entries])


def _rows_of(matrix: Matrix) -> pa.Table:
    causes = np.array(matrix.causes, dtype=object)
    size, cells = len(causes), matrix.values.size
    samples = np.repeat(np.arange(1, cells // size**2 + 1), size**2) if matrix.type == "samples" else None

    def constant(value: str | None) -> pa.StringArray:
        return pa.array([value] * cells, pa.string())

    columns: dict[str, pa.Array[Any]] = {name: constant(getattr(matrix, name)) for name in _IDENTITY}
    columns["sample"] = pa.nulls(cells, pa.int64()) if samples is None else pa.array(samples, pa.int64())
    columns["champs_cause"] = pa.array(np.tile(np.repeat(causes, size), cells // size**2), pa.string())
    columns["va_cause"] = pa.array(np.tile(causes, cells // size), pa.string())
    columns["value"] = pa.array(matrix.values.ravel(), pa.float64())
    return pa.table(columns)


def read_frame(uri: str) -> pd.DataFrame:
    """The long table in a CSV or Parquet file, indexed by its rows' numbers; raises InputError."""
    import pandas as pd

    table = read_table(uri, (*REQUIRED, *OPTIONAL))
    if not {*REQUIRED} & {*table.columns.column_names}:
        raise InputError(NO_TABLE)
    frame = table.columns.to_pandas()
    frame.index = pd.Index(table.rows)
    problems = [] if "value" not in frame else _unclear_numbers(table, frame)
    problems += [
        f"column {show(name)} is not known; known are {', '.join((*REQUIRED, *OPTIONAL))}"
        for name in table.others
    ]
    if problems:
        raise InputError(problems)
    return frame


def _unclear_numbers(table: Table, frame: pd.DataFrame) -> list[str]:
    """Makes numbers of the values; those that cannot be read surely are problems, the others become NaN."""
    frame["value"], thousands = decimals(table.columns["value"], typed="value" in table.typed)
    if not thousands.any():
        return []
    return [f"column 'value', {row_numbers(table.rows[thousands].tolist())}: a number {THOUSANDS}"]


def read_json(data: bytes) -> pd.DataFrame:
    """The long table in the bytes of a JSON file; raises InputError if it is none."""
    import pandas as pd

    try:
        rows = json.loads(data)
    except ValueError as problem:
        raise InputError("this is not a JSON file that can be read") from problem
    if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
        raise InputError(
            "matrices in JSON are a list of objects, one a cell, with the columns of the long table"
        )
    frame = pd.DataFrame(rows)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return frame


def from_frame(frame: pd.DataFrame) -> tuple[Matrix, ...]:
    """The matrices in a long table; raises InputError with everything that is wrong with it."""
    missing = [name for name in REQUIRED if name not in frame]
    unknown = [str(name) for name in frame.columns if name not in (*REQUIRED, *OPTIONAL)]
    if len(missing) == len(REQUIRED):
        raise InputError(NO_TABLE)
    problems = [f"column {name!r} is missing" for name in missing]
    problems += [
        f"column {show(name)} is not known; known are {', '.join((*REQUIRED, *OPTIONAL))}" for name in unknown
    ]
    if not problems and frame.empty:
        problems.append("the table has no rows")
    if problems:
        raise InputError(problems)
    frame = _tidy(frame, problems)
    entries = list(_assemble(frame, problems)) if not problems else []
    problems += [problem for matrix in entries for problem in matrix_problems(matrix)]
    entries = _align(entries, problems)
    if problems:
        raise InputError(problems)
    return tuple(entries)


def _tidy(frame: pd.DataFrame, problems: list[str]) -> pd.DataFrame:
    """Text trimmed, numbers as numbers, countries by their one name; what cannot be is a problem."""
    import pandas as pd

    tidy = pd.DataFrame(index=frame.index)
    for name in _TEXT:
        given = frame[name] if name in frame else pd.Series([""] * len(frame))
        tidy[name] = given.fillna("").astype(str).str.strip().to_numpy()
    tidy["algorithm"] = tidy["algorithm"].map(lambda name: ALIASES.get(name.lower(), name))
    numbers = _numbers(frame["value"])
    tidy["value"] = numbers
    _note(problems, ~(tidy["value"] >= 0) | (tidy["value"] == np.inf), "value must be a number of 0 or more")
    tidy["sample"] = _numbers(frame["sample"]) if "sample" in frame else np.nan
    _note(problems, ~tidy["type"].isin(MATRIX_TYPES), f"type must be one of {', '.join(MATRIX_TYPES)}")
    _note(
        problems, ~tidy["age_group"].isin(("", *AGE_GROUPS)), f"age_group must be {' or '.join(AGE_GROUPS)}"
    )
    for name in ("algorithm", "champs_cause", "va_cause"):
        _note(problems, tidy[name] == "", f"{name} is empty")
    _note(
        problems,
        (tidy["type"] == "samples") & ~((tidy["sample"] >= 1) & (tidy["sample"] % 1 == 0)),
        "type samples needs a sample number",
    )
    tidy["country"] = tidy["country"].map(_countries(tidy["country"], problems))
    return tidy


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    """Numbers and texts as numbers; NaN for what is neither."""
    import pandas as pd

    texts = [isinstance(value, str) for value in column]
    found: NDArray[np.float64] = pd.to_numeric(column.mask(texts), errors="coerce").to_numpy(
        np.float64, copy=True
    )
    found[texts] = decimals(pa.array(column[texts].tolist(), pa.string()), typed=True)[0]
    return found


def _note(problems: list[str], wrong: pd.Series, what: str) -> None:
    if rows := wrong.index[wrong].tolist():
        problems.append(f"{what}: {row_numbers(rows)}")


def _countries(column: pd.Series, problems: list[str]) -> dict[str, str]:
    names = {"": ""}
    for text in sorted(set(column) - {""}):
        try:
            names[text] = resolve_country(text)
        except InputError as problem:
            problems.extend(f"column country: {line}" for line in problem.problems)
    return names


def _assemble(frame: pd.DataFrame, problems: list[str]) -> Iterator[Matrix]:
    for identity, rows in frame.groupby(_IDENTITY, sort=False):
        age_group, algorithm, country, type = (str(part) for part in identity)
        causes = tuple(dict.fromkeys(rows["champs_cause"]))
        empty = Matrix(age_group or None, algorithm, country or None, type, causes, np.empty((0, 0)))
        if odd := sorted(set(causes) ^ set(rows["va_cause"])):
            problems.append(f"{empty.place}: not square: {', '.join(odd)} only among the rows or the columns")
            continue
        values = _fill(rows, causes, empty.place, problems)
        if values is not None:
            yield replace(empty, values=values if type == "samples" else values[0])


def _fill(
    rows: pd.DataFrame, causes: tuple[str, ...], place: str, problems: list[str]
) -> NDArray[np.float64] | None:
    """Samples x C x C from the rows of one matrix, or None where cells are missing or given twice."""
    size = len(causes)
    position = {cause: index for index, cause in enumerate(causes)}
    samples, sample = np.unique(rows["sample"].fillna(1).to_numpy(), return_inverse=True)
    row, column = (rows[name].map(position).to_numpy() for name in ("champs_cause", "va_cause"))
    cell = (sample * size + row) * size + column
    times = np.bincount(cell, minlength=len(samples) * size * size)
    sound = True
    for wrong, what in ((times == 0, "missing"), (times > 1, "given more than once")):
        if found := np.flatnonzero(wrong).tolist():
            _, first_row, first_column = np.unravel_index(found[0], (len(samples), size, size))
            example = f"{causes[int(first_row)]} -> {causes[int(first_column)]}"
            problems.append(f"{place}: {len(found)} cells are {what}, the first is {example}")
            sound = False
    if not sound:
        return None
    values = np.empty(times.size)
    values[cell] = rows["value"].to_numpy()
    return values.reshape(len(samples), size, size)


def matrix_problems(matrix: Matrix) -> list[str]:
    """What forbids using a complete matrix: one sentence for each row that is wrong."""
    values = matrix.values if matrix.values.ndim == 3 else matrix.values[np.newaxis]
    problems = []
    if len(matrix.causes) < 2:
        problems.append(f"{matrix.place}: a matrix needs at least two causes")
    if not (np.isfinite(values).all() and (values >= 0).all()):
        return [*problems, f"{matrix.place}: values must be numbers of 0 or more"]
    if matrix.type == "samples" and len(values) < 2:
        problems.append(f"{matrix.place}: type samples needs at least two samples")
    if matrix.type != "prior":
        sums = values.sum(axis=2)
        for row in np.flatnonzero((np.abs(sums - 1) > ROW_SUM_TOLERANCE).any(axis=0)):
            worst = float(sums[np.abs(sums[:, row] - 1).argmax(), row])
            problems.append(
                f"{matrix.place}: rates of true cause {matrix.causes[row]} sum to {worst:.6g}, not to 1"
            )
    if matrix.type != "fixed":
        diagonal = np.diagonal(values, axis1=1, axis2=2).mean(axis=0)
        for cause in np.array(matrix.causes)[diagonal == 0]:
            problems.append(f"{matrix.place}: true cause {cause} is never found (its diagonal cell is 0)")
    return problems


def _align(entries: list[Matrix], problems: list[str]) -> list[Matrix]:
    """The matrices of an age group with causes in the order of the first; other causes are a problem."""
    first: dict[str | None, Matrix] = {}
    aligned = []
    for matrix in entries:
        model = first.setdefault(matrix.age_group, matrix)
        if set(model.causes) != set(matrix.causes):
            odd = ", ".join(sorted(set(model.causes) ^ set(matrix.causes)))
            problems.append(f"{matrix.place}: its causes are not those of {model.place}: {odd}")
            continue
        order = [matrix.causes.index(cause) for cause in model.causes]
        values = matrix.values[..., order, :][..., order]
        aligned.append(replace(matrix, causes=model.causes, values=values))
    return aligned
