"""How runs of the flow end, and what the next call of the same request does about what was lost."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest
from support.build_boundaries import made_up_boundaries
from support.flow_made import PROVINCES, artifacts_of, checksums, labels_of, r_processes

from flows import calibrate as module
from flows.calibrate import IncompleteError, calibrate
from flows.progress import Progress
from tasks import run as steps
from tasks.engine import engine_versions
from tasks.errors import InputError
from tasks.results import store, write
from tasks.results.store import open_results
from tasks.run.job import resolved

pytest_plugins = ["support.flow_made"]
pytestmark = pytest.mark.usefixtures("prefect_server")


def lose_nampula(request: Any, at_each_fit: Any) -> str:
    """Run the request while R is killed whenever it fits Nampula; returns the run's address."""

    def kill(chunk: str, stratum: int, algorithm: str) -> None:
        if chunk in nampula:
            for pid in r_processes():
                os.kill(pid, 9)

    whole = next(c for c in steps.prepare(request).chunks if "Nampula" in c.name)
    nampula = {whole.id, next(s for s in whole.singles() if s.name.endswith("Nampula")).id}
    at_each_fit(kill)
    runner = module.ThreadPoolTaskRunner(max_workers=1)
    state = calibrate.with_options(task_runner=runner)(request, return_state=True)
    assert state.name == "CompletedWithFailures"
    with pytest.raises(IncompleteError) as caught:
        state.result()
    expected = {"vacal.results": caught.value.uri, "vacal.lost_strata": True}
    assert labels_of(state).items() >= expected.items()
    return caught.value.uri


def test_strata_lost_with_their_process_are_tried_again_by_the_next_call(
    request_for: Any, undisturbed: Any, at_each_fit: Any
) -> None:
    request, fits = request_for(), []
    uri = lose_nampula(request, at_each_fit)
    at_each_fit(lambda chunk, stratum, algorithm: fits.append(chunk))
    assert calibrate(request) == uri
    assert set(fits) == {chunk.id for chunk in steps.prepare(request).chunks if "Nampula" in chunk.name}
    results = open_results(uri)
    assert results.manifest["status"] == "complete"
    assert checksums(results) == undisturbed(request)
    assert write.finished_chunks(request.output, results.manifest["run"]) == set()
    fits.clear()
    assert calibrate(request) == uri
    assert fits == []


def test_strata_lost_are_tried_again_where_no_finished_chunk_is_kept(
    request_for: Any, undisturbed: Any, at_each_fit: Any
) -> None:
    request = request_for()
    uri = lose_nampula(request, at_each_fit)
    write.remove_work(request.output, open_results(uri).manifest["run"])
    at_each_fit(lambda *_: None)
    assert checksums(open_results(calibrate(request))) == undisturbed(request)


@pytest.mark.parametrize(
    ("reasons", "again"),
    [([], False), (["not positive definite"], False), (["engine_error"], False), (["timed_out"], True)],
)
def test_only_what_was_lost_with_its_process_is_tried_again(reasons: list[str], again: bool) -> None:
    assert steps.may_heal({"failures": [{"reason": reason} for reason in reasons]}) is again


def test_a_chunk_that_runs_out_of_time_is_tried_again_once_stratum_by_stratum(
    request_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def far_too_short(batch: Any, floor: float) -> float:
        tries.append(len(batch.strata))
        return 0.01

    monkeypatch.setattr(steps, "time_limit", far_too_short)
    state = calibrate(request_for(chunk_strata=4), return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "Failed")
    assert "time-out" in (state.message or "")
    assert sorted(tries) == [1, 1, 1, 1, 4]


def test_a_lost_chunk_is_not_counted_before_its_strata() -> None:
    progress = Progress({"eava": 2})
    progress.of("whole")(0, "eava", 1, 2)
    progress.lose("whole")
    progress.finish("first", 1)
    assert progress._words("eava") == "eava: 1 of 2 strata"
    progress.finish("second", 1)
    assert progress._words("eava") == "eava: 2 of 2 strata"


def test_a_recognised_run_shows_its_results_and_says_where_they_are(request_for: Any) -> None:
    uri = calibrate(request_for())
    state = calibrate(request_for(), return_state=True)
    assert {"results", "summary"} <= set(artifacts_of(state))
    assert state.message == f"4 strata, as calibrated before: 4 calibrated; results: {uri}"
    assert labels_of(state) == {
        "vacal.results": uri,
        "vacal.lost_strata": False,
        "vacal.deaths": int(open_results(uri).strata.groupby("stratum")["deaths_received"].max().sum()),
        "vacal.strata": 4,
    }


def test_a_report_that_cannot_be_written_does_not_hide_the_results(request_for: Any) -> None:
    request = request_for()
    job = steps.prepare(request)
    (Path(job.uri) / "report-en.html" / "in the way").mkdir(parents=True)
    state = calibrate(request, return_state=True)
    assert (state.type.value, state.name) == ("COMPLETED", "CompletedWithoutReport")
    assert state.result() == job.uri
    assert "report could not be written" in (state.message or "")
    assert labels_of(state)["vacal.results"] == job.uri
    assert {"results", "summary"} <= set(artifacts_of(state))


def test_the_report_is_written_anew_by_each_call(request_for: Any, tmp_path: Path) -> None:
    uri = calibrate(request_for())
    page = Path(uri) / "report-en.html"
    without_maps = page.read_bytes()
    areas = tmp_path / "areas.geojson"
    areas.write_text(made_up_boundaries(PROVINCES))
    assert calibrate(request_for(boundaries=str(areas))) == uri
    assert page.read_bytes() != without_maps
    assert calibrate(request_for()) == uri
    assert page.read_bytes() == without_maps


@pytest.mark.parametrize(
    ("content", "columns", "complaint"),
    [
        (None, ["province"], "does not exist"),
        ("no GeoJSON", ["province"], "not a GeoJSON collection"),
        ("Zambézia".encode("latin-1"), ["province"], "is not UTF-8 text"),
        (made_up_boundaries(["Atlantis"]), ["province"], "names any of"),
        (made_up_boundaries(PROVINCES), [], "strata column"),
    ],
)
def test_boundaries_that_do_not_fit_are_refused_before_any_work(
    request_for: Any, tmp_path: Path, content: str | bytes | None, columns: list[str], complaint: str
) -> None:
    areas = tmp_path / "areas.geojson"
    if content is not None:
        areas.write_bytes(content if isinstance(content, bytes) else content.encode())
    state = calibrate(request_for(boundaries=str(areas), columns={"strata": columns}), return_state=True)
    assert state.name == "BadInput"
    assert labels_of(state) == {}
    with pytest.raises(InputError, match=complaint):
        state.result()
    assert not (tmp_path / "store").exists()


def test_a_relative_store_is_absolute_for_tasks_and_stays_as_asked_for_people(
    request_for: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = steps.prepare(request_for(output="results"))
    assert job.work.root == str(tmp_path / "results")
    assert job.uri == f"results/runs/{job.run}"
    assert resolved(job.request)["output"] == "results"
    assert steps.prepare(request_for(output="s3://bucket/results")).work.root == "s3://bucket/results"


def test_a_chunk_computed_by_another_version_of_the_engine_ends_the_run(
    request_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = engine_versions()["engine"]
    monkeypatch.setattr(
        importlib.import_module("tasks.run.prepare"), "engine_versions", lambda: {"engine": "0.0.1", "r": "4"}
    )
    request = request_for()
    state = calibrate(request, return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "Failed")
    assert f"vacal {here}" in (state.message or "")
    assert "0.0.1" in (state.message or "")
    assert store.list_runs(request.output) == []
