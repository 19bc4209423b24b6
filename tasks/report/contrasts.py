"""The table of contrasts in the report: the surest differences first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.report.tables import PageTable
from tasks.results import ALL, COMPARED, ENSEMBLE, split_flags
from tasks.terms import NOTHING, Words
from tasks.view import View, shown_verdict, trusts_interval

AT_MOST = 40


def contrasts(view: View) -> list[PageTable]:
    """The surest differences of the main algorithm, ensemble or first; none where the run has none."""
    if not view.has_table("contrasts"):
        return []
    say = view.say
    main = ENSEMBLE if ENSEMBLE in view.algorithms else view.algorithms[0]
    table = view.results.table("contrasts").to_pylist()
    found = [row for row in table if row["algorithm"] == main and row["probability_higher"] is not None]
    found.sort(key=lambda row: -abs(row["probability_higher"] - 0.5))
    shown = found[:AT_MOST]
    names = ("stratum", "comparison", "cause", "difference", "interval", "probability_higher", "verdict")
    notes = [say("flags.difference_not_joint")] if any(map(_separate, shown)) else []
    if len(found) > AT_MOST:
        notes.append(say("report.contrasts_limited", shown=len(shown), number=say.number(len(found))))
    return [
        PageTable(
            f"{say('report.contrasts')} · {say.algorithm(main)}",
            [say(f"columns.{name}") for name in names],
            [_row(row, view.columns, say) for row in shown],
            frozenset((3, 4, 5)),
            [row["verdict"] or "" for row in shown],
            note=" ".join(notes),
        )
    ]


def _separate(row: Mapping[str, Any]) -> bool:
    """The two results are of separate fits: interval and probability do not hold."""
    return "difference_not_joint" in split_flags(row["flags"])


def _row(row: Mapping[str, Any], columns: Sequence[str], say: Words) -> list[str]:
    where = [row[name] for name in columns if row[name] not in (ALL, COMPARED)]
    group = say.or_plain(f"age_groups_short.{row['age_group']}")
    trusted = trusts_interval(row) and not _separate(row)
    interval = f"{_points(row['q025'], say)} \N{HORIZONTAL ELLIPSIS} {_points(row['q975'], say)}"
    return [
        ", ".join([say.country(row["country"]), group, *where]),
        f"{row['reference']} \N{RIGHTWARDS ARROW} {row['compared']}",
        say.cause(row["cause"]),
        _points(row["difference"], say),
        interval if trusted else NOTHING,
        say.probability(row["probability_higher"]) if trusted else NOTHING,
        say(f"verdicts_short.{shown_verdict(row)}") if row["verdict"] else NOTHING,
    ]


def _points(fraction: float, say: Words) -> str:
    """Percentage points with their sign."""
    points = round(100 * fraction, 1)
    sign = "+" if points > 0 else "\N{MINUS SIGN}" if points < 0 else ""
    return sign + say.decimal(abs(points), 1)
