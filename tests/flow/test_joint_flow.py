"""A joint run through the flow, with a real Prefect server and real R: states, retries and bytes."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL
from support import ALL_MAY_BE_PUBLISHED, ROOT
from support.flow_made import artifacts_of, checksums, kill_r_then_stop_in_the_second_chunk, r_processes
from support.joint_made import CONTRADICTORY, joint_request, write_input

from flows import calibrate as module
from flows.calibrate import IncompleteError, calibrate
from tasks import run
from tasks.errors import EngineError
from tasks.request.model import CalibrationRequest
from tasks.results import store
from tasks.results.store import open_results
from tasks.run.job import Job

pytest_plugins = ["support.flow_made"]
pytestmark = pytest.mark.usefixtures("prefect_server")

LENIENT = {"verdict_rules": ALL_MAY_BE_PUBLISHED, "left_out_share": 1.0}
GROUPS = {
    "algorithms": ["first"],
    "bad_records": "reject",
    "joint_groups": ["year"],
    "roll_ups": [[]],
    "contrasts": [{"between": "province", "within": ["year"]}],
}


@pytest.fixture
def request_for(tmp_path: Path) -> Any:
    def make(**changes: Any) -> CalibrationRequest:
        write_input(tmp_path)
        return joint_request(tmp_path, **LENIENT, **changes)

    return make


def test_a_joint_fit_is_one_task_and_shows_its_progress(request_for: Any, caplog: Any) -> None:
    state = calibrate(request_for(bad_records="reject", algorithms=["first"]), return_state=True)
    assert state.is_completed()
    assert "6 strata: 6 calibrated" in (state.message or "")
    progress = artifacts_of(state)["progress-first"]
    assert (progress.data, progress.description) == (100.0, "first: 6 of 6 strata")
    lines = [line for line in caplog.messages if line.startswith("joint fit first, 6 strata: ")]
    assert lines
    assert all(re.search(r"[0-9]+ transitions, R-hat 1.[0-9]+, effective size ", line) for line in lines)


def test_a_run_that_lost_an_r_process_and_one_that_resumes_have_the_bytes_of_an_undisturbed_one(
    request_for: Any, at_each_fit: Any, tmp_path: Path
) -> None:
    request = request_for(**GROUPS)
    elsewhere = request.model_copy(update={"output": str(tmp_path / "undisturbed")})
    expected = checksums(open_results(calibrate(elsewhere)))
    one_worker = calibrate.with_options(task_runner=module.ThreadPoolTaskRunner(max_workers=1))
    fits: list[str] = []
    at_each_fit(kill_r_then_stop_in_the_second_chunk(fits))
    with pytest.raises(BaseException):  # noqa: B017 - whatever Prefect makes of an interruption
        one_worker(request)
    assert store.list_runs(request.output) == []
    at_each_fit(lambda chunk, stratum, algorithm: fits.append(chunk))
    first, begun = fits[0], len(fits)
    assert checksums(open_results(calibrate(request))) == expected
    assert first not in fits[begun:]


def with_little_time(monkeypatch: pytest.MonkeyPatch, years: set[str]) -> None:
    """Give the fits of these years no time."""

    def limit(batch: Any, floor: float) -> float:
        return 0.2 if any(key.endswith(f"year={year}") for key in batch.strata for year in years) else floor

    monkeypatch.setattr(run, "time_limit", limit)


def test_a_fit_that_runs_out_of_time_is_not_tried_stratum_by_stratum(
    request_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_little_time(monkeypatch, {"2022"})
    state = calibrate(request_for(**GROUPS), return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "CompletedWithFailures")
    assert "6 strata: 3 calibrated, 3 failed" in (state.message or "")
    with pytest.raises(IncompleteError) as caught:
        state.result()
    results = open_results(caught.value.uri)
    failed = results.strata[results.strata["status"] == "failed"]
    assert set(failed["year"]) == {"2022"}
    assert set(failed["reason"]) == {"timed_out"}
    nation = results.rollups.query("level == 'nation'")
    assert nation["strata_fitted"].item() == 3
    monkeypatch.undo()
    healed = calibrate(request_for(**GROUPS), return_state=True)
    assert healed.is_completed()


def test_a_run_none_of_whose_fits_ends_has_no_results(
    request_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_little_time(monkeypatch, {"2021", "2022"})
    state = calibrate(request_for(algorithms=["first"], bad_records="reject"), return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "Failed")
    assert "it would take as long: give it more time (VACAL_R_TIMEOUT)" in (state.message or "")
    with pytest.raises(EngineError, match="no stratum could be calibrated"):
        state.result()
    assert store.list_runs(request_for().output) == []


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_a_run_that_ends_in_the_middle_of_a_joint_fit_takes_its_r_process_with_it(
    request_for: Any, tmp_path: Path, how: str
) -> None:
    request = request_for(algorithms=["first"], bad_records="reject", effective_draws=1_000_000)
    written = tmp_path / "request.json"
    written.write_text(request.model_dump_json())
    flow = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/support/killed_flow.py"), str(written), "0"],
        env={**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert flow.stdout is not None
    assert any("joint fit first, 6 strata: " in line for line in flow.stdout)
    (r,) = map(os.pidfd_open, r_processes(flow.pid))
    if how == "cancelled":  # as Prefect's worker ends a flow run
        os.killpg(flow.pid, signal.SIGTERM)
    else:
        os.kill(flow.pid, signal.SIGKILL)
    assert select.select([r], [], [], 30)[0], "R goes on"
    os.close(r)
    flow.communicate(timeout=60)
    assert store.list_runs(request.output) == []


def test_a_fit_whose_chains_disagree_ends_the_run_in_a_state_that_is_not_green(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_input(tmp_path, CONTRADICTORY)
    prepare = run.prepare

    def with_a_small_budget(request: CalibrationRequest) -> Job:
        job = prepare(request)
        chunks = [replace(chunk, batch=replace(chunk.batch, budget=65_000)) for chunk in job.chunks]
        return replace(job, chunks=chunks)

    monkeypatch.setattr(run, "prepare", with_a_small_budget)
    state = calibrate(joint_request(tmp_path, **LENIENT), return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "CompletedWithFailures")
    with pytest.raises(IncompleteError) as caught:
        state.result()
    results = open_results(caught.value.uri)
    fits = results.table("joint_fits").to_pandas()
    lost = set(fits.loc[~fits["published"], "algorithm"])
    assert (
        {failure["algorithm"] for failure in results.manifest["failures"]} == lost != set(fits["algorithm"])
    )
    assert {failure["reason"] for failure in results.manifest["failures"]} == {"joint_fit_not_published"}
    again = calibrate(joint_request(tmp_path, **LENIENT), return_state=True)
    assert "as calibrated before" in (again.message or "")
