"""Raw against calibrated CSMF, one row for each cause and algorithm: one sees whether algorithms agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from tasks.figures.style import (
    BAND,
    BROKEN,
    GREY,
    INK,
    LEGEND,
    MARKERS,
    PALETTE,
    PAPER,
    WARNING,
    Picture,
    Sheet,
    estimate_marks,
    percent_ceiling,
    style,
    wrap,
)
from tasks.view import NO_INTERVAL, Result, Unit, caveat_lines, disagrees, trusts_interval, unit_title

_ROW = 0.168  # inches
_GAP = 0.5  # rows between causes
_Rows = dict[tuple[str, str], Mapping[str, Any]]  # by algorithm and cause
_LEFT, _WIDTH = 0.315, 0.50  # of the axes, as fractions of the figure's width
_CAUSES = -0.3025 / _WIDTH  # where the names of causes begin, from the axes' left edge


def csmf_picture(unit: Unit) -> Picture:
    """Raw and calibrated fractions with 95% intervals of every algorithm and the ensemble in one unit."""
    view, say = unit.view, unit.view.say
    results, causes = unit.estimated, view.causes([unit])
    rows: _Rows = {(result.algorithm, row["cause"]): row for result in results for row in result.rows}
    title = say("figures.csmf_title")
    with style():
        height = (len(causes) * (len(results) + _GAP)) * _ROW + 0.75
        sheet = Sheet(view, title, unit_title(unit), caveat_lines(view, results), height)
        axes = sheet.axes(_LEFT, sheet.fraction(0.42), _WIDTH, 1 - sheet.fraction(0.42 + LEGEND))
        _draw(axes, sheet, causes, results, rows)
        sheet.legend(estimate_marks(rows.values(), say, raw="o", calibrated="D", star=NO_INTERVAL))
    return Picture(f"csmf-{view.file_names[unit]}", f"{title}, {unit.label}", _alt(unit), sheet.figure)


def _draw(axes: Axes, sheet: Sheet, causes: list[str], results: list[Result], rows: _Rows) -> None:
    pitch = len(results) + _GAP
    highest = max((max(r["raw"] or 0, r["mean"] or 0, r["q975"] or 0) for r in rows.values()), default=0)
    limit = percent_ceiling(highest)
    for place, cause in enumerate(causes):
        top = place * pitch
        if place % 2 == 0:
            edges = (top - 0.5 - _GAP / 2, top + len(results) - 0.5 + _GAP / 2)
            axes.axhspan(*edges, color=BAND, lw=0, zorder=0)
        _name_cause(
            axes,
            sheet,
            top,
            cause,
            [rows[r.algorithm, cause] for r in results if (r.algorithm, cause) in rows],
        )
        for offset, result in enumerate(results):
            if (result.algorithm, cause) in rows:
                text = result.view.marked(rows[result.algorithm, cause])
                _beside(axes, 1.02, top + offset, text, size=7.5, ha="left")
            if len(results) > 1:
                weight = "bold" if result.is_ensemble else "normal"
                _beside(axes, -0.02, top + offset, result.name, size=7.5, ha="right", weight=weight)
    for offset, result in enumerate(results):
        there = [(p, rows.get((result.algorithm, cause))) for p, cause in enumerate(causes)]
        points = [(p * pitch + offset, row) for p, row in there if row is not None]
        _mark(axes, points, _look(results, result), limit)
    axes.set(ylim=(len(causes) * pitch - 0.5 - _GAP / 2, -0.5 - _GAP / 2), xlim=(0, limit), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#c9ccd1", lw=0.5, zorder=0.5)
    axes.set_xlabel(sheet.say("figures.share_axis"))


def _name_cause(axes: Axes, sheet: Sheet, top: float, cause: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """The cause, and below it in red that the algorithms contradict each other on it."""
    several = len(rows) > 1
    name = wrap(sheet.say.cause(cause), 18 if several else 30)
    middle = top + (len(rows) - 1) / 2
    disagree = any(map(disagrees, rows))
    _beside(axes, _CAUSES, middle - 0.5 * disagree, name, weight="bold", size=8, ha="left")
    if disagree:
        below = middle + 0.55 * (name.count("\n") + 1)
        text = sheet.say("flag_names.algorithms_disagree")
        _beside(axes, _CAUSES, below, text, size=7, ha="left", color=WARNING)


def _look(results: list[Result], result: Result) -> tuple[str, str]:
    """Colour and marker: black diamond for the ensemble."""
    if result.is_ensemble:
        return INK, "D"
    place = results.index(result) % len(PALETTE)
    return PALETTE[place], MARKERS[place]


def _mark(
    axes: Axes, points: list[tuple[float, Mapping[str, Any]]], look: tuple[str, str], limit: float
) -> None:
    """The marks of one algorithm; few calls for many points, as each call costs time."""
    colour, marker = look

    def dots(kept: list[tuple[float, Mapping[str, Any]]], column: str, shape: str, **style: Any) -> None:
        axes.plot(
            [100 * r[column] for _, r in kept], [y for y, _ in kept], shape, ls="none", clip_on=False, **style
        )

    raw = [(y, row) for y, row in points if row["raw"] is not None]
    dots(raw, "raw", "o", ms=5.2, mfc=PAPER, mec=GREY, mew=1.1, zorder=3)
    dots(
        [p for p in points if p[1]["status"] == "passed_through"],
        "mean",
        "x",
        ms=4.5,
        color=GREY,
        mew=1.2,
        zorder=4,
    )
    calibrated = [(y, row) for y, row in points if row["status"] == "calibrated" and row["q025"] is not None]
    for trusted, line in ((True, "-"), (False, BROKEN)):
        kept = [(y, row) for y, row in calibrated if trusts_interval(row) == trusted]
        low, high = ([min(100 * row[q], limit) for _, row in kept] for q in ("q025", "q975"))
        axes.hlines([y for y, _ in kept], low, high, color=colour, lw=1.7, ls=line, zorder=2)
    for refused, face in ((True, PAPER), (False, colour)):
        kept = [(y, row) for y, row in calibrated if (row["verdict"] == "do_not_publish") == refused]
        dots(kept, "mean", marker, ms=4.6, mfc=face, mec=colour, mew=1, zorder=4)


def _beside(axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
    axes.text(x, y, text, transform=axes.get_yaxis_transform(), va="center", linespacing=1.0, **options)


def _alt(unit: Unit) -> str:
    say, main = unit.view.say, unit.main
    rows = main.rows if main else []
    text = say.series(f"{say.cause(row['cause'])} {unit.view.quoted(row)}" for row in rows)
    return say("figures.alt_csmf", unit=unit.label, text=text or say("verdicts.do_not_publish"))
