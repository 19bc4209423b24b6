"""Runs of format 1, stored by version 8fe7a0e, stay readable by everything that reads results."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import openpyxl
import pyarrow as pa
import pytest
from support import ROOT
from support.build_results import build
from typer.testing import CliRunner

from flows.cli.main import app
from tasks.export.csv import write_csv
from tasks.export.dhis2 import dhis2_csv, read_mapping
from tasks.export.excel import excel_bytes
from tasks.export.json import json_text
from tasks.report.write import write_report
from tasks.results.compare import compare
from tasks.results.former import from_format_1
from tasks.results.reasons import Named, Reason, named_from_json, reasons_from_json
from tasks.results.store import Results, open_results
from tasks.terms import words
from tasks.verdict.words import reasons_in_words
from tasks.view import View

STORED = ROOT / "tests" / "support" / "stored"
RUNS = {"joint": "stored-joint-a9420348ad05", "per_stratum": "stored-per-stratum-1a487341a46d"}
JUDGED = ("csmf", "strata", "rollups", "contrasts")


@pytest.fixture(params=RUNS)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Results:
    shutil.copytree(STORED, tmp_path / "store")
    return open_results(str(tmp_path / "store"), RUNS[request.param])


def test_these_runs_are_of_format_1(stored: Results) -> None:
    assert stored.manifest["schema_version"] == 1


@pytest.mark.parametrize("compact", [False, True])
def test_every_reason_is_read_and_says_what_the_run_said_then(stored: Results, compact: bool) -> None:
    say = words("en")
    for name in JUDGED:
        table = stored.table(name, compact=compact)
        cells = zip(table["verdict_codes"].to_pylist(), table["verdict_reasons"].to_pylist(), strict=True)
        for codes, sentences in cells:
            json.loads(codes)
            assert " ".join(reasons_in_words(codes, say)) == (sentences or "")


def test_the_algorithms_and_causes_that_do_not_fit_are_read(tmp_path: Path) -> None:
    results = open_results(str(STORED), RUNS["joint"])
    misfit = results.misfit.query("misfit")
    told = {(row.stratum, row.algorithm): row.causes for row in misfit.itertuples()}
    flagged = results.strata.dropna(subset=["misfit_of"])
    assert len(flagged) == len(told) == 2
    for row in flagged.itertuples():
        [named] = named_from_json(row.misfit_of)
        assert named.algorithm == "interva"
        assert list(named.causes) == json.loads(told[row.stratum, row.algorithm])


def test_columns_and_types_are_those_of_the_file(stored: Results) -> None:
    table = stored.table("strata", ["stratum", "verdict_codes", "misfit_of"])
    assert table.column_names == ["stratum", "verdict_codes", "misfit_of"]
    assert {str(kind) for kind in table.schema.types} == {"string"}
    compact = stored.table("strata", compact=True)
    assert pa.types.is_dictionary(compact.schema.field("verdict_codes").type)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("deaths:100:64", Reason("deaths", 100, 64)),
        ("left_out:0.1:0.2101,eava", Reason("left_out", 0.1, 0.2101, algorithms=(Named("eava"),))),
        ("zero_causes::ipre,hiv", Reason("zero_causes", causes=("ipre", "hiv"))),
        ("interval_unreliable::a,b", Reason("interval_unreliable", algorithms=(Named("a"), Named("b")))),
        ("no_result::too_few_deaths", Reason("no_result", because="too_few_deaths")),
        ("passed_through::", Reason("passed_through")),
        (
            "member_passed_through::a (x, y), b (z)",
            Reason("member_passed_through", algorithms=(Named("a", ("x", "y")), Named("b", ("z",)))),
        ),
    ],
)
def test_a_code_of_format_1_is_read_in_its_parts(code: str, reason: Reason) -> None:
    table = pa.table({"verdict_codes": [f"{code};illustrative::", "", None]})
    both, none, null = from_format_1("csmf", table)["verdict_codes"].to_pylist()
    assert reasons_from_json(both) == (reason, Reason("illustrative"))
    assert (none, null) == ("[]", None)


@pytest.mark.slow
def test_pages_exports_and_the_command_line_read_it(stored: Results, tmp_path: Path) -> None:
    for language in ("en", "fr", "pt"):
        assert write_report(View(stored, language), None)
    document = json.loads(json_text(stored))
    places = [
        cause["reasons"] for unit in document["units"] for r in unit["results"] for cause in r["causes"]
    ]
    assert max(place for cell in places for place in cell) < len(document["reasons"])
    assert "csmf" in openpyxl.load_workbook(io.BytesIO(excel_bytes(stored))).sheetnames
    assert all(Path(file).stat().st_size for file in write_csv(stored, str(tmp_path / "csv")))
    mapping = read_mapping(json.dumps(MAPPING))
    assert len(dhis2_csv(stored, mapping).splitlines()) > 1
    shown = CliRunner().invoke(app, ["show", stored.uri])
    assert shown.exit_code == 0, shown.output
    assert "Illustrative" in shown.output


def test_it_is_compared_with_itself_and_with_a_run_of_today(stored: Results, tmp_path: Path) -> None:
    assert set(compare(stored, stored).verdicts) <= {"identical", "noise"}
    assert compare(stored, build(tmp_path / "now")).verdicts["vanished"] > 0


MAPPING = {
    "org_unit": {
        "column": "province",
        "values": {"North": "OuNorth0001", "South": "OuSouth0001", "West": "OuWest00001"},
    },
    "period": "2024",
    "verdicts": ["do_not_publish"],
    "data_elements": {"neonate": {"pneumonia": {"mean": "DePneuMean1"}}},
}
