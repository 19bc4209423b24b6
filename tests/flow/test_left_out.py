"""Whole runs: what was left out before it had a stratum, labels of causes, a newer cause list."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from support.ingest_made import csv

from flows.cli.tables import describe_run
from tasks import run as steps
from tasks.engine import Pool
from tasks.matrices import load_inventory
from tasks.report import markdown_summary, render_report
from tasks.request import CalibrationRequest, parse_request
from tasks.results import Results, open_results
from tasks.view import View

CAUSES = ("congenital_malformation", "pneumonia", "sepsis_meningitis_inf", "ipre", "other", "prematurity")
CODES = ("Q00-Q99", "J12-J18", "A00-B99", "P21", "R99", "P07")


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., CalibrationRequest]:
    def make(**changes: Any) -> CalibrationRequest:
        given = {
            "name": "left-out",
            "age_group": "neonate",
            "country": "Mozambique",
            "algorithms": ["eava"],
            "matrix": {"source": "illustrative"},
            "verdict_rules": {"illustrative": "ignore"},
            "draws": 100,
            "effective_draws": 100,
            "matrix_sharing": "per_stratum",
            "output": str(tmp_path / "store"),
        }
        return parse_request(given | changes)

    return make


def people(folder: Path, without: int, stated: str = "") -> Path:
    """1,200 neonates in two provinces, and others without an age group, or with the one stated."""
    rows = [f"{i},{CAUSES[i % 6]},neonate,{'AB'[i % 2]}" for i in range(1200)]
    rows += [f"x{i},{CAUSES[i % 6]},{stated},A" for i in range(without)]
    return csv(folder, "\n".join(["ID,cause,age,province", *rows]))


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool() as pool:
        yield pool


@pytest.fixture
def ran(pool: Pool) -> Callable[[CalibrationRequest], Results]:
    """A whole run as the flow does it, without a server."""

    def run(request: CalibrationRequest) -> Results:
        job, log = steps.prepare(request), logging.getLogger("tests")
        for chunk in job.chunks:
            steps.calibrate_chunk(chunk, job.work.of(chunk), log=log, progress=None, pool=pool, timeout=None)
        steps.publish(job, [(chunk, None) for chunk in job.chunks], {}, replace=False)
        return open_results(job.uri)

    return run


def left_out(table: pd.DataFrame) -> list[tuple[float, float]]:
    """Limit and share of records left out that each verdict names; (0, 0) of one that names none."""
    found = []
    for codes in map(json.loads, table["verdict_codes"]):
        of_rule = [(code["limit"], round(code["value"], 4)) for code in codes if code["rule"] == "left_out"]
        found.append(of_rule[0] if of_rule else (0, 0))
    return found


def test_records_without_an_age_group_reach_every_verdict_and_are_said_first(
    asked: Callable[..., CalibrationRequest], ran: Callable[..., Results], tmp_path: Path
) -> None:
    results = ran(
        asked(
            input={"uri": str(people(tmp_path, 1800))},
            age_group={"column": "age"},
            columns={"strata": ["province"]},
            roll_ups=[[]],
            bad_records="reject",
            chunk_strata=1,
        )
    )
    assert set(left_out(results.strata)) == set(left_out(results.rollups)) == {(0.4, 0.6)}
    assert set(results.csmf["verdict"]) == {"do_not_publish"}
    assert results.manifest["warnings"][0].startswith("1,800 of 3,000 records (60%) are set aside")
    console = Console(record=True, width=200)
    console.print(describe_run(results))
    first = "1,800 of 3,000 records (60%) could not be used and are in no result."
    assert first in "\n".join(console.export_text().splitlines()[:3])
    view = View(results)
    page, summary = render_report(view), markdown_summary(view)
    assert page.index(first) < page.index("In brief</h2>" if "In brief</h2>" in page else "In brief")
    assert first in "\n".join(summary.splitlines()[:6])


def test_records_of_another_age_group_do_not_count(
    asked: Callable[..., CalibrationRequest], ran: Callable[..., Results], tmp_path: Path
) -> None:
    request = asked(
        input={"uri": str(people(tmp_path, 1800, "adult"))}, age_group={"column": "age"}, bad_records="reject"
    )
    results = ran(request)
    assert left_out(results.strata) == [(0, 0)]
    assert results.manifest["warnings"][0].startswith("1,800 of 3,000 records (60%) are set aside")


@pytest.mark.parametrize("layout", ["records", "matrix", "counts", "inline"])
def test_labels_give_the_result_of_their_broad_causes_to_the_last_bit(
    layout: str, asked: Callable[..., CalibrationRequest], ran: Callable[..., Results], tmp_path: Path
) -> None:
    labels = dict(zip(CODES, CAUSES, strict=True))
    broad = ran(asked(input=_input(tmp_path, layout, CAUSES)))
    coded = ran(asked(input=_input(tmp_path, layout, [code[:3] for code in CODES]), cause_labels=labels))
    numbers = [name for name in broad.csmf.columns if name != "run"]
    pd.testing.assert_frame_equal(broad.csmf[numbers], coded.csmf[numbers], check_exact=True)
    assert broad.manifest["run"] != coded.manifest["run"]


def _input(folder: Path, layout: str, names: Any) -> dict[str, Any]:
    deaths = {name: 20 + 9 * place for place, name in enumerate(names)}
    if layout == "inline":
        return {"counts": {"eava": deaths}}
    each = [name for name, n in deaths.items() for _ in range(n)]
    text = {
        "records": ["ID,cause", *(f"{i},{name}" for i, name in enumerate(each))],
        "counts": ["cause,deaths", *(f"{name},{n}" for name, n in deaths.items())],
        "matrix": [
            ",".join(["ID", *deaths]),
            *(",".join([str(i), *("01"[name == one] for one in deaths)]) for i, name in enumerate(each)),
        ],
    }[layout]
    return {"uri": str(csv(folder, "\n".join(text), f"{layout}-{names[0]}.csv")), "layout": layout}


def test_causes_of_the_who_2022_list_are_flagged_where_the_matrices_are_of_2016(
    asked: Callable[..., CalibrationRequest], ran: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = load_inventory("illustrative")
    published = replace(made_up, id="champs-2.2", illustrative=False, verified=True)
    monkeypatch.setattr(sys.modules["tasks.run.prepare"], "load_inventory", lambda _: published)
    old = dict.fromkeys(CAUSES, 30)
    results = ran(
        asked(
            algorithms=["eava", "insilicova"],
            input={"counts": {"eava": old, "insilicova": {**old, "Prematurity or low birth weight": 9}}},
        )
    )
    flagged = results.csmf.groupby("algorithm")["flags"].agg(
        lambda cells: all("who_2022" in c for c in cells)
    )
    assert dict(flagged) == {"eava": False, "ensemble": True, "insilicova": True}
    verdicts = results.strata.set_index("algorithm")["verdict_codes"].fillna("")
    assert "who_2022_causes" in verdicts["insilicova"] and "who_2022_causes" not in verdicts["eava"]
    assert any("WHO 2022 list" in text for text in results.manifest["warnings"])
