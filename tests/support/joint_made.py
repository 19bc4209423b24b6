"""A small request of the joint model, with matrices of its own, whose fits take a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tasks.request.model import CalibrationRequest, parse_request

CAUSES = ("infection", "prematurity", "other")
ALGORITHMS = ("first", "second")
ALPHAS = {
    "first": ((48, 6, 6), (9, 45, 6), (8, 8, 24)),
    "second": ((40, 12, 8), (6, 50, 4), (10, 5, 30)),
}
TRUTH = {"2021": (0.55, 0.30, 0.15), "2022": (0.40, 0.45, 0.15)}
PROVINCES = ("Gaza", "Sofala", "Tete")
# Each year's deaths are the other cause to the first algorithm, and the same to the second.
CONTRADICTORY = {
    (province, year, algorithm): counts
    for province in PROVINCES
    for year, first in (("2021", [3900, 100, 10]), ("2022", [100, 3900, 10]))
    for algorithm, counts in (("first", first), ("second", [3900, 100, 10]))
}


def deaths_of(place: tuple[str, str], algorithm: str, deaths: int = 400) -> list[int]:
    """Deaths by cause as the algorithm says them, in proportion to what the matrix expects."""
    alpha = np.array(ALPHAS[algorithm], dtype=float)
    expected = np.array(TRUTH[place[1]]) @ (alpha / alpha.sum(axis=1, keepdims=True)) * deaths
    return [int(n) for n in np.floor(expected) + (PROVINCES.index(place[0]) + np.arange(3)) % 3]


def write_input(folder: Path, changed: dict[tuple[str, str, str], list[int]] | None = None) -> None:
    """deaths.csv and matrices.csv; `changed` gives other counts of a province, year and algorithm."""
    lines = ["province,year,algorithm,cause,deaths"]
    for province in PROVINCES:
        for year in TRUTH:
            for algorithm in ALGORITHMS:
                counts = (changed or {}).get((province, year, algorithm))
                counts = deaths_of((province, year), algorithm) if counts is None else counts
                lines += [
                    f"{province},{year},{algorithm},{c},{n}" for c, n in zip(CAUSES, counts, strict=True)
                ]
    (folder / "deaths.csv").write_text("\n".join(lines))
    cells = ["type,algorithm,champs_cause,va_cause,value"]
    for algorithm, rows in ALPHAS.items():
        cells += [
            f"prior,{algorithm},{true},{said},{rows[i][j]}"
            for i, true in enumerate(CAUSES)
            for j, said in enumerate(CAUSES)
        ]
    (folder / "matrices.csv").write_text("\n".join(cells))


def joint_request(folder: Path, **changes: Any) -> CalibrationRequest:
    """Six strata, two algorithms, two calibrated causes."""
    fields = {
        "name": "joint",
        "input": {"uri": str(folder / "deaths.csv"), "layout": "counts"},
        "columns": {"strata": ["province", "year"]},
        "age_group": "neonate",
        "country": "Mozambique",
        "algorithms": list(ALGORITHMS),
        "matrix": {"source": str(folder / "matrices.csv")},
        "do_not_calibrate_rule": "fixed",
        "matrix_sharing": "joint",
        "draws": 200,
        "effective_draws": 100,
        "output": str(folder / "store"),
    }
    return parse_request(fields | changes)
