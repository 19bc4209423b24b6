"""Writers killed with SIGKILL anywhere: a reader never sees half a run, and what is left can be finished."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import ROOT
from support.killed_writer import publish, replace_run, write_run
from support.watched_store import look, watched

from tasks.results import store, write

pytest_plugins = ["support.s3"]

KILLS = {"folder": 25, "s3": 6}


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(place: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "results") if place == "folder" else str(request.getfixturevalue("s3_root"))


@pytest.mark.slow
def test_writers_killed_anywhere_leave_no_half_run_and_their_runs_can_be_finished(
    root: str, place: str
) -> None:
    script = [sys.executable, str(ROOT / "tests/support/killed_writer.py"), root]
    with (
        subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writers,
        watched(root) as looks,
    ):
        assert writers.stdin and writers.stdout

        def written(run: str, last_call: int) -> tuple[str, int]:
            writers.stdin.write(f"{run} {last_call}\n")
            writers.stdin.flush()
            name, end, calls = writers.stdout.readline().split()
            assert name == run
            return end, int(calls)

        end, calls = written("moz-undisturbed", 0)
        assert end == "done"
        points = random.Random(1)
        runs = [f"moz-{number:012x}" for number in range(KILLS[place])]
        killed = [written(run, points.randrange(1, calls))[0] for run in runs]
        writers.stdin.close()
    assert killed.count("killed") >= KILLS[place]
    assert looks and max(looks) >= 1
    for run in runs:
        whole = store.find_run(root, run) is not None
        assert whole or run not in look(root)
        finished = write.finished_chunks(root, run)
        assert finished <= {"first", "second"}
        if finished == {"first", "second"}:
            publish(root, run)
        else:
            write_run(root, run)
    assert look(root) == sorted([*runs, "moz-undisturbed"])
    assert len(_dataset(root)) == len(runs) + 1


@pytest.mark.slow
def test_writers_killed_anywhere_while_they_replace_a_run_leave_it_or_the_new_one_whole(
    root: str, place: str
) -> None:
    script = [sys.executable, str(ROOT / "tests/support/killed_writer.py"), root]
    kills = KILLS[place] // 2
    runs = [f"moz-{number:012x}" for number in range(kills + 1)]
    for run in runs:
        write_run(root, run)
    old = {run: store.find_run(root, run) for run in runs}
    with (
        subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writers,
        watched(root, replaced=True) as looks,
    ):
        assert writers.stdin and writers.stdout

        def replace(run: str, last_call: int) -> tuple[str, int]:
            writers.stdin.write(f"{run} {last_call} replace\n")
            writers.stdin.flush()
            name, end, calls = writers.stdout.readline().split()
            assert name == run
            return end, int(calls)

        end, calls = replace(runs[-1], 0)
        assert end == "done"
        points = random.Random(2)
        killed = [replace(run, points.randrange(calls // 2, calls))[0] for run in runs[:-1]]
        writers.stdin.close()
    assert killed.count("killed") >= kills // 2
    assert looks and min(looks) == len(runs)
    for run in runs:
        assert write.finished_chunks(root, run) == {"first", "second"}
        manifest = replace_run(root, run)
        assert store.find_run(root, run) == manifest and "staged" not in manifest
        assert {f["path"]: f["sha256"] for f in manifest["files"]} != {
            f["path"]: f["sha256"] for f in old[run]["files"]
        }
    assert look(root) == sorted(runs)
    assert len(_dataset(root)) == len(runs)
    write.clean_work(root, timedelta(0), now=datetime.now(UTC) + timedelta(hours=1))
    names = {"csmf.parquet", "draws.parquet", "manifest.json", "timings.json"}
    assert set(write.Storage(root).files("runs")) == {f"runs/{run}/{name}" for run in runs for name in names}


@pytest.mark.slow
def test_two_writers_of_one_run_at_once_do_no_harm(root: str) -> None:
    script = [sys.executable, str(ROOT / "tests/support/killed_writer.py"), root]
    with watched(root):
        both = [
            subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for writers in both:
            assert writers.stdin
            writers.stdin.write("moz-same 0\n" * 2)
            writers.stdin.close()
        ends = [line.split()[1] for writers in both for line in writers.stdout or ()]
        assert [writers.wait() for writers in both] == [0, 0]
    assert ends == ["done"] * 4
    assert look(root) == ["moz-same"]


def _dataset(root: str) -> list[str]:
    return [path for path in write.Storage(root).files("csmf") if path.endswith(".parquet")]
