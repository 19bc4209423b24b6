"""What the tests of the flow share: a request of four provinces, and something to do at each fit.

A test file uses it by `pytest_plugins = ["support.flow_made"]`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State

from flows import calibrate as module
from flows.calibrate import calibrate
from flows.progress import Progress
from support import ALL_MAY_BE_PUBLISHED
from tasks.request.model import CalibrationRequest, parse_request
from tasks.results.store import Results, open_results

PROVINCES = ("Cabo", "Gaza", "Nampula", "Tete")
CAUSES = ("congenital_malformation", "pneumonia", "sepsis_meningitis_inf", "ipre", "other", "prematurity")


@pytest.fixture(scope="session")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Deaths of four provinces by two algorithms."""
    lines = ["province,algorithm,cause,deaths"]
    for number, province in enumerate(PROVINCES):
        for shift, algorithm in enumerate(("eava", "interva")):
            for index, cause in enumerate(CAUSES):
                lines.append(
                    f"{province},{algorithm},{cause},{30 + 7 * ((number + index * (shift + 2)) % 5)}"
                )
    path = tmp_path_factory.mktemp("input") / "deaths.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def request_for(counts: Path, tmp_path: Path) -> Callable[..., CalibrationRequest]:
    def make(**changes: Any) -> CalibrationRequest:
        fields = {
            "name": "provinces",
            "input": {"uri": str(counts), "layout": "counts"},
            "columns": {"strata": ["province"]},
            "age_group": "neonate",
            "country": "Mozambique",
            "algorithms": ["eava", "interva"],
            "matrix": {"source": "illustrative"},
            "verdict_rules": ALL_MAY_BE_PUBLISHED,
            "draws": 100,
            "effective_draws": 100,
            "chunk_strata": 2,
            "matrix_sharing": "per_stratum",
            "output": str(tmp_path / "store"),
        }
        return parse_request(fields | changes)

    return make


@pytest.fixture(scope="session")
def undisturbed(counts: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """Checksums of the files of an undisturbed run of a request, by file; the same request is run once."""
    known: dict[str, dict[str, str]] = {}

    def run(request: CalibrationRequest) -> dict[str, str]:
        key = request.model_dump_json(exclude={"output"})
        known[key] = known.get(key) or once(request)
        return known[key]

    def once(request: CalibrationRequest) -> dict[str, str]:
        elsewhere = request.model_copy(update={"output": str(tmp_path_factory.mktemp("undisturbed"))})
        return checksums(open_results(calibrate(elsewhere)))

    return run


def checksums(results: Results) -> dict[str, str]:
    return {file["path"]: file["sha256"] for file in results.manifest["files"]}


def r_processes(parent: int | None = None) -> list[int]:
    """The R processes of this process, or of another."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(parent or os.getpid())], capture_output=True, text=True
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "tasks.engine.process" in line]


class AtEachFit(Progress):
    """Progress that does something after each fit, in the task's thread, while R waits or works."""

    action: Callable[[str, int, str], None]

    def of(self, chunk: str) -> Callable[[int, str, int, int], None]:
        report = super().of(chunk)

        def act(stratum: int, algorithm: str, done: int, total: int) -> None:
            type(self).action(chunk, stratum, algorithm)
            report(stratum, algorithm, done, total)

        return act


@pytest.fixture
def at_each_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[Callable[[str, int, str], None]], None]]:
    def install(action: Callable[[str, int, str], None]) -> None:
        monkeypatch.setattr(AtEachFit, "action", staticmethod(action), raising=False)
        monkeypatch.setattr(module, "Progress", AtEachFit)

    yield install
    assert r_processes() == []


def kill_r_then_stop_in_the_second_chunk(fits: list[str]) -> Callable[[str, int, str], None]:
    """For `at_each_fit`: R is killed at the first fit, the run interrupted in its second chunk; fits: their chunks."""

    def action(chunk: str, stratum: int, algorithm: str) -> None:
        fits.append(chunk)
        if len(fits) == 1:
            for pid in r_processes():
                os.kill(pid, 9)
        if len(set(fits)) == 2:
            raise KeyboardInterrupt

    return action


def flow_run_of(state: State[Any]) -> UUID:
    assert state.state_details.flow_run_id is not None
    return state.state_details.flow_run_id


def artifacts_of(state: State[Any]) -> Mapping[str, Any]:
    with get_client(sync_client=True) as client:
        of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_of(state)]))
        return {a.key: a for a in client.read_artifacts(artifact_filter=of_run)}


def labels_of(state: State[Any]) -> Mapping[str, Any]:
    """The labels that this project gave to the flow run of the state."""
    with get_client(sync_client=True) as client:
        labels = client.read_flow_run(flow_run_of(state)).labels
    return {name: value for name, value in labels.items() if name.startswith("vacal.")}
