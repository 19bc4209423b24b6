"""What a made-up joint run has beside the tables of all runs: joint fits, and contrasts between years."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import Any

from tasks.results.schema import ALL, COMPARED

Row = Mapping[str, Any]


def joint_fits(strata: Sequence[Row], columns: Sequence[str], country: str) -> Iterator[dict[str, Any]]:
    """A fit an age group and algorithm: of the first more than 1% diverged, the last is not published."""
    fits = list(dict.fromkeys((row["age_group"], row["algorithm"]) for row in strata))
    for place, (age_group, algorithm) in enumerate(fits):
        published = len(fits) == 1 or place < len(fits) - 1
        yield {
            "stratum": f"age_group={age_group}/country={country}", "age_group": age_group,
            **dict.fromkeys(columns, ALL), "algorithm": algorithm, "flags": "",
            "strata": len({row["stratum"] for row in strata if row["age_group"] == age_group}),
            "published": published, "converged": published,
            "reason": None if published else "the chains do not agree: R-hat 1.084",
            "rhat_nation": 1.004 if published else 1.041, "rhat_strata": 1.009 if published else 1.084,
            "ess_bulk_nation": 2310.0 if published else 61.0, "ess_tail_nation": 1502.0,
            "ess_bulk_strata": 2045.0, "ess_tail_strata": 1101.0 if published else 48.0,
            "divergences": 61 if place == 0 else place, "transitions": 4400, "acceptance": 0.81,
            "relabelled": 0.0, "evaluations": 212_000, "budget": 5_000_000,
            "phi_mean": 33.0 + place, "phi_q025": 21.0, "phi_q975": 49.0, "strata_misfit": 0,
        }  # fmt: skip


def contrasts(csmf: Sequence[Row], between: str) -> Iterator[dict[str, Any]]:
    """Each value of the column against the one before, where there is a roll-up by that column."""
    rows = {
        (row["age_group"], row["algorithm"], row["cause"], row[between]): row
        for row in csmf
        if row["level"] == between
    }
    values = list(dict.fromkeys(value for *_, value in rows))
    for first, second in pairwise(values):
        for (*key, value), before in rows.items():
            if value == first:
                yield _contrast(before, rows[(*key, second)], between)


def _contrast(before: Row, after: Row, between: str) -> dict[str, Any]:
    row = {name: before[name] for name in before if name in ("age_group", "algorithm", "cause", "status")}
    row |= {name: ALL for name in before if name in ("province", "sex")}
    difference = after["mean"] - before["mean"]
    row |= {
        "stratum": before["stratum"].rpartition("/")[0], between: COMPARED, "level": between,
        "between": between, "reference": before[between], "compared": after[between], "flags": "",
        "reference_mean": before["mean"], "compared_mean": after["mean"], "difference": difference,
        "verdict": "publishable", "verdict_codes": "[]", "verdict_reasons": None,
    }  # fmt: skip
    if before["status"] == "calibrated":
        spread = NormalDist(difference, (before["sd"] ** 2 + after["sd"] ** 2) ** 0.5)
        row |= {"sd": spread.stdev, "q025": spread.inv_cdf(0.025), "q975": spread.inv_cdf(0.975)}
        row["probability_higher"] = 1 - spread.cdf(0)
    return row
