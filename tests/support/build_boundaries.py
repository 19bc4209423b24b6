"""A made-up boundary file: hexagon-like places on a grid, one with a hole, one in two parts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence


def made_up_boundaries(names: Sequence[str], name_property: str = "ADM1_PT") -> str:
    """GeoJSON text with one place for each name."""
    features = []
    for place, name in enumerate(names):
        x, y = 33 + 1.75 * (place % 3) + 0.87 * (place // 3 % 2), -12 - 1.5 * (place // 3)
        outer = [[x + math.sin(a * math.pi / 3), y + math.cos(a * math.pi / 3)] for a in range(7)]
        hole = [[x + 0.3 * px, y + 0.3 * py] for px, py in ((0, 1), (1, -1), (-1, -1), (0, 1))]
        geometry = {"type": "Polygon", "coordinates": [outer, hole] if place == 4 else [outer]}
        if place == 5:
            island = [[x + 2 + 0.3 * px, y + 0.3 * py] for px, py in ((0, 1), (1, -1), (-1, -1), (0, 1))]
            geometry = {"type": "MultiPolygon", "coordinates": [[outer], [island]]}
        features.append(
            {
                "type": "Feature",
                "properties": {"id": place, name_property: name.upper()},
                "geometry": geometry,
            }
        )
    return json.dumps({"type": "FeatureCollection", "features": features})
