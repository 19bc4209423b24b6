"""The truth of simulated deaths as tables: fractions and deaths by level, and the matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tasks.matrices import Matrix
from tasks.results import ALL
from tasks.simulate.deaths import Codes
from tasks.simulate.plan import STRATA, SimulationPlan
from tasks.simulate.world import Floats, World

SCHEMA = pa.schema(
    [
        ("level", pa.string()),
        ("country", pa.string()),
        ("age_group", pa.string()),
        ("province", pa.string()),
        ("year", pa.string()),
        ("sex", pa.string()),
        ("cause", pa.string()),
        ("true_csmf", pa.float64()),
        ("true_deaths", pa.int64()),
        ("total_deaths", pa.int64()),
    ]
)


def true_matrices(plan: SimulationPlan, world: World) -> tuple[Matrix, ...]:
    """The true matrices, as fixed ones: their table can serve as a request's own matrices."""
    return tuple(
        Matrix(
            group, algorithm, None, "fixed", tuple(causes), world.rates[a, k, : len(causes), : len(causes)]
        )
        for a, (group, causes) in enumerate(zip(plan.age_groups, world.causes, strict=True))
        for k, algorithm in enumerate(plan.algorithms)
    )


def true_csmf(plan: SimulationPlan, world: World, deaths: Codes) -> pa.Table:
    """The truth by level, age group, stratum and cause.

    level: stratum, province, year, sex or nation. true_csmf: the fraction that deaths were drawn from; above
    strata their mean, weighted by their deaths. true_deaths: deaths of the cause; total_deaths: of all
    causes. Columns that a level sums over hold "(all)", as in results.
    """
    tables = [_level(plan, world, deaths, "stratum", STRATA)]
    tables += [_level(plan, world, deaths, column, (column,)) for column in STRATA]
    return pa.concat_tables([*tables, _level(plan, world, deaths, "nation", ())])


def _level(plan: SimulationPlan, world: World, deaths: Codes, level: str, kept: tuple[str, ...]) -> pa.Table:
    keys = [_key(row, kept) for row in world.strata]
    groups = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    member = np.array([groups[key] for key in keys])
    total = _summed(member, deaths, len(groups))
    weight = np.where(total.sum(axis=1)[member] > 0, deaths.sum(axis=1), world.share)[:, np.newaxis]
    csmf = _summed(member, world.csmf * weight, len(groups)) / _summed(member, weight, len(groups))
    rows = [
        (level, plan.country, *key, cause, csmf[g, c], int(total[g, c]), int(total[g].sum()))
        for key, g in groups.items()
        for c, cause in enumerate(world.causes[plan.age_groups.index(key[0])])
    ]
    return pa.table(dict(zip(SCHEMA.names, zip(*rows, strict=True), strict=True)), schema=SCHEMA)


def _key(stratum: tuple[str, str, int, str], kept: tuple[str, ...]) -> tuple[Any, ...]:
    """A stratum's values as text, "(all)" in the columns that are not kept; the age group is always kept."""
    names = ("age_group", *STRATA)
    return tuple(str(v) if n in ("age_group", *kept) else ALL for n, v in zip(names, stratum, strict=True))


def _summed(member: Codes, values: Floats | Codes, groups: int) -> Floats:
    sums = np.zeros((groups, values.shape[1]))
    np.add.at(sums, member, values)
    return sums
