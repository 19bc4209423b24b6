"""A small made-up run as tables of the schema, for tests of store, roll-ups, comparison and export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.results.schema import conform

ALGORITHMS = ("eava", "insilicova", "ensemble")
CAUSES = ("malaria", "pneumonia", "other")
CONSTANTS: dict[str, Any] = {
    "run": "moz-0123456789ab",
    "name": "moz",
    "inventory": "CCVA_missmat",
    "inventory_version": "2.2",
    "inventory_checksum": "0c24fe213e34",
    "illustrative": False,
    "matrix_sharing": "per_stratum",
    "matrix_type": "prior",
    "path_correction": True,
    "shrinkage": 0.0,
}


def places(provinces: Sequence[str], years: Sequence[str] = ("2023",)) -> list[dict[str, str]]:
    """One stratum for each province and year, by key."""
    return [
        {
            "stratum": f"age_group=child/country=Mozambique/province={province}/year={year}",
            "age_group": "child",
            "country": "Mozambique",
            "province": province,
            "year": year,
        }
        for province in provinces
        for year in years
    ]


def tables(
    strata: Sequence[Mapping[str, str]],
    *,
    draws: int = 50,
    seed: int = 1,
    constants: Mapping[str, Any] | None = None,
    strata_columns: Sequence[str] = ("province", "year"),
    algorithms: Sequence[str] = ALGORITHMS,
) -> dict[str, pa.Table]:
    """csmf, strata, records, matrices, compact draws of these strata: random, fixed by stratum and seed."""
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("csmf", "strata", "records", "matrices", "draws")
    }
    for place in strata:
        for algorithm in algorithms:
            _add_fit(rows, place, algorithm, draws, seed)
    shape = {"strata_columns": strata_columns, "constants": {**CONSTANTS, **(constants or {})}}
    return {
        name: conform(name, {key: [row[key] for row in own] for key in own[0]}, **shape)
        for name, own in rows.items()
    }


def _add_fit(
    rows: Mapping[str, list[dict[str, Any]]], place: Mapping[str, str], algorithm: str, draws: int, seed: int
) -> None:
    random = np.random.default_rng([seed, *f"{place['stratum']}{algorithm}".encode()])
    deaths = random.integers(1, 200, len(CAUSES))
    raw = deaths / deaths.sum()
    values = random.dirichlet(deaths[:2] + 1.0, draws) * (1 - raw[2])
    values = np.column_stack([values, np.full(draws, raw[2])])
    fit = {**place, "algorithm": algorithm, "flags": ""}
    rows["strata"].append(
        {
            **fit,
            "deaths_received": int(deaths.sum()),
            "deaths": int(deaths.sum()),
            "status": "calibrated",
            "ess_bulk": 3800.0,
        }
    )
    rows["records"].append(
        {**place, "algorithm": algorithm, "disposition": "used", "reason": None, "records": int(deaths.sum())}
    )
    for index, cause in enumerate(CAUSES):
        passed = cause == "other"
        low, high = np.quantile(values[:, index], [0.025, 0.975])
        rows["csmf"].append(
            {
                **fit,
                "level": "stratum",
                "cause": cause,
                "deaths": int(deaths[index]),
                "raw": raw[index],
                "mean": values[:, index].mean(),
                "sd": None if passed else values[:, index].std(ddof=1),
                "q025": None if passed else low,
                "q975": None if passed else high,
                "status": "passed_through" if passed else "calibrated",
                "not_calibrated_reason": "asked_for" if passed else None,
            }
        )
        rows["draws"].append({**fit, "cause": cause, "values": values[:, index]})
        for said in CAUSES:
            cell = {"champs_cause": cause, "va_cause": said, "value": 0.8 if said == cause else 0.1}
            rows["matrices"].append({**place, "algorithm": algorithm, "kind": "used", **cell})


def description(status: str = "complete", **changes: Any) -> dict[str, Any]:
    """What the caller of `publish` says of the run."""
    return {
        "name": "moz",
        "status": status,
        "request": {"name": "moz", "draws": 50},
        "input": {"checksum": "a" * 64, "sources": []},
        "versions": {"vacal": "0.1.0"},
        "inventory": {"id": "CCVA_missmat", "version": "2.2", "checksum": "0c24", "illustrative": False},
        "seed": 1,
        "strata": {"calibrated": 2},
        "records": {"used": 100},
        "warnings": [],
        **changes,
    }
