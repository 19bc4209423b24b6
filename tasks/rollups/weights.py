"""The user's own weights of strata in roll-ups: deaths by stratum, from a file like the input's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import InputError
from tasks.sources import THOUSANDS, decimals, read_table, row_numbers
from tasks.terms import MISSING

ROW = "(row)"
"""Column of the rows' numbers in the file."""


def read_weights(uri: str, strata_columns: Sequence[str]) -> pa.Table:
    """The columns age_group, country, those of the strata and deaths, as far as the file has them, as text.

    The file is read as the input is; a stratum's missing value is `(missing)`, as in the results. `(row)` has
    the rows' numbers. Raises InputError, without what is in the cells, if it cannot be read or a number of
    deaths is not one.
    """
    try:
        return _read(uri, ("age_group", "country", *strata_columns, "deaths"))
    except InputError as error:
        raise InputError([f"roll_up_weights: {problem}" for problem in error.problems]) from None


def weights_checksum(weights: pa.Table) -> str:
    """sha256 (hex) of the rows, in whichever order they and their columns are."""
    given = weights.select([name for name in weights.column_names if name != ROW])
    rows = sorted(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in given.to_pylist())
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _read(uri: str, names: Sequence[str]) -> pa.Table:
    table = read_table(uri, names)
    if "deaths" in table.columns.column_names:
        _check_deaths(uri, table.columns["deaths"], table.rows, typed="deaths" in table.typed)
    if not table.columns.num_columns:
        return table.columns
    columns = {
        name: column if name == "deaths" else pc.fill_null(column, MISSING)
        for name, column in zip(table.columns.column_names, table.columns.columns, strict=True)
    }
    return pa.table({**columns, ROW: table.rows})


def _check_deaths(uri: str, column: pa.ChunkedArray, rows: np.ndarray, *, typed: bool) -> None:
    numbers, thousands = decimals(column, typed=typed)
    wrong = ~thousands & ~((numbers >= 0) & (numbers < np.inf))
    kinds = ((thousands, f"a number {THOUSANDS}"), (wrong, "is not a number of at least 0 in plain digits"))
    if problems := [
        f"{uri}, column 'deaths', {row_numbers(rows[found].tolist())}: {what}"
        for found, what in kinds
        if found.any()
    ]:
        raise InputError(problems)
