"""All pictures of a run, by kind: the same for the report, the command line and Prefect's artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

from tasks.errors import InputError
from tasks.figures.csmf import csmf_picture
from tasks.figures.map import map_pictures
from tasks.figures.matrix import matrix_picture
from tasks.figures.records import records_picture
from tasks.figures.strata import strata_pictures
from tasks.figures.style import Picture
from tasks.figures.trends import trend_pictures
from tasks.results import Results
from tasks.storage import write_file
from tasks.terms import Language
from tasks.view import Unit, View

PictureKind = Literal["csmf", "matrix", "strata", "trends", "map", "records"]
KINDS: tuple[PictureKind, ...] = get_args(PictureKind)
PictureFormat = Literal["svg", "png"]
UNITS_AT_MOST = 24  # of one kind of picture, unless units are named


def draw(
    results: Results,
    kind: PictureKind,
    language: Language = "en",
    *,
    boundaries: str | None = None,
    where: str | None = None,
) -> list[Picture]:
    """Pictures of one kind.

    csmf and matrix draw one unit each, roll-ups first, at most UNITS_AT_MOST; `where` keeps those whose
    stratum key holds that text. map needs `boundaries`, the text of a GeoJSON file. Raises InputError where
    nothing can be drawn.
    """
    view = View(results, language)
    if kind == "map" and boundaries is None:
        raise InputError("a map needs a boundary file (GeoJSON)")
    pictures = _drawn(view, kind, boundaries or "", _units(view, where))
    if not pictures:
        raise InputError(_NOTHING[kind])
    return pictures


def save(
    pictures: Iterable[Picture], folder: Path, formats: Sequence[PictureFormat] = ("svg", "png")
) -> list[Path]:
    """Write each picture in each format into the folder, which is made; returns the files.

    Raises StorageError where that is impossible.
    """
    written = []
    for picture in pictures:
        for ending in formats:
            path = folder / f"{picture.name}.{ending}"
            write_file(path, picture.svg() if ending == "svg" else picture.png())
            written.append(path)
    return written


_NOTHING = {
    "csmf": "no stratum of that name",
    "matrix": "no matrix was used in these strata",
    "strata": "there is only one stratum: nothing to compare",
    "trends": "no strata column holds years, quarters, months or weeks (2023, 2023Q2, 2023-04, 2023W07)",
    "map": "there is no result to draw",
    "records": "there are no records",
}


def _drawn(view: View, kind: PictureKind, boundaries: str, units: list[Unit]) -> list[Picture]:
    if kind == "csmf":
        return [csmf_picture(unit) for unit in units[:UNITS_AT_MOST]]
    if kind == "matrix":
        return _matrices([unit for unit in units if not unit.is_total])
    if kind == "records":
        return [records_picture(view)]
    if kind == "map":
        return map_pictures(view, boundaries)
    return strata_pictures(view) if kind == "strata" else trend_pictures(view)


def _matrices(strata: list[Unit]) -> list[Picture]:
    drawn = (
        matrix_picture(result)
        for unit in strata[:UNITS_AT_MOST]
        for result in unit.estimated
        if not result.is_ensemble
    )
    return [picture for picture in drawn if picture is not None]


def _units(view: View, where: str | None) -> list[Unit]:
    return [unit for unit in view.units if where is None or where.casefold() in unit.stratum.casefold()]
