"""Runs, retries and re-submission decide by data: with every sentence replaced they go the same way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Completed, Failed
from support.flow_made import labels_of, r_processes
from support.prose import without_sentences, without_words

from flows import calibrate as module
from flows.calibrate import calibrate
from tasks import run as steps
from tasks.errors import InputError, StorageError
from tasks.results.store import open_results
from tasks.service.client import Server, record_results

pytest_plugins = ["support.flow_made"]
pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(autouse=True)
def no_prose(monkeypatch: pytest.MonkeyPatch) -> None:
    without_words(monkeypatch)
    without_sentences(monkeypatch)


def test_strata_lost_with_their_process_are_tried_again_without_a_word(
    request_for: Any, at_each_fit: Any
) -> None:
    request = request_for()
    whole = next(c for c in steps.prepare(request).chunks if "Nampula" in c.name)
    nampula = {whole.id, next(s for s in whole.singles() if s.name.endswith("Nampula")).id}

    def kill(chunk: str, stratum: int, algorithm: str) -> None:
        if chunk in nampula:
            for pid in r_processes():
                os.kill(pid, 9)

    at_each_fit(kill)
    runner = module.ThreadPoolTaskRunner(max_workers=1)
    state = calibrate.with_options(task_runner=runner)(request, return_state=True)
    assert (state.name, state.message) == ("CompletedWithFailures", "x")
    uri = labels_of(state)["vacal.results"]
    assert labels_of(state)["vacal.lost_strata"] is True
    fits: list[str] = []
    at_each_fit(lambda chunk, stratum, algorithm: fits.append(chunk))
    state = calibrate(request, return_state=True)
    assert (state.name, state.message) == ("Completed", "x")
    assert labels_of(state).items() >= {"vacal.results": uri, "vacal.lost_strata": False}.items()
    assert set(fits) == {chunk.id for chunk in steps.prepare(request).chunks if "Nampula" in chunk.name}
    assert open_results(uri).manifest["status"] == "complete"


def test_bad_input_is_refused_and_a_store_that_fails_is_tried_again_without_a_word(
    request_for: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def refuse(error: Exception) -> Any:
        def prepare(_request: Any) -> None:
            calls.append(type(error).__name__)
            raise error

        return prepare

    monkeypatch.setattr(steps, "prepare", refuse(InputError("wrong")))
    state = calibrate(request_for(), return_state=True)
    assert (state.name, state.message, labels_of(state)) == ("BadInput", "x", {})
    monkeypatch.setattr(steps, "prepare", refuse(StorageError("away")))
    state = calibrate(request_for(), return_state=True)
    assert (state.name, state.message, labels_of(state)) == ("Failed", "x", {})
    assert calls.count("InputError") == 1
    assert calls.count("StorageError") > 1


def test_a_request_is_submitted_again_by_what_the_server_holds_as_data(request_for: Any) -> None:
    request = request_for()
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("calibrate")
        client.create_deployment(flow_id=flow, name="calibrate")
        server = Server(client)
        first, new = server.submit(request, "content")
        assert new
        assert server.submit(request, "content") == (first, False)
        record_results(first.id, "s3://b/runs/first", lost_strata=True)
        lost = Failed(name="CompletedWithFailures", message="x")
        client.set_flow_run_state(first.id, lost, force=True)
        assert server.results(str(first.id)) == "s3://b/runs/first"
        second, new = server.submit(request, "content")
        assert new
        assert second.id != first.id
        record_results(second.id, "s3://b/runs/first", lost_strata=False)
        client.set_flow_run_state(second.id, Completed(message="x"), force=True)
        again, new = server.submit(request, "content")
        assert (again.id, again.results, new) == (second.id, "s3://b/runs/first", False)
