"""The table of joint fits in the report: did the chains agree, and how alike are the strata."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.report.tables import PageTable
from tasks.results import ALL, DIVERGENT
from tasks.terms import NOTHING, Words
from tasks.view import View

SHARE = 0.2
"""Share of deaths for which the spread between strata is told."""


def joint_fits(view: View) -> list[PageTable]:
    """One row per joint fit; none where the run has none."""
    if not view.has_table("joint_fits"):
        return []
    say = view.say
    fits = view.results.table("joint_fits").to_pylist()
    names = ("joint_fit", "algorithm", "strata", "rhat", "ess", "divergences", "phi", "spread")
    return [
        PageTable(
            say("report.joint_fits"),
            [say(f"columns.{name}") for name in names],
            [_row(fit, view.columns, say) for fit in fits],
            frozenset(range(2, 8)),
            remarks=[_remark(fit, say) for fit in fits],
            note=say("report.joint_fits_note", share=say.percent(SHARE)),
        )
    ]


def _row(fit: Mapping[str, Any], columns: Sequence[str], say: Words) -> list[str]:
    group = say.or_plain(f"age_groups_short.{fit['age_group']}")
    where = [fit[name] for name in columns if fit[name] != ALL]
    effective = [min(fit[f"ess_bulk_{of}"], fit[f"ess_tail_{of}"]) for of in ("nation", "strata")]
    phi = [fit[f"phi_{end}"] for end in ("mean", "q025", "q975")]
    spread = [_spread(value) for value in phi]
    return [
        ", ".join([say.country(fit["country"]), group, *where]),
        say.algorithm(fit["algorithm"]),
        say.number(fit["strata"]),
        " / ".join(say.decimal(fit[f"rhat_{of}"], 3) for of in ("nation", "strata")),
        " / ".join(map(say.number, effective)),
        f"{say.number(fit['divergences'])} ({say.percent(fit['divergences'] / fit['transitions'], 1)})",
        _with_interval(*map(say.number, phi)) if fit["published"] else NOTHING,
        "\N{PLUS-MINUS SIGN}" + _with_interval(*(say.number(100 * spread[i]) for i in (0, 2, 1)))
        if fit["published"]
        else NOTHING,
    ]


def _remark(fit: Mapping[str, Any], say: Words) -> str:
    """What speaks against a fit, in a few words; empty if nothing does."""
    if not fit["published"]:
        return say("reasons.joint_fit_not_published")
    return say("flag_names.divergences") if fit["divergences"] > DIVERGENT * fit["transitions"] else ""


def _spread(phi: float) -> float:
    """Standard deviation between strata of a fraction whose mean is SHARE, p_s ~ Dirichlet(phi * pi)."""
    return math.sqrt(SHARE * (1 - SHARE) / (1 + phi))


def _with_interval(value: str, low: str, high: str) -> str:
    return f"{value} ({low}\N{EN DASH}{high})"
