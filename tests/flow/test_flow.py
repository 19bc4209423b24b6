"""The flow with a real Prefect server and real R: states, retries, resumption, progress, and what is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL
from support import ROOT
from support.flow_made import CAUSES, PROVINCES, artifacts_of, checksums, flow_run_of, labels_of, r_processes
from support.watched_store import watched

from flows import calibrate as module
from flows.calibrate import IncompleteError, calibrate
from flows.progress import Progress
from tasks.errors import InputError
from tasks.results import store, write
from tasks.results.store import open_results
from tasks.run import prepare

pytest_plugins = ["support.flow_made"]
pytestmark = pytest.mark.usefixtures("prefect_server")


def test_a_request_becomes_a_published_run(request_for: Any) -> None:
    request = request_for(roll_ups=[[]], keep_draws=True)
    state = calibrate(request, return_state=True)
    results = open_results(state.result())
    assert state.is_completed()
    assert state.message is not None
    assert state.message == f"4 strata: 4 calibrated; results: {results.uri}"
    assert results.manifest["status"] == "complete"
    strata = results.csmf[results.csmf["level"] == "stratum"]
    assert sorted(set(strata["province"])) == list(PROVINCES)
    assert strata.groupby(["stratum", "algorithm"])["mean"].sum().to_numpy() == pytest.approx(1)
    assert set(results.csmf["level"]) == {"stratum", "nation"}
    assert set(results.draws["draw"]) == set(range(1, 101))
    assert write.finished_chunks(request.output, results.manifest["run"]) == set()
    assert {"results", "summary"} <= set(artifacts_of(state))
    assert r_processes() == []


def test_the_same_request_is_recognised_and_not_computed_again(request_for: Any, at_each_fit: Any) -> None:
    first = calibrate(request_for())
    fits: list[Any] = []
    at_each_fit(lambda *fit: fits.append(fit))
    assert calibrate(request_for(chunk_strata=1)) == first
    assert fits == []
    assert calibrate(request_for(), recompute=True) == first
    assert len(fits) == 4 * 3


def test_how_strata_are_dealt_changes_no_byte(request_for: Any, undisturbed: Any) -> None:
    asked = {"roll_ups": [[]], "keep_draws": True}
    assert undisturbed(request_for(**asked, chunk_strata=1)) == undisturbed(
        request_for(**asked, chunk_strata=3)
    )


def test_a_killed_r_process_costs_one_more_try_of_its_chunk(
    request_for: Any, undisturbed: Any, at_each_fit: Any
) -> None:
    expected, fits = undisturbed(request_for()), []

    def kill_once(chunk: str, stratum: int, algorithm: str) -> None:
        fits.append((chunk, stratum, algorithm))
        if len(fits) == 2:
            for pid in r_processes():
                os.kill(pid, 9)

    at_each_fit(kill_once)
    results = open_results(calibrate(request_for()))
    assert checksums(results) == expected
    assert 4 * 3 < len(fits) <= 4 * 3 + 2 * 2 * 3


def test_a_stratum_that_ends_r_does_not_take_the_others_with_it(
    request_for: Any, at_each_fit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def kill_whenever_nampula_comes(chunk: str, stratum: int, algorithm: str) -> None:
        tried.append(chunk)
        strata = chunks[chunk]
        if strata[stratum].endswith("province=Nampula"):
            for pid in r_processes():
                os.kill(pid, 9)

    chunks: dict[str, tuple[str, ...]] = {}
    real = module.calibrate_chunks

    def remember(run_one: Any, job: Any, parts: Any, progress: Any, pool: Any) -> Any:
        chunks.update({part.id: part.batch.strata for part in parts})
        return real(run_one, job, parts, progress, pool)

    monkeypatch.setattr(module, "calibrate_chunks", remember)
    at_each_fit(kill_whenever_nampula_comes)
    one_worker = calibrate.with_options(task_runner=module.ThreadPoolTaskRunner(max_workers=1))
    state = one_worker(request_for(), return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "CompletedWithFailures")
    message = state.message or ""
    assert "4 strata: 3 calibrated, 1 failed; submitted again, it tries those once more" in message
    assert labels_of(state)["vacal.lost_strata"] is True
    with pytest.raises(IncompleteError) as caught:
        state.result()
    results = open_results(caught.value.uri)
    assert results.manifest["status"] == "complete_with_failures"
    assert results.manifest["strata"] == {"calibrated": 3, "failed": 1}
    failed = results.strata[results.strata["status"] == "failed"]
    assert set(failed["province"]) == {"Nampula"}
    assert set(failed["reason"]) == {"r_process_lost"}
    assert {failure["reason"] for failure in results.manifest["failures"]} == {"r_process_lost"}
    assert failed["verdict_reasons"].str.contains("R process").all()
    lost = results.records[results.records["disposition"] == "not_fitted"]
    assert (set(lost["province"]), set(lost["reason"])) == ({"Nampula"}, {"failed"})
    raw = results.csmf[results.csmf["province"] == "Nampula"]
    assert set(raw["status"]) == {"no_result"}
    assert raw["mean"].isna().all()


def test_an_interrupted_run_goes_on_where_it_stopped(
    request_for: Any, undisturbed: Any, at_each_fit: Any
) -> None:
    expected = undisturbed(request_for())
    one_worker = calibrate.with_options(task_runner=module.ThreadPoolTaskRunner(max_workers=1))
    fits: list[tuple[str, int]] = []

    def stop_in_second_chunk(chunk: str, stratum: int, algorithm: str) -> None:
        fits.append((chunk, stratum))
        if len({of for of, _ in fits}) == 2:
            raise KeyboardInterrupt

    at_each_fit(stop_in_second_chunk)
    request = request_for()
    with pytest.raises(BaseException):  # noqa: B017 - whatever Prefect makes of an interruption
        one_worker(request)
    assert store.list_runs(request.output) == []
    first = fits[0][0]
    at_each_fit(lambda chunk, stratum, algorithm: fits.append((chunk, stratum)))
    fits.clear()
    results = open_results(calibrate(request))
    assert checksums(results) == expected
    assert first not in {chunk for chunk, _ in fits}


def test_bad_input_ends_the_run_before_r_starts(request_for: Any, at_each_fit: Any) -> None:
    fits: list[Any] = []
    at_each_fit(lambda *fit: fits.append(fit))
    request = request_for(columns={"strata": ["district"]})
    state = calibrate(request, return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "BadInput")
    assert "district" in (state.message or "")
    with pytest.raises(InputError, match="district"):
        state.result()
    assert fits == []
    assert not Path(request.output).exists()


def test_a_request_that_is_no_request_is_refused_with_every_problem() -> None:
    state = calibrate({"name": "no good", "colour": "blue"}, return_state=True)  # type: ignore[arg-type]
    assert state.name == "BadInput"
    with pytest.raises(InputError) as caught:
        state.result()
    assert len(caught.value.problems) > 3


def test_progress_goes_forward_to_100_for_each_algorithm(request_for: Any, monkeypatch: Any) -> None:
    shown: dict[str, list[float]] = {}
    real = Progress._show

    def watch(self: Progress, algorithm: str, percent: float) -> None:
        shown.setdefault(algorithm, []).append(percent)
        real(self, algorithm, percent)

    monkeypatch.setattr(Progress, "_show", watch)
    monkeypatch.setattr("flows.progress.SECONDS_BETWEEN", 0.0)
    state = calibrate(request_for(), return_state=True)
    artifacts = artifacts_of(state)
    for algorithm in ("eava", "interva", "ensemble"):
        artifact = artifacts[f"progress-{algorithm}"]
        assert (artifact.data, artifact.description) == (100.0, f"{algorithm}: 4 of 4 strata")
        assert shown[algorithm] == sorted(shown[algorithm])
        assert shown[algorithm][-1] == 100.0
        assert max(shown[algorithm][:-1]) <= 99.0
        assert len(set(shown[algorithm])) > 3


def test_runs_are_named_by_the_request_and_tasks_by_their_strata(request_for: Any) -> None:
    state = calibrate(request_for(), return_state=True)
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(flow_run_of(state))
    assert run.name.startswith("provinces ")
    chunks = prepare(request_for()).chunks
    assert [chunk.name for chunk in chunks] == [
        "neonate Mozambique Cabo .. Gaza",
        "neonate Mozambique Nampula .. Tete",
    ]


def test_deaths_below_the_minimum_are_reported_and_not_fitted(request_for: Any, tmp_path: Path) -> None:
    rows = ["province,algorithm,cause,deaths"]
    for province, deaths in (("large", 40), ("small", 1)):
        rows += [f"{province},{a},{c},{deaths}" for a in ("eava", "interva") for c in CAUSES]
    rows += [f"mixed,{a},{c},{40 if a == 'eava' else 1}" for a in ("eava", "interva") for c in CAUSES]
    path = tmp_path / "small.csv"
    path.write_text("\n".join(rows))
    request = request_for(input={"uri": str(path), "layout": "counts"}, minimum_deaths=10, roll_ups=[[]])
    state = calibrate(request, return_state=True)
    results = open_results(state.result())
    assert state.message == (
        f"3 strata: 2 calibrated, 1 not fitted; 1 stratum has fewer than 10 deaths; results: {results.uri}"
    )
    assert results.manifest["strata"] == {"calibrated": 2, "not_fitted": 1}
    strata = results.strata.set_index(["province", "algorithm"])
    assert strata.loc[("small", "eava"), "status"] == "not_fitted"
    assert strata.loc[("small", "eava"), "reason"] == "too_few_deaths"
    assert strata.loc[("small", "eava"), "deaths"] == 6
    assert strata.loc[("mixed", "eava"), "status"] == "calibrated"
    assert strata.loc[("mixed", "interva"), "status"] == "not_fitted"
    assert strata.loc[("mixed", "ensemble"), "status"] == "no_result"
    records = results.records.set_index(["province", "algorithm"])
    assert records.loc[("small", "eava"), "disposition"] == "not_fitted"
    assert records.loc[("mixed", "eava"), "disposition"] == "used"
    raw = results.csmf.set_index(["level", "province", "algorithm", "cause"])
    assert raw.loc[("stratum", "small", "eava", "ipre"), "deaths"] == 1
    assert raw.loc[("stratum", "small", "eava", "ipre"), "raw"] == pytest.approx(1 / 6)


def test_no_record_of_a_death_reaches_prefect_or_the_results(
    request_for: Any, tmp_path: Path, caplog: Any
) -> None:
    rows = [f"uuid:secret-{n},{CAUSES[n % 6]},{a}" for n in range(60) for a in ("eava", "interva")]
    path = tmp_path / "records.csv"
    path.write_text("\n".join(["ID,cause,algorithm", *rows]))
    request = request_for(input={"uri": str(path), "layout": "records"}, columns={})
    state = calibrate(request, return_state=True)
    results = open_results(state.result())
    texts = [results.csmf, results.strata, results.records, results.matrices]
    assert not any("secret" in table.to_csv() for table in texts)
    assert "secret" not in str(results.manifest) + caplog.text
    assert not any("secret" in str(a.data) for a in artifacts_of(state).values())


def test_a_run_killed_again_and_again_ends_with_the_bytes_of_an_undisturbed_one(
    request_for: Any, undisturbed: Any, tmp_path: Path
) -> None:
    request = request_for(roll_ups=[[]])
    expected = undisturbed(request)
    written = tmp_path / "request.json"
    written.write_text(request.model_dump_json())
    kills = (3, 22, 6)  # among the first fits, among the writes of chunks, among what is left
    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    with watched(request.output):
        for event in kills:
            script = [
                sys.executable,
                str(ROOT / "tests/support/killed_flow.py"),
                str(written),
                str(event),
            ]
            ended = subprocess.run(script, env=environment, capture_output=True, check=False)
            assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]
        assert store.list_runs(request.output) == []
        results = open_results(calibrate(request))
    assert checksums(results) == expected
