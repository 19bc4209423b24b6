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
from tasks.results import ENSEMBLE, split_flags
from tasks.terms import Words
from tasks.view import NO_INTERVAL, Unit, View, caveat_lines, slug, trusts_interval, unit_title, warning

_ROW = 0.168  # inches
_GAP = 0.5  # rows between causes
_Rows = dict[tuple[str, str], Mapping[str, Any]]  # by algorithm and cause
_LEFT, _WIDTH = 0.315, 0.50  # of the axes, as fractions of the figure's width
_CAUSES = -0.3025 / _WIDTH  # where the names of causes begin, from the axes' left edge


def csmf_picture(view: View, unit: Unit, say: Words) -> Picture:
    """Raw and calibrated fractions with 95% intervals of every algorithm and the ensemble in one unit."""
    algorithms = [a for a in view.algorithms if view.rows(unit, a)]
    causes = view.causes([unit])
    rows: _Rows = {(a, row["cause"]): row for a in algorithms for row in view.rows(unit, a)}
    title = say("figures.csmf_title")
    with style():
        height = (len(causes) * (len(algorithms) + _GAP)) * _ROW + 0.75
        sheet = Sheet(
            title,
            unit_title(unit, say),
            caveat_lines(view, unit, algorithms, say),
            height,
            warning(view, say),
        )
        axes = sheet.axes(_LEFT, sheet.fraction(0.42), _WIDTH, 1 - sheet.fraction(0.42 + LEGEND))
        _draw(axes, view, causes, algorithms, rows, say)
        sheet.legend(estimate_marks(rows.values(), say, raw="o", calibrated="D", star=NO_INTERVAL))
    return Picture(f"csmf-{slug(unit)}", f"{title}, {unit.label(say)}", _alt(view, unit, say), sheet.figure)


def _draw(axes: Axes, view: View, causes: list[str], algorithms: list[str], rows: _Rows, say: Words) -> None:
    pitch = len(algorithms) + _GAP
    highest = max((max(r["raw"] or 0, r["mean"] or 0, r["q975"] or 0) for r in rows.values()), default=0)
    limit = percent_ceiling(highest)
    for place, cause in enumerate(causes):
        top = place * pitch
        if place % 2 == 0:
            edges = (top - 0.5 - _GAP / 2, top + len(algorithms) - 0.5 + _GAP / 2)
            axes.axhspan(*edges, color=BAND, lw=0, zorder=0)
        _name_cause(axes, top, cause, [rows[a, cause] for a in algorithms if (a, cause) in rows], say)
        for offset, algorithm in enumerate(algorithms):
            if (algorithm, cause) in rows:
                text = view.marked(rows[algorithm, cause], say)
                _beside(axes, 1.02, top + offset, text, size=7.5, ha="left")
            if len(algorithms) > 1:
                weight = "bold" if algorithm == ENSEMBLE else "normal"
                name = say.algorithm(algorithm)
                _beside(axes, -0.02, top + offset, name, size=7.5, ha="right", weight=weight)
    for offset, algorithm in enumerate(algorithms):
        points = [
            (p * pitch + offset, rows[algorithm, c]) for p, c in enumerate(causes) if (algorithm, c) in rows
        ]
        _mark(axes, points, _look(algorithms, algorithm), limit)
    axes.set(ylim=(len(causes) * pitch - 0.5 - _GAP / 2, -0.5 - _GAP / 2), xlim=(0, limit), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#c9ccd1", lw=0.5, zorder=0.5)
    axes.set_xlabel(say("figures.share_axis"))


def _name_cause(axes: Axes, top: float, cause: str, rows: Sequence[Mapping[str, Any]], say: Words) -> None:
    """The cause, and below it in red that the algorithms contradict each other on it."""
    several = len(rows) > 1
    name = wrap(say.cause(cause), 18 if several else 30)
    middle = top + (len(rows) - 1) / 2
    disagree = any("algorithms_disagree" in split_flags(row["flags"] or "") for row in rows)
    _beside(axes, _CAUSES, middle - 0.5 * disagree, name, weight="bold", size=8, ha="left")
    if disagree:
        below = middle + 0.55 * (name.count("\n") + 1)
        _beside(axes, _CAUSES, below, say("flag_names.algorithms_disagree"), size=7, ha="left", color=WARNING)


def _look(algorithms: list[str], algorithm: str) -> tuple[str, str]:
    """Colour and marker: black diamond for the ensemble."""
    if algorithm == ENSEMBLE:
        return INK, "D"
    place = algorithms.index(algorithm) % len(PALETTE)
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


def _alt(view: View, unit: Unit, say: Words) -> str:
    main = view.main(unit)
    rows = view.rows(unit, main) if main else []
    text = say.series(f"{say.cause(row['cause'])} {view.quoted(row, say)}" for row in rows)
    return say("figures.alt_csmf", unit=unit.label(say), text=text or say("verdicts.do_not_publish"))
