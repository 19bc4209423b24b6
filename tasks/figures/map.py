"""Maps: calibrated CSMF by place, one map for each cause, all on one scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path

from tasks.boundaries import Boundaries, Ring, read_boundaries
from tasks.errors import InputError
from tasks.figures.style import GREY, INK, LEGEND, PAPER, SEQUENTIAL, WIDTH, Picture, Sheet, style, wrap
from tasks.results import ALL
from tasks.terms import MISSING
from tasks.view import Unit, View, group_title, level_name, main_results, mixed_verdicts, span_text

_COLUMNS = 3
_WIDTH = 0.31  # of a map, as a fraction of the figure's width
_CLASSES = 6


def map_pictures(view: View, boundaries: str) -> list[Picture]:
    """One picture for each age group and country. `boundaries`: text of a GeoJSON file.

    Needs one result for each place: a roll-up by the strata column that holds the places, or strata of
    nothing else. Raises InputError where there is none, or where no place of the file is known.
    """
    column, places = _place_column(view, boundaries)
    level = _level(view, column)
    pictures = []
    for group in view.groups():
        units = [u for u in view.units if u.group == group and u.level == level]
        if units:
            pictures.append(_map_picture(view, units, column, places))
    return pictures


def _place_column(view: View, text: str) -> tuple[str, Boundaries]:
    """The strata column of which the file knows most values."""
    found: list[tuple[int, str, Boundaries]] = []
    problem: InputError | None = None
    for column in view.columns:
        values = {unit.values[column] for unit in view.units} - {ALL, MISSING}
        try:
            places = read_boundaries(text, values)
        except InputError as error:
            problem = problem or error
        else:
            found.append((len(values & places.places.keys()), column, places))
    if not found:
        raise problem or InputError("a map needs a strata column that holds places; the run has none")
    _, column, places = max(found, key=lambda entry: entry[0])
    return column, places


def _level(view: View, column: str) -> str:
    if any(unit.level == column for unit in view.units):
        return column
    if view.columns == [column]:
        return "stratum"
    raise InputError(f"a map needs one result for each {column}: add roll_ups: [[{column}]] to the request")


def _map_picture(view: View, units: Sequence[Unit], column: str, places: Boundaries) -> Picture:
    say, causes = view.say, view.causes(units)
    rows = {(main.unit, row["cause"]): row for main in main_results(units) for row in main.rows}
    title = say("figures.map_title", level=level_name(view, column))
    highest = max((row["mean"] for row in rows.values() if row["mean"] is not None), default=0.05)
    step = max(1, math.ceil(100 * highest / _CLASSES))
    norm = BoundaryNorm(np.arange(_CLASSES + 1) * step / 100, mpl.colormaps[SEQUENTIAL].N)
    with style():
        lines, height = -(-len(causes) // _COLUMNS), _height(places)
        pitch = height + 0.35
        subtitle = group_title(view, units)
        foot = mixed_verdicts(view, units)
        sheet = Sheet(view, title, subtitle, foot, lines * pitch + LEGEND + 0.5)
        for place, cause in enumerate(causes):
            axes = sheet.axes(
                0.02 + (place % _COLUMNS) * 0.325,
                sheet.fraction((lines - 1 - place // _COLUMNS) * pitch + 0.5), _WIDTH, sheet.fraction(height),
            )  # fmt: skip
            by_place = {unit.values[column]: rows.get((unit, cause)) for unit in units}
            _map(axes, places, by_place, norm)
            axes.set_title(wrap(say.cause(cause), 30), size=8, loc="center")
        _scale(sheet, norm)
        sheet.legend(_legend(sheet))
    alt = say("figures.alt_map", text=span_text(view, rows))
    return Picture(f"map-{view.group_file_names[units[0].group]}", f"{title}, {subtitle}", alt, sheet.figure)


def _map(axes: Axes, places: Boundaries, rows: Mapping[str, Any], norm: BoundaryNorm) -> None:
    for name, rings in places.places.items():
        row = rows.get(name)
        share = row["mean"] if row else None
        face = mpl.colormaps[SEQUENTIAL](norm(share)) if share is not None else "#eceef0"
        refused = row is not None and row["verdict"] == "do_not_publish"
        axes.add_patch(PathPatch(_path(rings), fc=face, ec=GREY, lw=0.5, hatch="////" if refused else None))
        if share is not None:
            x, y = _middle(rings)
            box = {"boxstyle": "round,pad=0.12", "fc": PAPER, "ec": "none", "alpha": 0.75}
            axes.text(x, y, f"{100 * share:.0f}", size=6.2, ha="center", va="center", color=INK, bbox=box)
    axes.autoscale_view()
    axes.set_aspect(places.aspect)
    axes.set_axis_off()


def _height(places: Boundaries) -> float:
    """Inches that a map takes when it fills its width; within reason for long and for flat countries."""
    return min(max(_WIDTH * WIDTH * places.aspect * places.tallness, 1.2), 3.8)


def _path(rings: Sequence[Ring]) -> Path:
    codes = [
        code for ring in rings for code in (Path.MOVETO, *[Path.LINETO] * (len(ring) - 2), Path.CLOSEPOLY)
    ]  # a ring's last point repeats its first
    return Path(np.concatenate(rings), codes)


def _middle(rings: Sequence[Ring]) -> tuple[float, float]:
    """Centre of the box around the longest ring."""
    longest = max(rings, key=len)
    low, high = longest.min(axis=0), longest.max(axis=0)
    return float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2


def _scale(sheet: Sheet, norm: BoundaryNorm) -> None:
    axes = sheet.axes(0.2, sheet.fraction(0.3), 0.6, sheet.fraction(0.1))
    bar = sheet.figure.colorbar(ScalarMappable(norm, SEQUENTIAL), cax=axes, orientation="horizontal")
    bar.set_ticks(norm.boundaries.tolist(), labels=[f"{100 * edge:.3g}" for edge in norm.boundaries], size=7)
    bar.outline.set_linewidth(0.4)
    axes.set_xlabel(sheet.say("figures.share_axis"), size=7.5, labelpad=1)


def _legend(sheet: Sheet) -> list[Patch]:
    return [
        Patch(fc=PAPER, ec=GREY, hatch="////", label=sheet.say("figures.refused")),
        Patch(fc="#eceef0", ec=GREY, label=sheet.say("figures.map_none")),
    ]
