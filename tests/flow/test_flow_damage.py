"""Chunks damaged while a run is interrupted, or before it is published: they are computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from support.flow_made import checksums, flow_run_of

from flows import calibrate as module
from flows.calibrate import calibrate
from tasks import run as steps
from tasks.results import store, write
from tasks.results.store import open_results
from tasks.results.write import DamagedChunkError

pytest_plugins = ["support.flow_made"]
pytestmark = pytest.mark.usefixtures("prefect_server")

ONE_WORKER = calibrate.with_options(task_runner=module.ThreadPoolTaskRunner(max_workers=1))


def folders(request: Any) -> list[Path]:
    """Where the run's chunks are kept until it is published."""
    job = steps.prepare(request)
    return [Path(request.output) / "work" / job.run / chunk.id for chunk in job.chunks]


def test_a_chunk_damaged_while_a_run_is_interrupted_is_computed_again(
    request_for: Any, undisturbed: Any, at_each_fit: Any
) -> None:
    request, fits = request_for(), list[str]()
    expected, (first, second) = undisturbed(request), folders(request)

    def stop_in_second_chunk(chunk: str, stratum: int, algorithm: str) -> None:
        if chunk == second.name:
            raise KeyboardInterrupt

    at_each_fit(stop_in_second_chunk)
    with pytest.raises(BaseException):  # noqa: B017 - whatever Prefect makes of an interruption
        ONE_WORKER(request)
    assert write.finished_chunks(request.output, first.parent.name) == {first.name}
    (first / "strata").write_bytes(b"")
    at_each_fit(lambda chunk, stratum, algorithm: fits.append(chunk))
    assert checksums(open_results(calibrate(request))) == expected
    assert set(fits) == {first.name, second.name}


def test_a_chunk_damaged_before_publication_is_told_once_and_computed_again_by_the_next_run(
    request_for: Any, undisturbed: Any, at_each_fit: Any
) -> None:
    request, fits = request_for(), list[str]()
    expected, (first, second) = undisturbed(request), folders(request)

    def damage_first_in_second(chunk: str, stratum: int, algorithm: str) -> None:
        if chunk == second.name:
            (first / "csmf").unlink(missing_ok=True)

    at_each_fit(damage_first_in_second)
    state = ONE_WORKER(request, return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "Failed")
    assert "table csmf is missing; run again: it resumes" in (state.message or "")
    with pytest.raises(DamagedChunkError):
        state.result()
    assert tries_of("publish", state) == [1]
    assert store.list_runs(request.output) == []
    at_each_fit(lambda chunk, stratum, algorithm: fits.append(chunk))
    assert checksums(open_results(calibrate(request))) == expected
    assert set(fits) == {first.name}


def tries_of(task: str, state: Any) -> list[int]:
    """How often each task whose run's name begins so was tried."""
    with get_client(sync_client=True) as client:
        of_run = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_of(state)]))
        runs = client.read_task_runs(flow_run_filter=of_run)
    return [run.run_count for run in runs if run.name.startswith(task)]
