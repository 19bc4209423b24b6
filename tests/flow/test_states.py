"""What the final state of a published run says: nothing usable, totals that are not, files that no run has read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL
from support import ROOT
from support.flow_made import CAUSES, labels_of

from flows.calibrate import IncompleteError, calibrate
from flows.national import calibrate_national
from tasks.request.model import CalibrationRequest, parse_request
from tasks.results.store import list_runs, open_results

pytest_plugins = ["support.flow_made"]
pytestmark = pytest.mark.usefixtures("prefect_server")


def month(inbox: Path, name: str, deaths: int, day: int) -> Path:
    """A file of counts of two provinces, changed on that day."""
    inbox.mkdir(exist_ok=True)
    rows = [
        f"{province},eava,{cause},{deaths + place}"
        for province in ("Gaza", "Tete")
        for place, cause in enumerate(CAUSES)
    ]
    path = inbox / name
    path.write_text("\n".join(["province,algorithm,cause,deaths", *rows]))
    os.utime(path, (day * 86400, day * 86400))
    return path


@pytest.fixture
def national(request_for: Any, tmp_path: Path) -> Any:
    def make(**changes: Any) -> CalibrationRequest:
        given = {
            "name": "national",
            "input": {"uri": f"{tmp_path}/inbox/*", "layout": "counts"},
            "algorithms": ["eava"],
        }
        return request_for(**given | changes)

    return make


def test_a_national_run_with_too_few_deaths_is_not_green(national: Any, tmp_path: Path) -> None:
    month(tmp_path / "inbox", "march.csv", deaths=1, day=100)
    asked = national(minimum_deaths=1000, roll_ups=[[]], matrix_sharing="per_stratum")
    state = calibrate_national(asked, return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "NothingUsable")
    said = "the total must not be published (no result: 1)"
    assert said in (state.message or "")
    assert "2 strata: 2 not fitted" in (state.message or "")
    assert "2 strata have fewer than 1000 deaths" in (state.message or "")
    results = open_results(labels_of(state)["vacal.results"])
    assert results.manifest["warnings"][-1].startswith("The total must not be published")
    assert results.manifest["outcome"]["below_minimum"] == 2
    assert "No result of this run may be published." in (Path(results.uri) / "report-en.html").read_text()
    with pytest.raises(IncompleteError):
        state.result()


def test_a_total_that_must_not_be_published_is_named(national: Any, tmp_path: Path) -> None:
    file = month(tmp_path / "inbox", "march.csv", deaths=40, day=100)
    file.write_text(file.read_text() + "\nNampula,eava,pneumonia,4\nNampula,eava,ipre,3\n")
    asked = national(roll_ups=[["province"], []], minimum_deaths=10, matrix_sharing="per_stratum")
    state = calibrate_national(asked, return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "TotalsUnusable")
    named = "age_group=neonate/country=Mozambique/province=Nampula"
    assert f"1 of 4 totals must not be published (no result: 1): {named}" in (state.message or "")


def test_the_limits_of_the_request_decide_also_on_a_run_that_is_there(national: Any, tmp_path: Path) -> None:
    file = month(tmp_path / "inbox", "march.csv", deaths=40, day=100)
    file.write_text(file.read_text() + "\nGaza,eava,undetermined,300\n")
    uri = calibrate(national(input={"uri": str(file), "layout": "counts"}))
    strict = national(input={"uri": str(file), "layout": "counts"}, left_out_share=0.1)
    state = calibrate(strict, return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "TooMuchLeftOut")
    assert "as calibrated before" in (state.message or "")
    assert "of the records of eava are left out" in (state.message or "")
    assert labels_of(state)["vacal.results"] == uri
    assert len(list_runs(strict.output)) == 1


def test_files_of_the_inbox_that_no_run_has_read_are_named(
    national: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = tmp_path / "inbox"
    files = [month(inbox, name, 40 + day, day) for day, name in enumerate(("jan.csv", "feb.csv", "mar.csv"))]
    state = calibrate_national(national(), return_state=True)
    assert state.is_completed()
    sentence = "2 files of the inbox are in no run: jan.csv, feb.csv"
    assert sentence in (state.message or "")
    assert f"{sentence}." in caplog.messages
    (manifest,) = list_runs(national().output)
    assert f"{sentence}." in manifest["warnings"]
    for file in files[:2]:
        calibrate(national(name="month", input={"uri": str(file), "layout": "counts"}))
    again = calibrate_national(national(), return_state=True)
    assert "in no run" not in (again.message or "")
    files[0].write_text(files[0].read_text().replace("Gaza", "Cabo"))
    os.utime(files[0], (86400, 86400))  # older than the newest, and of the same size as when it was read
    third = calibrate_national(national(), return_state=True)
    assert "in no run" not in (third.message or "")  # size and time are what tells them apart
    files[0].write_text(files[0].read_text() + "\nCabo,eava,pneumonia,3\n")
    os.utime(files[0], (86400, 86400))
    fourth = calibrate_national(national(), return_state=True)
    assert "1 file of the inbox is in no run: jan.csv" in (fourth.message or "")


def test_an_empty_inbox_ends_as_bad_input_without_a_traceback(
    national: Any, caplog: pytest.LogCaptureFixture
) -> None:
    state = calibrate_national(national(), return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "BadInput")
    assert "no file fits" in (state.message or "")
    assert not any("Traceback" in (record.exc_text or "") for record in caplog.records)


def test_a_request_that_is_no_request_ends_as_bad_input() -> None:
    state = calibrate_national({"name": "x"}, return_state=True)  # type: ignore[arg-type]
    assert (state.type.value, state.name) == ("FAILED", "BadInput")


def test_the_same_tables_whatever_the_limits(request_for: Any) -> None:
    fields = request_for().model_dump(mode="json")
    one, other = (parse_request({**fields, "unfitted_share": share}) for share in (0.0, 1.0))
    assert calibrate(one) == calibrate(other)


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_leaves_no_temporary_folder_behind(request_for: Any, tmp_path: Path, killed: bool) -> None:
    temporary, written = tmp_path / "tmp", tmp_path / "request.json"
    temporary.mkdir()
    written.write_text(request_for().model_dump_json())
    program = [
        sys.executable,
        str(ROOT / "tests/support/killed_flow.py"),
        str(written),
        "3" if killed else "0",
    ]
    env = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "TMPDIR": str(temporary)}
    ended = subprocess.run(program, env=env, capture_output=True, check=False)
    assert ended.returncode == (-signal.SIGKILL if killed else 0), ended.stderr.decode()[-2000:]
    give_up = time.monotonic() + 60  # an R process whose flow was killed ends by itself, and tidies up
    while (left := sorted(temporary.iterdir())) and time.monotonic() < give_up:
        time.sleep(0.1)
    assert left == []
