"""The sum of strata held against a direct fit of their deaths: a table, and a flag where they differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tasks.results import conform, split_flags

DIFFERS = "total_differs_from_direct_fit"
_LEAST, _SHARE_OF_WIDTH = 0.01, 0.25
_Total = tuple[str, str, str]


def checked(
    csmf: pa.Table,
    rollups: pa.Table,
    totals: Iterable[pa.Table],
    *,
    strata_columns: Sequence[str],
    quantiles: Sequence[float],
    constants: Mapping[str, Any],
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """csmf and rollups with the flag DIFFERS where it belongs, and the table checks.

    `totals`: level, group, algorithm, cause, sum_of_strata, direct_fit. A cause is flagged where they differ by
    more than 0.01, or a quarter of the width of its 95% interval if that is more.
    """
    compared = {
        (row["level"], row["group"], row["algorithm"], row["cause"]): row
        for part in totals
        for row in part.to_pylist()
    }
    shape: dict[str, Any] = {"strata_columns": strata_columns, "constants": constants}
    rows, differing = [], set()
    place = ("level", "stratum", "age_group", "country", *strata_columns, "algorithm", "cause")
    for row in csmf.select([*place, "q025", "q975"]).to_pylist():
        key = row["level"], row["stratum"], row["algorithm"], row["cause"]
        if key not in compared:
            continue
        found = compared[key]
        width = 0.0 if row["q975"] is None else row["q975"] - row["q025"]
        limit = max(_LEAST, _SHARE_OF_WIDTH * width)
        difference = found["sum_of_strata"] - found["direct_fit"]
        if abs(difference) > limit:
            differing.add(key)
        figures = {name: found[name] for name in ("sum_of_strata", "direct_fit")}
        figures |= {"check_difference": difference, "check_limit": limit}
        rows.append({**{name: row[name] for name in place}, **figures})
    table = conform("checks", pa.Table.from_pylist(rows) if rows else {name: [] for name in place}, **shape)
    some = {key[:3] for key in differing}
    flagged = _flagged(csmf, differing, ("level", "stratum", "algorithm", "cause"))
    return (
        conform("csmf", flagged, quantiles=quantiles, **shape),
        conform("rollups", _flagged(rollups, some, ("level", "stratum", "algorithm")), **shape),
        table,
    )


def _flagged(table: pa.Table, keys: Collection[tuple[str, ...]], columns: Sequence[str]) -> pa.Table:
    """The table with the flag in its rows of these keys, without the sentences, which are written anew."""
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    flags = [
        ";".join([*split_flags(own), *([DIFFERS] if row in keys else [])])
        for row, own in zip(rows, table["flags"].to_pylist(), strict=True)
    ]
    bare = table.drop_columns(["flags", "caveat"])
    return bare.append_column("flags", pa.array(flags, pa.string()))
