"""Boundaries of places from a GeoJSON file, matched to the values of a strata column by name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.errors import InputError

SHOWN = 60
"""Characters of a name in a message."""

Ring = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Boundaries:
    """Places by name: `rings` are closed lines of (longitude, latitude) points, holes among them."""

    name_property: str
    places: Mapping[str, tuple[Ring, ...]]

    @property
    def aspect(self) -> float:
        """Length of a degree of latitude over one of longitude, at the middle latitude."""
        low, high = self._box()
        return 1 / max(math.cos(math.radians((low[1] + high[1]) / 2)), 0.1)

    @property
    def tallness(self) -> float:
        """Degrees of latitude over degrees of longitude of the whole."""
        low, high = self._box()
        return (high[1] - low[1]) / max(high[0] - low[0], 1e-9)

    def _box(self) -> tuple[list[float], list[float]]:
        points = np.concatenate([ring for rings in self.places.values() for ring in rings])
        return points.min(axis=0).tolist(), points.max(axis=0).tolist()


def read_boundaries(text: str, names: Iterable[str], source: str = "boundary file") -> Boundaries:
    """The polygons of a GeoJSON text by the property that knows most of `names` (compared without regard to
    case).

    Coordinates are longitude and latitude in degrees (RFC 7946). Raises InputError naming what is wrong,
    and the names that the file has, if none is known.
    """
    try:
        features = json.loads(text)["features"]
        found = [(dict(feature.get("properties") or {}), _rings(feature["geometry"])) for feature in features]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise InputError(f"{source}: not a GeoJSON collection of polygons") from None
    found = [(properties, rings) for properties, rings in found if rings]
    wanted = {_key(name): name for name in names}
    scores: dict[str, int] = {}
    for properties, _ in found:
        for name, value in properties.items():
            scores[name] = scores.get(name, 0) + (_key(value) in wanted)
    best = max(scores, key=lambda name: scores[name], default="")
    if not scores.get(best):
        known = sorted(
            {str(v) for properties, _ in found for v in properties.values() if isinstance(v, str)}
        )[:20]
        raise InputError(
            f"{source}: no property names any of {', '.join(sorted(wanted.values())[:20])}; "
            f"the file has: {', '.join(name[:SHOWN] for name in known) or 'no names'}"
        )
    places: dict[str, tuple[Ring, ...]] = {}
    for properties, rings in found:
        name = wanted.get(_key(properties.get(best)), str(properties.get(best)))
        places[name] = places.get(name, ()) + rings
    return Boundaries(best, places)


def _key(value: object) -> str:
    return str(value).strip().casefold()


def _rings(geometry: Any) -> tuple[Ring, ...]:
    """Rings of a Polygon or MultiPolygon; none of other geometries."""
    if geometry is None:
        return ()
    kind, coordinates = geometry["type"], geometry.get("coordinates")
    polygons: Any = [coordinates] if kind == "Polygon" else coordinates if kind == "MultiPolygon" else []
    return tuple(_wound(ring, hole=place > 0) for polygon in polygons for place, ring in enumerate(polygon))


def _wound(points: Any, *, hole: bool) -> Ring:
    """The ring counterclockwise, a hole clockwise, as RFC 7946 requires and many files do not have it."""
    ring = np.asarray(points, float)[:, :2]
    x, y = ring[:, 0], ring[:, 1]
    counterclockwise = float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) > 0
    return ring if counterclockwise != hole else ring[::-1]
