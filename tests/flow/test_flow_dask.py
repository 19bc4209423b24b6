"""The same flow on a Dask cluster, by configuration alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import LocalCluster
from support import ALL_MAY_BE_PUBLISHED
from support.joint_made import joint_request, write_input

from flows.calibrate import calibrate, task_runner
from tasks.request.model import CalibrationRequest, parse_request
from tasks.results import write
from tasks.results.store import Results, open_results
from tasks.settings import Settings

pytestmark = pytest.mark.usefixtures("prefect_server")

CAUSES = ("congenital_malformation", "pneumonia", "sepsis_meningitis_inf", "ipre", "other", "prematurity")
STRATA = 8


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A scheduler and two workers, each in a process of its own."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


def request_for(tmp_path: Path, output: str) -> CalibrationRequest:
    rows = [
        f"P{number},{algorithm},{cause},{20 + (7 * number + 5 * index) % 40}"
        for number in range(STRATA)
        for algorithm in ("eava", "interva")
        for index, cause in enumerate(CAUSES)
    ]
    path = tmp_path / "deaths.csv"
    path.write_text("\n".join(["province,algorithm,cause,deaths", *rows]))
    return parse_request(
        {
            "name": "dask",
            "input": {"uri": str(path), "layout": "counts"},
            "columns": {"strata": ["province"]},
            "age_group": "neonate",
            "country": "Mozambique",
            "algorithms": ["eava", "interva"],
            "matrix": {"source": "illustrative"},
            "verdict_rules": ALL_MAY_BE_PUBLISHED,
            "matrix_sharing": "per_stratum",
            "roll_ups": [[]],
            "draws": 100,
            "effective_draws": 100,
            "chunk_strata": 1,
            "output": str(tmp_path / output),
        }
    )


def files(results: Results) -> dict[str, bytes]:
    folder = Path(results.uri)
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def test_a_joint_run_equals_the_local_run_byte_for_byte(cluster: LocalCluster, tmp_path: Path) -> None:
    write_input(tmp_path)
    asked = {
        "algorithms": ["first"], "bad_records": "reject", "joint_groups": ["year"], "roll_ups": [[]],
        "verdict_rules": ALL_MAY_BE_PUBLISHED, "left_out_share": 1.0,
    }  # fmt: skip
    local = open_results(calibrate(joint_request(tmp_path, **asked, output=str(tmp_path / "local"))))
    settings = Settings(runner="dask", dask_address=cluster.scheduler_address)
    on_cluster = calibrate.with_options(task_runner=task_runner(settings))
    distributed = open_results(on_cluster(joint_request(tmp_path, **asked, output=str(tmp_path / "dask"))))
    assert len(local.table("joint_fits")) == 2
    assert files(distributed) == files(local)


def test_a_run_that_loses_a_worker_equals_the_local_run_byte_for_byte(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    local = open_results(calibrate(request_for(tmp_path, "local")))
    request = request_for(tmp_path, "dask")
    run, lost = local.manifest["run"], []

    def kill_a_worker_after_the_first_chunk() -> None:
        watch = threading.Event()
        while not (finished := write.finished_chunks(request.output, run)):
            watch.wait(0.02)
        lost.append((len(finished), cluster.workers[0].pid))
        os.kill(cluster.workers[0].pid, 9)

    settings = Settings(runner="dask", dask_address=cluster.scheduler_address)
    killer = threading.Thread(target=kill_a_worker_after_the_first_chunk, daemon=True)
    killer.start()
    distributed = open_results(calibrate.with_options(task_runner=task_runner(settings))(request))
    assert lost[0][0] < STRATA, "the worker was killed too late to matter"
    assert files(distributed) == files(local)
    assert len(files(local)) == 5
