"""What a chunk of strata adds to the roll-ups, in whole numbers, so that their order does not matter.

Fractions, already weighted by the stratum's share of the roll-up, are rounded to 2^-60: neither the order
of the chunks nor their size can change a byte, at an error below 1e-14 for 10,000 strata.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.results import SHARES, WITH_RESULT, split_flags
from tasks.rollups.plan import Plan

UNIT = 2.0**60  # whole numbers per 1 of a share; a sum of shares, at most 1, fits 64 bits
WEIGHT_UNIT = 2.0**20  # whole numbers per death of a weight
UNRELIABLE = ("path_correction_stalled", "interval_unreliable", "not_calibrated")

NUMBERS = ("seen", "fitted", "share", "observed", "weight")
"""Of a roll-up and algorithm, besides flags and effective draws."""

Whole = NDArray[np.int64]
Key = tuple[str, str, str]
"""Level, group, algorithm."""


@dataclass
class Sum:
    """What is known so far of one roll-up and algorithm, all in whole numbers that add up in any order."""

    seen: int = 0
    fitted: int = 0
    share: int = 0
    observed: int = 0  # of the share, what has deaths and so raw fractions
    weight: int = 0
    ess_bulk: float = np.inf
    flags: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SHARES, 0))
    causes: tuple[str, ...] = ()
    deaths: Whole | int = 0
    raw: Whole | int = 0
    passed: Whole | int = 0
    draws: Whole | int = 0  # [causes, draws]

    def add(self, other: Sum) -> None:
        """Add a sum over other strata. Raises ValueError if its causes are others."""
        if self.causes and other.causes and self.causes != other.causes:
            raise ValueError(f"strata of one roll-up differ in their causes: {self.causes}, {other.causes}")
        self.causes = self.causes or other.causes
        self.ess_bulk = min(self.ess_bulk, other.ess_bulk)
        for name in (*NUMBERS, "deaths", "raw", "passed", "draws"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, share in other.flags.items():
            self.flags[name] += share


def partial_sums(plan: Plan, strata: pa.Table, csmf: pa.Table, draws: pa.Table) -> dict[str, pa.Table]:
    """What a chunk adds to the roll-ups: its tables strata, csmf and (compact) draws to two tables of sums.

    Every fit with a result must have its draws, as many as the others. Returns `rollup_fits` (a row for each
    roll-up and algorithm) and `rollup_sums` (a row for each roll-up, algorithm and cause).
    """
    estimates, values = _by_fit(csmf), _draws_by_fit(draws)
    memberships = defaultdict(list)
    for member in plan.members.to_pylist():
        memberships[member["stratum"]].append(member)
    sums: dict[Key, Sum] = defaultdict(Sum)
    for fit in strata.to_pylist():
        key = (fit["stratum"], fit["algorithm"])
        for member in memberships[fit["stratum"]]:
            own = _contribution(fit, member, estimates.get(key, []), values.get(key, {}))
            sums[member["level"], member["group"], fit["algorithm"]].add(own)
    return _to_tables(sums)


def _by_fit(csmf: pa.Table) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Rows of csmf by stratum and algorithm."""
    rows = csmf.select(["stratum", "algorithm", "cause", "deaths", "raw", "status"]).to_pylist()
    found = defaultdict(list)
    for row in rows:
        found[row["stratum"], row["algorithm"]].append(row)
    return found


def _draws_by_fit(draws: pa.Table) -> dict[tuple[str, str], dict[str, NDArray[np.float64]]]:
    """Draws of each cause by stratum and algorithm, as views. Raises ValueError if their number differs."""
    lengths = set(draws["values"].combine_chunks().value_lengths().to_pylist())
    if len(lengths) > 1:
        raise ValueError(f"results of one chunk have different numbers of draws: {sorted(lengths)}")
    values = _matrix(draws["values"])
    keys = (draws[name].to_pylist() for name in ("stratum", "algorithm", "cause"))
    found: dict[tuple[str, str], dict[str, NDArray[np.float64]]] = defaultdict(dict)
    for row, (stratum, algorithm, cause) in enumerate(zip(*keys, strict=True)):
        found[stratum, algorithm][cause] = values[row]
    return found


def _contribution(
    fit: Mapping[str, Any],
    member: Mapping[str, Any],
    estimates: Sequence[Mapping[str, Any]],
    draws: Mapping[str, NDArray[np.float64]],
) -> Sum:
    """What one fit adds to one roll-up."""
    if fit["status"] not in WITH_RESULT:
        return Sum(seen=1)
    causes = tuple(row["cause"] for row in estimates)
    if set(causes) != draws.keys() or not causes:
        raise ValueError(f"{fit['stratum']}, {fit['algorithm']}: there are not draws of every cause")
    unit = member["share"] * UNIT
    values = np.stack([draws[cause] for cause in causes])
    if not np.isfinite(values).all():
        raise ValueError(f"{fit['stratum']}, {fit['algorithm']}: a draw is not a number")
    flags = set(split_flags(fit["flags"]))
    share = round(unit)
    carried = {name: share * (name.removeprefix("share_") in flags) for name in SHARES}
    carried["share_unreliable"] = share * any(flag in flags for flag in UNRELIABLE)
    raw = np.array([row["raw"] for row in estimates], dtype=float)
    observed = bool(np.isfinite(raw).all())  # the joint model has an estimate where there are no deaths
    return Sum(
        seen=1,
        fitted=1,
        share=share,
        observed=share * observed,
        weight=round(member["weight"] * WEIGHT_UNIT),
        ess_bulk=np.inf if fit["ess_bulk"] is None else fit["ess_bulk"],
        flags=carried,
        causes=causes,
        deaths=np.array([row["deaths"] for row in estimates], dtype=np.int64),
        raw=_whole(raw * unit) if observed else np.zeros(len(causes), dtype=np.int64),
        passed=np.array([share * (row["status"] == "passed_through") for row in estimates], dtype=np.int64),
        draws=_whole(values * unit),
    )


def _matrix(lists: pa.ChunkedArray) -> NDArray[Any]:
    """Lists of one length as the rows of an array."""
    values: NDArray[Any] = lists.combine_chunks().flatten().to_numpy()
    return values.reshape(len(lists), len(values) // max(len(lists), 1))


def _whole(values: NDArray[np.float64]) -> Whole:
    return np.rint(values).astype(np.int64)


_SUM_TYPES = (
    ("deaths", pa.int64()),
    ("raw", pa.int64()),
    ("passed", pa.int64()),
    ("draws", pa.list_(pa.int64())),
)
_SUMS = pa.schema([*((name, pa.string()) for name in ("level", "group", "algorithm", "cause")), *_SUM_TYPES])
_FITS = pa.schema(
    [
        *((name, pa.string()) for name in ("level", "group", "algorithm")),
        *((name, pa.int64()) for name in (*NUMBERS, *SHARES)),
        ("ess_bulk", pa.float64()),
    ]
)


def _to_tables(sums: Mapping[Key, Sum]) -> dict[str, pa.Table]:
    fits, causes, draws = [], [], []
    for (level, group, algorithm), total in sorted(sums.items()):
        key = {"level": level, "group": group, "algorithm": algorithm}
        own = {name: getattr(total, name) for name in (*NUMBERS, "ess_bulk")}
        fits.append({**key, **own, **total.flags})
        for index, cause in enumerate(total.causes):
            values = {name: int(getattr(total, name)[index]) for name in ("deaths", "raw", "passed")}
            causes.append({**key, "cause": cause, **values})
            draws.append(np.asarray(total.draws)[index])
    numbers = pa.Table.from_pylist(causes, pa.schema(list(_SUMS)[:-1]))
    return {
        "rollup_fits": pa.Table.from_pylist(fits, _FITS),
        "rollup_sums": numbers.append_column(_SUMS.field("draws"), _lists(draws)),
    }


def _lists(rows: Sequence[Whole]) -> pa.Array[Any]:
    """Arrays as lists, without a Python object for each number."""
    ends = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(np.concatenate([np.empty(0, np.int64), *rows])))


def from_tables(tables: Mapping[str, pa.Table]) -> Iterator[tuple[Key, Sum]]:
    """The sums in the tables that `partial_sums` made."""
    sums = tables["rollup_sums"]
    draws = _matrix(sums["draws"])
    numbers = {name: sums[name].to_numpy() for name in ("deaths", "raw", "passed")}
    rows: dict[Key, list[int]] = defaultdict(list)
    for row, key in enumerate(
        zip(*(sums[n].to_pylist() for n in ("level", "group", "algorithm")), strict=True)
    ):
        rows[key].append(row)
    names = sums["cause"].to_pylist()
    for fit in tables["rollup_fits"].to_pylist():
        key = (fit["level"], fit["group"], fit["algorithm"])
        own = rows.get(key, [])
        total = Sum(**{name: fit[name] for name in (*NUMBERS, "ess_bulk")})
        total.flags = {name: fit[name] for name in SHARES}
        if own:
            total.causes = tuple(names[row] for row in own)
            total.draws = draws[own]
            total.deaths, total.raw, total.passed = (values[own] for values in numbers.values())
        yield key, total
