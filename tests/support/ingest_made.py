"""Small inputs for the tests of the request and the ingest."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import InputError
from tasks.ingest.tabulate import Tabulation, tabulate
from tasks.request.model import CalibrationRequest, parse_request
from tasks.run import reading_of


def fields(**changes: Any) -> dict[str, Any]:
    """A valid request's fields with changes; a field changed to None is left out."""
    valid: dict[str, Any] = {
        "name": "test",
        "input": {"counts": {"eava": {"ipre": 3}}},
        "age_group": "neonate",
        "country": "Mozambique",
        "algorithms": ["eava"],
    }
    return {key: value for key, value in (valid | changes).items() if value is not None}


def problems_of(**changes: Any) -> list[str]:
    """What parse_request says of the fields."""
    with pytest.raises(InputError) as raised:
        parse_request(fields(**changes))
    return list(raised.value.problems)


def csv(folder: Path, text: str, name: str = "deaths.csv") -> Path:
    """A CSV file; lines of the text are stripped, so that tests can indent them."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line.strip() + "\n" for line in text.strip().splitlines()), encoding="utf-8")
    return path


def of_file(path: Path | Iterable[Path], layout: str = "records", **changes: Any) -> CalibrationRequest:
    """A request for the file or files."""
    uri = str(path) if isinstance(path, str | os.PathLike) else [str(one) for one in path]
    return parse_request(fields(**{"input": {"uri": uri, "layout": layout}, **changes}))


def tabulated(request: CalibrationRequest, **options: Any) -> Tabulation:
    """A request's input, tabulated."""
    return tabulate(reading_of(request), **options)


def refused(request: CalibrationRequest, folder: Path) -> list[str]:
    """The problems of an input, its folder's name taken off."""
    with pytest.raises(InputError) as raised:
        tabulated(request)
    return [problem.replace(f"{folder}/", "") for problem in raised.value.problems]


def counts(tabulation: Tabulation) -> dict[str, dict[str, int]]:
    """Deaths by algorithm and cause, over all strata."""
    found: dict[str, dict[str, int]] = {}
    for row in tabulation.counts.to_pylist():
        causes = found.setdefault(row["algorithm"], {})
        causes[row["cause"]] = causes.get(row["cause"], 0) + row["deaths"]
    return found


def deaths(tabulation: Tabulation) -> dict[str, int]:
    """Deaths received by stratum."""
    return {row["stratum"]: row["deaths"] for row in tabulation.strata.to_pylist()}


def accounted(tabulation: Tabulation) -> dict[tuple[str, str], int]:
    """Records by disposition and reason, over all strata and algorithms."""
    found: dict[tuple[str, str], int] = {}
    for row in tabulation.records.to_pylist():
        key = (row["disposition"], row["reason"] or "")
        found[key] = found.get(key, 0) + row["records"]
    return found
