"""Trends: calibrated CSMF over the periods of a strata column, one panel for each cause."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tasks.figures.style import (
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
from tasks.results import ALL
from tasks.terms import MISSING
from tasks.view import Unit, View, group_title, mixed_verdicts, trusts_interval

_PERIOD = re.compile(r"\d{4}([-/ ]?([QTSWM]?\d{1,2}))?", re.IGNORECASE)
_COLUMNS = 3
_PITCH = 1.95  # inches from one row of panels to the next
_THIN = "#a6abb2"
_BACKGROUND_AT_MOST = 60  # thin lines
_Series = list[tuple[int, Unit]]  # position of the period on the axis, unit


def period_column(view: View) -> str | None:
    """The strata column that holds years, months, quarters or weeks (2023, 2023-04, 2023Q2); None without."""
    for column in view.columns:
        values = {unit.values[column] for unit in view.units} - {ALL, MISSING}
        if len(values) > 1 and all(_PERIOD.fullmatch(value) for value in values):
            return column
    return None


def trend_pictures(view: View) -> list[Picture]:
    """One picture for each age group and country; none where no strata column holds periods."""
    column = period_column(view)
    if column is None:
        return []
    return [p for group in view.groups() if (p := _trend_picture(view, group, column)) is not None]


def _trend_picture(view: View, group: tuple[str, str], column: str) -> Picture | None:
    units = [u for u in view.units if u.group == group and u.values[column] not in (ALL, MISSING)]
    periods = sorted({unit.values[column] for unit in units})
    main, others = _main_series(units, column, periods)
    if not main and not others:
        return None
    drawn = [unit for _, unit in main] or [unit for line in others for _, unit in line]
    say, causes = view.say, view.causes(drawn)
    title = say("figures.trends_title")
    where = group_title(view, drawn)
    with style():
        foot = [*mixed_verdicts(view, drawn), say("figures.trends_scales")]
        lines = -(-len(causes) // _COLUMNS)
        sheet = Sheet(view, title, where, foot, lines * _PITCH + LEGEND)
        for place, cause in enumerate(causes):
            axes = sheet.axes(
                0.06 + (place % _COLUMNS) * 0.322,
                sheet.fraction((lines - 1 - place // _COLUMNS) * _PITCH + 0.33), 0.27, sheet.fraction(1.3),
            )  # fmt: skip
            _panel(axes, cause, main, others)
            axes.set_title(wrap(say.cause(cause), 30), size=8)
            axes.set_xticks(range(len(periods)), periods, size=7)
            if len(periods) > 6:
                axes.set_xticks(range(0, len(periods), -(-len(periods) // 6)))
            if place % _COLUMNS == 0:
                axes.set_ylabel(say("figures.share_axis"), size=7.5)
        rows = [row for cause in causes for _, row in _points(main, cause)]
        sheet.legend(_legend(sheet, rows, others, column))
    alt = _alt(sheet, main, causes, periods)
    return Picture(f"trends-{view.group_file_names[group]}", f"{title}, {where}", alt, sheet.figure)


def _legend(
    sheet: Sheet, rows: Sequence[Mapping[str, Any]], others: list[_Series], column: str
) -> list[Artist]:
    say, blue = sheet.say, PALETTE[0]
    entries: list[Artist] = []
    if rows:
        entries.append(Line2D([], [], color=GREY, lw=1, ls=(0, (3, 2)), label=say("figures.raw")))
        entries += estimate_marks(rows, say, raw="", calibrated="o", colour=blue)[1:]
    if others:
        varying = [name for name, value in others[0][0][1].values.items() if value != ALL and name != column]
        name = say.listing(varying)
        entries.append(Line2D([], [], color=_THIN, lw=0.8, label=say("figures.trends_lines", level=name)))
    return entries


def _main_series(units: Sequence[Unit], column: str, periods: list[str]) -> tuple[_Series, list[_Series]]:
    """The units that differ by the period alone, and the lines of the coarsest level below them."""
    own = [u for u in units if all(v == ALL for name, v in u.values.items() if name != column)]
    finer: dict[str, dict[tuple[str, ...], _Series]] = {}
    for unit in units:
        key = tuple(v for name, v in unit.values.items() if name != column)
        if unit not in own:
            finer.setdefault(unit.level, {}).setdefault(key, []).append(
                (periods.index(unit.values[column]), unit)
            )
    if len(units[0].values) == 1 if units else False:
        own = list(units)
    main = [(periods.index(unit.values[column]), unit) for unit in own]
    readable = [list(lines.values()) for lines in finer.values() if len(lines) <= _BACKGROUND_AT_MOST]
    others = min(readable, key=len, default=[])
    return sorted(main, key=lambda point: point[0]), [] if main and own == list(units) else others


def _panel(axes: Axes, cause: str, main: _Series, others: list[_Series]) -> None:
    highest = 0.05
    for line in others:
        points = _points(line, cause)
        axes.plot(
            [x for x, _ in points], [100 * row["mean"] for _, row in points], color=_THIN, lw=0.8, zorder=1
        )
        highest = max([highest, *(row["mean"] for _, row in points)])
    points = _points(main, cause)
    highest = max([highest, *(row["q975"] or row["mean"] for _, row in points)])
    x = [place for place, _ in points]
    if points:
        _band(axes, [(place, row) for place, row in points if row["q025"] is not None])
        axes.plot(x, [100 * row["mean"] for _, row in points], color=PALETTE[0], lw=1.6, zorder=4)
        raw = [math.nan if row["raw"] is None else 100 * row["raw"] for _, row in points]
        axes.plot(x, raw, color=GREY, lw=1, ls=(0, (3, 2)), zorder=3)
        for place, row in points:
            face = PAPER if row["verdict"] == "do_not_publish" else PALETTE[0]
            passed = row["status"] == "passed_through"
            look: dict[str, Any] = {"color": GREY} if passed else {"mfc": face, "mec": PALETTE[0]}
            axes.plot(place, 100 * row["mean"], "x" if passed else "o", ms=3.8, zorder=5, **look)
    axes.set_ylim(0, percent_ceiling(highest))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=7)
    axes.grid(axis="y", color="#d5d8dc", lw=0.4, zorder=0)


def _band(axes: Axes, points: list[tuple[int, Mapping[str, Any]]]) -> None:
    """The 95% interval as a band; the ends of one that is too narrow as broken lines."""
    x = [place for place, _ in points]
    low, high = ([100 * row[q] for _, row in points] for q in ("q025", "q975"))
    if all(trusts_interval(row) for _, row in points):
        axes.fill_between(x, low, high, color=PALETTE[0], alpha=0.18, lw=0, zorder=2)
        return
    for ends in (low, high):
        axes.plot(x, ends, color=PALETTE[0], lw=0.9, ls=BROKEN, zorder=2)


def _points(line: _Series, cause: str) -> list[tuple[int, Mapping[str, Any]]]:
    found = []
    for place, unit in line:
        rows = {row["cause"]: row for row in unit.main.rows} if unit.main else {}
        if cause in rows and rows[cause]["mean"] is not None:
            found.append((place, rows[cause]))
    return sorted(found, key=lambda point: point[0])


def _alt(sheet: Sheet, main: _Series, causes: list[str], periods: list[str]) -> str:
    say, ends = sheet.say, []
    for cause in causes:
        points = _points(main, cause)
        if points:
            first, last = (say.percent(row["mean"]) for _, row in (points[0], points[-1]))
            ends.append(say("figures.alt_trend", cause=say.cause(cause), first=first, last=last))
    return say(
        "figures.alt_trends", first=periods[0], last=periods[-1], text=say.series(ends) or "\N{EM DASH}"
    )
