"""Small multiples: one panel for each cause, one row for each stratum or roll-up, on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from tasks.figures.style import (
    BAND,
    BROKEN,
    GREY,
    LEGEND,
    PALETTE,
    PAPER,
    Picture,
    Sheet,
    estimate_marks,
    percent_ceiling,
    style,
    wrap,
)
from tasks.view import (
    Unit,
    View,
    group_title,
    level_name,
    main_results,
    mixed_verdicts,
    span_text,
    trusts_interval,
)

AT_MOST = 24  # rows: more cannot be read
_COLUMNS = 3
_ROW, _BETWEEN = 0.15, 0.58  # inches: a row, and the room between rows of panels


def strata_pictures(view: View) -> list[Picture]:
    """One picture for each age group and country that has at least two units to compare."""
    return [
        picture
        for group in view.groups()
        if (picture := strata_picture(view, comparable(view, group))) is not None
    ]


def comparable(view: View, group: tuple[str, str]) -> list[Unit]:
    """The finest level of an age group and country of which all units fit into a picture; else all strata."""
    levels: dict[str, list[Unit]] = {}
    for unit in view.units:
        if unit.group == group:
            levels.setdefault(unit.level, []).append(unit)
    readable = [units for units in levels.values() if 2 <= len(units) <= AT_MOST]
    return max(readable, key=len) if readable else levels.get("stratum", [])


def strata_picture(view: View, units: Sequence[Unit]) -> Picture | None:
    """Main results of the units side by side, the AT_MOST with the most deaths; None of fewer than two."""
    if len(units) < 2:
        return None
    largest = sorted(units, key=lambda unit: -unit.deaths)[:AT_MOST]
    shown = [unit for unit in units if unit in largest]
    say, causes = view.say, view.causes(shown)
    rows = {(main.unit, row["cause"]): row for main in main_results(shown) for row in main.rows}
    title = say("figures.strata_title", level=level_name(view, units[0].level))
    with style():
        sheet = _sheet(view, units, shown, title, len(causes))
        limit = percent_ceiling(max((r["q975"] or r["mean"] or 0 for r in rows.values()), default=0))
        for place, axes in enumerate(_grid(sheet, len(causes), len(shown))):
            _panel(axes, [rows.get((unit, causes[place])) for unit in shown], limit)
            axes.set_title(wrap(say.cause(causes[place]), 26), size=8)
            names = [wrap(unit.name, 26) for unit in shown] if place % _COLUMNS == 0 else [""] * len(shown)
            axes.set_yticks(range(len(shown)), names, size=6.8)
            if place >= len(causes) - _COLUMNS:
                axes.set_xlabel(say("figures.share_axis"), size=7.5)
        sheet.legend(estimate_marks(rows.values(), say, raw="|", calibrated="o", colour=PALETTE[0]))
    alt = say("figures.alt_strata", text=span_text(view, rows))
    name = f"strata-{view.group_file_names[units[0].group]}"
    return Picture(name, f"{title}, {group_title(view, shown)}", alt, sheet.figure)


def _sheet(view: View, units: Sequence[Unit], shown: list[Unit], title: str, panels: int) -> Sheet:
    say, lines = view.say, -(-panels // _COLUMNS)
    height = lines * (len(shown) * _ROW + _BETWEEN) + LEGEND + 0.12
    foot = mixed_verdicts(view, shown)
    if len(shown) < len(units):
        foot.insert(1, say("figures.strata_largest", shown=len(shown), number=say.number(len(units))))
    return Sheet(view, title, group_title(view, shown), foot, height)


def _grid(sheet: Sheet, panels: int, rows: int) -> list[Axes]:
    left, gap, width = 0.215, 0.022, 0.243
    height, pitch = sheet.fraction(rows * _ROW), sheet.fraction(rows * _ROW + _BETWEEN)
    above = 1 - sheet.fraction(LEGEND - 0.26)
    return [
        sheet.axes(
            left + (place % _COLUMNS) * (width + gap), above - (place // _COLUMNS + 1) * pitch, width, height
        )
        for place in range(panels)
    ]


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any] | None], limit: float) -> None:
    """One row per unit; few calls for many points, as each call costs time."""
    there = [(y, row) for y, row in enumerate(rows) if row is not None and row["mean"] is not None]
    blue = PALETTE[0]

    def dots(kept: list[tuple[int, Mapping[str, Any]]], column: str, shape: str, **style: Any) -> None:
        axes.plot(
            [100 * r[column] for _, r in kept], [y for y, _ in kept], shape, ls="none", clip_on=False, **style
        )

    axes.barh(range(0, len(rows), 2), limit, height=1, color=BAND, zorder=0)
    dots([p for p in there if p[1]["raw"] is not None], "raw", "|", ms=6, color=GREY, mew=1.1, zorder=3)
    dots(
        [p for p in there if p[1]["status"] != "calibrated"], "mean", "x", ms=3.6, color=GREY, mew=1, zorder=4
    )
    calibrated = [(y, row) for y, row in there if row["status"] == "calibrated" and row["q025"] is not None]
    for trusted, line in ((True, "-"), (False, BROKEN)):
        kept = [(y, row) for y, row in calibrated if trusts_interval(row) == trusted]
        low, high = ([min(100 * row[q], limit) for _, row in kept] for q in ("q025", "q975"))
        axes.hlines([y for y, _ in kept], low, high, color=blue, lw=1.3, ls=line, zorder=2)
    for refused, face in ((True, PAPER), (False, blue)):
        kept = [(y, row) for y, row in calibrated if (row["verdict"] == "do_not_publish") == refused]
        dots(kept, "mean", "o", ms=3.8, mfc=face, mec=blue, mew=0.9, zorder=4)
    axes.set(xlim=(0, limit), ylim=(len(rows) - 0.5, -0.5))
    axes.grid(axis="x", color="#c9ccd1", lw=0.4, zorder=0.5)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=7)
