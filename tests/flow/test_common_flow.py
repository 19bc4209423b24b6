"""Common matrix draws through the flow, with a real Prefect server and real R: baselines, resumption, bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.common_made import common_request
from support.flow_made import checksums, kill_r_then_stop_in_the_second_chunk
from support.joint_made import write_input

from flows import calibrate as module
from flows.calibrate import IncompleteError, calibrate
from tasks import results as stored
from tasks import run
from tasks.engine import TimedOutError
from tasks.request.model import CalibrationRequest
from tasks.results import store
from tasks.results.store import open_results

pytest_plugins = ["support.flow_made"]
pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def request_for(tmp_path: Path) -> Any:
    def make(**changes: Any) -> CalibrationRequest:
        write_input(tmp_path)
        return common_request(tmp_path, **changes)

    return make


def test_a_run_that_lost_an_r_process_and_one_that_resumes_have_the_bytes_of_an_undisturbed_one(
    request_for: Any, at_each_fit: Any, tmp_path: Path
) -> None:
    request = request_for(chunk_strata=2, keep_draws=True)
    elsewhere = request.model_copy(update={"output": str(tmp_path / "undisturbed"), "chunk_strata": 6})
    expected = checksums(open_results(calibrate(elsewhere)))
    one_worker = calibrate.with_options(task_runner=module.ThreadPoolTaskRunner(max_workers=1))
    fits: list[str] = []
    at_each_fit(kill_r_then_stop_in_the_second_chunk(fits))
    with pytest.raises(BaseException):  # noqa: B017 - whatever Prefect makes of an interruption
        one_worker(request)
    assert store.list_runs(request.output) == []
    job = run.prepare(request)
    baselines = {one.id for one in job.baselines}
    assert stored.finished_chunks(job.work.root, job.run, among=baselines) == baselines
    at_each_fit(lambda chunk, stratum, algorithm: fits.append(chunk))
    first, begun = fits[0], len(fits)
    assert checksums(open_results(calibrate(request))) == expected
    assert first not in fits[begun:]


def test_strata_whose_baseline_is_lost_fail_with_its_reason_and_heal_when_submitted_again(
    request_for: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(country={"column": "country"}, chunk_strata=3)
    text = (tmp_path / "deaths.csv").read_text().splitlines()
    rows = [f"{text[0]},country", *(f"{line},{c}" for c in ("Mozambique", "Mali") for line in text[1:])]
    (tmp_path / "deaths.csv").write_text("\n".join(rows))
    keep = run.keep_baseline

    def lose_those_of_mali(baseline: Any, *arguments: Any, **named: Any) -> str:
        if baseline.place["country"] == "Mali":
            raise TimedOutError("the R process was ended after its time-out")
        return keep(baseline, *arguments, **named)

    monkeypatch.setattr(run, "keep_baseline", lose_those_of_mali)
    state = calibrate(request, return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "TotalsUnusable")  # those of Mali have no result
    with pytest.raises(IncompleteError) as caught:
        state.result()
    results = open_results(caught.value.uri)
    failed = results.strata[results.strata["status"] == "failed"]
    assert set(failed["country"]) == {"Mali"}
    assert set(failed["reason"]) == {"timed_out"}
    assert set(results.table("common_fits")["country"].to_pylist()) == {"Mozambique"}
    monkeypatch.undo()
    assert calibrate(request, return_state=True).is_completed()


def test_on_a_dask_cluster_bytes_are_the_same(request_for: Any, tmp_path: Path) -> None:
    from prefect_dask.task_runners import DaskTaskRunner

    request = request_for(chunk_strata=2)
    expected = checksums(open_results(calibrate(request)))
    elsewhere = request.model_copy(update={"output": str(tmp_path / "dask")})
    cluster = DaskTaskRunner(
        cluster_kwargs={"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    )
    on_dask = calibrate.with_options(task_runner=cluster)
    assert checksums(open_results(on_dask(elsewhere))) == expected
