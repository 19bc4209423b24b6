"""Records accounted for: used, not fitted, excluded and rejected, by age group and algorithm."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from tasks.figures.style import GREY, INK, LEGEND, PAPER, Picture, Sheet, style
from tasks.results import DISPOSITIONS
from tasks.terms import Words
from tasks.view import View, inventory_line, records_by

_LOOK = {  # face, hatch
    "used": ("#2b5c8a", ""),
    "not_fitted": ("#f0c45a", "///"),
    "excluded": ("#d5d8dc", ""),
    "rejected": (PAPER, "xxx"),
}


def records_picture(view: View) -> Picture:
    """Bars of what became of the records, one for each age group and algorithm."""
    wide = records_by(view, "age_group", "algorithm")
    say, title = view.say, view.say("figures.records_title")
    with style():
        sheet = Sheet(view, title, "", [inventory_line(view)], len(wide) * 0.34 + 0.85)
        axes = sheet.axes(0.24, sheet.fraction(0.42), 0.62, 1 - sheet.fraction(0.42 + 1.1 * LEGEND))
        _bars(axes, wide, say)
        sheet.legend(axes.get_legend_handles_labels()[0])
    return Picture("records", title, say("figures.alt_records"), sheet.figure)


def _bars(axes: Axes, wide: pd.DataFrame, say: Words) -> None:
    received = wide.sum(axis=1).to_numpy(float)
    start = received * 0
    for disposition in DISPOSITIONS:
        face, hatch = _LOOK[disposition]
        share = 100 * wide[disposition].to_numpy(float) / received
        axes.barh(
            range(len(wide)), share, left=start, height=0.62, color=face, hatch=hatch, edgecolor=GREY, lw=0.6,
            label=say(f"dispositions.{disposition}"),
        )  # fmt: skip
        start = start + share
    axes.set_yticks(range(len(wide)), [_name(key, say) for key in wide.index], size=7.5)
    for row, total in enumerate(received):
        axes.text(101.5, row, say.number(total), va="center", size=7.5, color=INK)
    axes.text(101.5, -0.75, say("report.records_received"), va="center", size=7.5, color=GREY)
    axes.set(xlim=(0, 100), ylim=(len(wide) - 0.5, -0.5))
    axes.set_xlabel(say("figures.records_axis"))
    axes.tick_params(axis="y", length=0)


def _name(key: tuple[str, str], say: Words) -> str:
    age_group, algorithm = key
    return f"{say.algorithm(algorithm)}, {say.or_plain(f'age_groups_short.{age_group}')}"
