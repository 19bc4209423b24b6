"""The misclassification matrix as published and as used, both over the calibrated causes only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from tasks.figures.style import GREY, INK, PAPER, SEQUENTIAL, Picture, Sheet, luminance, style, wrap
from tasks.terms import Words, in_order
from tasks.view import Result, Unit, inventory_line

_SIDE = 2.55  # inches


@dataclass(frozen=True)
class MatrixPair:
    """Both matrices of one algorithm in one stratum: rows true cause, columns VA cause, rows sum to 1."""

    causes: list[str]
    published: npt.NDArray[np.float64]
    used: npt.NDArray[np.float64] | None


def matrices_of(matrices: pd.DataFrame, calibrated: list[str]) -> MatrixPair | None:
    """The rows of the table `matrices` of one stratum and algorithm, over the calibrated causes.

    The published matrix is restricted first and then normalised by row, so that it compares with the one
    used.
    """
    if matrices.empty:
        return None
    causes = in_order(calibrated)
    square = {
        str(kind): part.pivot(index="champs_cause", columns="va_cause", values="value").reindex(
            index=causes, columns=causes
        )
        for kind, part in matrices.groupby("kind")
    }
    if not causes or "published" not in square:
        return None
    published = square["published"].to_numpy(float)
    published = published / published.sum(axis=1, keepdims=True)
    used = square["used"].to_numpy(float) if "used" in square else None
    return MatrixPair(causes, published, used)


def matrix_picture(result: Result, *, used: bool = True) -> Picture | None:
    """Heat maps of the matrices of an algorithm in a stratum; None where nothing was calibrated.

    used: False draws the published matrix alone, for runs in which each stratum used another.
    """
    calibrated = [row["cause"] for row in result.rows if row["status"] == "calibrated"]
    found = matrices_of(result.matrices(), calibrated)
    if found is None:
        return None
    view, unit, say = result.view, result.unit, result.view.say
    title = say("figures.matrix_title", algorithm=result.name)
    both = used and found.used is not None
    with style():
        side = _SIDE if both else 3.0
        subtitle = unit.label if both else _inventory_unit(unit)
        foot = [say("figures.matrix_note"), inventory_line(view)]
        sheet = Sheet(view, title, subtitle, foot, side + 1.6)
        heading = say("figures.matrix_published" if view.published_matrices else "figures.matrix_given")
        shown = [(heading, found.published)]
        if both and found.used is not None:
            shown.append((_used_title(result.fit.get("lambda"), say), found.used))
        for place, (heading, values) in enumerate(shown):
            axes = sheet.axes(0.24 + place * 0.39, sheet.fraction(1.2), side / 7.4, sheet.fraction(side))
            _heat(axes, sheet, values, found.causes, heading, first=place == 0)
    name = f"matrix-{result.algorithm}-{view.file_names[unit]}"
    return Picture(name, f"{title}, {subtitle}", _alt(found, result, both), sheet.figure)


def _inventory_unit(unit: Unit) -> str:
    say = unit.view.say
    return say.pair(say.country(unit.country), say.or_plain(f"age_groups.{unit.age_group}"))


def _used_title(weight: float | None, say: Words) -> str:
    return (
        say("figures.matrix_used")
        if weight is None
        else say("figures.matrix_used_lambda", value=say.decimal(weight, 2))
    )


def _heat(
    axes: Axes, sheet: Sheet, values: npt.NDArray[np.float64], causes: list[str], heading: str, *, first: bool
) -> None:
    size, names = len(causes), [wrap(sheet.say.cause(cause), 18) for cause in causes]
    edges = np.arange(size + 1) - 0.5
    axes.pcolormesh(edges, edges, values, cmap=SEQUENTIAL, vmin=0, vmax=1, edgecolors=PAPER, lw=0.8)
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), xticks=range(size), yticks=range(size))
    axes.set_title(wrap(heading, 34), size=8.5)
    axes.set_xticklabels(names, rotation=50, ha="right", rotation_mode="anchor", size=7)
    axes.set_yticklabels(names if first else [""] * size, size=7)
    axes.set_xlabel(sheet.say("figures.matrix_va"), size=7.5, color=GREY)
    if first:
        axes.set_ylabel(sheet.say("figures.matrix_true"), size=7.5, color=GREY)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for i in range(size):
        for j in range(size):
            axes.text(
                j, i, f"{100 * values[i, j]:.0f}", ha="center", va="center", **_ink(values[i, j], i == j)
            )


def _ink(value: float, diagonal: bool) -> dict[str, Any]:
    """Black on light cells, white on dark ones."""
    light = luminance(mpl.colormaps[SEQUENTIAL](value)) > 0.18  # there black and white stand out alike
    return {"color": INK if light else PAPER, "size": 7.5, "weight": "bold" if diagonal else "normal"}


def _alt(found: MatrixPair, result: Result, both: bool) -> str:
    say = result.view.say
    right = (f"{say.cause(c)} {say.percent(found.published[i, i])}" for i, c in enumerate(found.causes))
    key = "figures.alt_matrix" if both else "figures.alt_matrix_one"
    return say(key, algorithm=result.name, number=len(found.causes), text=say.series(right))
