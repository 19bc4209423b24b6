"""The table of the baselines of common matrix draws in the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.report.tables import PageTable
from tasks.results import texts_from_json
from tasks.terms import NOTHING, Words
from tasks.view import View


def common_fits(view: View) -> list[PageTable]:
    """One row per baseline; none where the run has none."""
    if not view.has_table("common_fits"):
        return []
    say = view.say
    names = (
        "joint_fit",
        "algorithm",
        "strata",
        "centre_units",
        "concentration",
        "counts_weight",
        "rhat",
        "ess",
    )
    fits = view.results.table("common_fits").to_pylist()
    return [
        PageTable(
            say("report.common_fits"),
            [say(f"columns.{name}") for name in names],
            [_row(fit, say) for fit in fits],
            frozenset(range(2, 8)),
            remarks=[say.or_plain(f"reasons.{fit['reason']}") if fit["reason"] else "" for fit in fits],
            note=say("report.common_fits_note"),
        )
    ]


def _row(fit: Mapping[str, Any], say: Words) -> list[str]:
    group = say.or_plain(f"age_groups_short.{fit['age_group']}")
    own = [
        f"{say.country(fit['country'])}, {group}",
        say.algorithm(fit["algorithm"]),
        say.number(fit["strata"]),
    ]
    if fit["status"] != "drawn":
        return [*own, *[NOTHING] * 5]
    weight = 1 / (1 + (len(texts_from_json(fit["fit_members"])) - 1) * fit["common_share"])
    return [
        *own,
        say.number(fit["centre_units"]),
        say.number(fit["concentration"]),
        say.decimal(weight, 2),
        NOTHING if fit["rhat"] is None else say.decimal(fit["rhat"], 3),
        NOTHING if fit["ess_bulk"] is None else say.number(min(fit["ess_bulk"], fit["ess_tail"])),
    ]
