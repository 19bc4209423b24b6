"""Roll-ups: calibrated fractions of a province, a year or the nation, summed over strata by posterior draw.

A roll-up's fractions in a draw are the sum of its strata's fractions in that draw, weighted by their deaths
(docs/method.md, section "Roll-ups"). Chunks deliver their part of the sums (tasks/rollups/sums.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.results import ALL, DEFAULT_QUANTILES, ENSEMBLE, NOOP, conform, quantile_name
from tasks.rollups.plan import Plan
from tasks.rollups.sums import UNIT, WEIGHT_UNIT, Key, Sum, from_tables

IF_MUCH = (  # flags that part of the strata pass on
    "country_served_by_other",
    "not_converged",
    "misfit",
    "divergences",
    "borrowed_from_other_strata",
)
IF_ALL = ("path_correction_stalled", "not_calibrated")  # flags whose words hold only if all strata have them


def combine(
    plan: Plan,
    parts: Iterable[Mapping[str, pa.Table]],
    *,
    algorithms: Sequence[str],
    strata_columns: Sequence[str],
    quantiles: Sequence[float],
    constants: Mapping[str, Any],
    unreliable_share: float = 0.05,
    joint_groups: Sequence[str] = (),
    on_draws: Callable[[Key, NDArray[np.float64]], None] | None = None,
) -> tuple[pa.Table, pa.Table]:
    """Rows of csmf and of rollups from the chunks' partial sums, whichever way the strata were dealt.

    `algorithms` (the ensemble among them) gives the order of the rows. A roll-up is `interval_unreliable` if
    more than `unreliable_share` of its weight is stalled, unreliable or not calibrated; it carries the flags
    IF_MUCH of its strata above the same share, IF_ALL only if all its weight does; `algorithms_disagree` and
    `estimate_is_noop` are decided on its own figures. Draws of one stratum belong to those of another only with
    common matrix draws, or within a joint fit, of which there is one for each value of `joint_groups`: a
    roll-up over more than one fit has an interval that is too narrow. Only roll-ups that wait for strata are
    in memory; `on_draws` gets the draws, [causes, draws], of each that has a fitted stratum.
    """
    quantiles = sorted({*DEFAULT_QUANTILES, *quantiles})
    groups = {(g["level"], g["group"]): g for g in plan.groups.to_pylist()}
    finished: dict[Key, tuple[list[dict[str, Any]], dict[str, Any]]] = {}
    for key, total in _complete(parts, {key: group["strata"] for key, group in groups.items()}):
        group = groups[key[:2]]
        together = constants["matrix_sharing"] != "per_stratum"
        in_one_fit = together and all(group[c] != ALL for c in joint_groups)
        finished[key] = _rows(key[2], group, total, quantiles, unreliable_share, in_one_fit)
        if on_draws is not None and total.share:
            on_draws(key, _draws(total))
    order = []
    for group in groups:
        own = [key for algorithm in algorithms if (key := (*group, algorithm)) in finished]
        _disagreement([row for key in own for row in finished[key][0]], [finished[key][1] for key in own])
        order += own
    shape: dict[str, Any] = {"strata_columns": strata_columns, "constants": constants}
    estimates = [row for key in order for row in finished[key][0]]
    rollups = [finished[key][1] for key in order]
    return (
        conform("csmf", _columns(estimates), quantiles=quantiles, **shape),
        conform("rollups", _columns(rollups), **shape),
    )


def _complete(
    parts: Iterable[Mapping[str, pa.Table]], expected: Mapping[tuple[str, str], int]
) -> Iterator[tuple[Key, Sum]]:
    """Each roll-up and algorithm with its sum over all parts, as soon as all its strata were seen.

    Raises ValueError if a stratum comes twice or never: the sum would be wrong.
    """
    waiting: dict[Key, Sum] = defaultdict(Sum)
    for part in parts:
        for key, own in from_tables(part):
            waiting[key].add(own)
            if waiting[key].seen == expected[key[:2]]:
                yield key, waiting.pop(key)
    for key, total in waiting.items():
        raise ValueError(f"{' '.join(key[:2])}, {key[2]}: {total.seen} of {expected[key[:2]]} strata came")


def _rows(
    algorithm: str,
    group: Mapping[str, Any],
    total: Sum,
    quantiles: Sequence[float],
    limit: float,
    in_one_fit: bool,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of csmf (none without a fitted stratum), and the row of rollups, of one roll-up and algorithm."""
    place = {name: value for name, value in group.items() if name not in ("group", "strata", "weight")}
    place |= {"stratum": group["group"], "algorithm": algorithm}
    left_out = max(0.0, round(1 - total.share / UNIT, 12))
    shares = {name: carried / total.share for name, carried in total.flags.items()} if total.share else {}
    flags = [name for name in IF_MUCH if shares.get(f"share_{name}", 0.0) > limit]
    flags += [name for name in IF_ALL if shares.get(f"share_{name}", 0.0) == 1]
    flags += ["interval_unreliable"] if shares.get("share_unreliable", 0.0) > limit else []
    flags += ["rollup_incomplete"] if left_out > 0 else []
    flags += ["rollup_interval_too_narrow"] if not in_one_fit and group["strata"] > 1 else []
    estimates = _estimates(total, quantiles) if total.share else []
    if total.observed and max(abs(row["mean"] - row["raw"]) for row in estimates) < NOOP:
        flags.append("estimate_is_noop")
    common = {**place, "weight": total.weight / WEIGHT_UNIT, "share_left_out": left_out}
    rollup = {
        **place,
        **shares,
        "strata": group["strata"],
        "strata_fitted": total.fitted,
        "weight": group["weight"],
        "weight_fitted": common["weight"],
        "share_left_out": left_out,
        "ess_bulk": total.ess_bulk if np.isfinite(total.ess_bulk) else None,
        "flags": flags,
    }
    return [{**common, **row, "flags": list(flags)} for row in estimates], rollup


def _draws(total: Sum) -> NDArray[np.float64]:
    """Fractions, [causes, draws]."""
    return np.asarray(total.draws / total.share, dtype=np.float64)


def _estimates(total: Sum, quantiles: Sequence[float]) -> list[dict[str, Any]]:
    """Fractions and deaths of each cause."""
    draws = _draws(total)
    weight = total.weight / WEIGHT_UNIT
    names = [quantile_name(q) for q in quantiles]
    means, raw = draws.mean(axis=1), np.asarray(total.raw) / max(total.observed, 1)
    sds, bounds = draws.std(axis=1, ddof=1), np.quantile(draws, quantiles, axis=1)
    rows = []
    for index, cause in enumerate(total.causes):
        passed = int(np.asarray(total.passed)[index])
        row: dict[str, Any] = {
            "cause": cause,
            "deaths": int(np.asarray(total.deaths)[index]),
            "raw": float(raw[index]) if total.observed else None,
            "mean": float(means[index]),
            "status": "passed_through" if passed == total.share else "calibrated",
            "share_passed_through": passed / total.share,
            "estimated_deaths": float(means[index]) * weight,
        }
        if row["status"] == "calibrated":
            row["sd"] = float(sds[index])
            row |= dict(zip(names, map(float, bounds[:, index]), strict=True))
            row |= {f"estimated_deaths_{name}": row[name] * weight for name in ("q025", "q975")}
        rows.append(row)
    return rows


def _disagreement(estimates: Sequence[dict[str, Any]], rollups: Sequence[dict[str, Any]]) -> None:
    """Flag causes on which algorithms disagree: intervals apart, or none holds the ensemble's mean."""
    for cause in dict.fromkeys(row["cause"] for row in estimates):
        rows = [row for row in estimates if row["cause"] == cause]
        single = [r for r in rows if r["algorithm"] != ENSEMBLE and r["status"] == "calibrated"]
        ensemble = [row["mean"] for row in rows if row["algorithm"] == ENSEMBLE]
        apart = single and max(r["q025"] for r in single) > min(r["q975"] for r in single)
        outside = single and any(not any(r["q025"] <= m <= r["q975"] for r in single) for m in ensemble)
        if apart or outside:
            for row in (*rows, *rollups):
                row["flags"] = [*row["flags"], "algorithms_disagree"]


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
