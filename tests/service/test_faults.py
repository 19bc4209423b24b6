"""Runs outlive what they run on: a short form of script/service-faults, two faults for each pair of runs."""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from typing import Any

import psutil
import pytest
from support import faults
from support.installation import Installation, until

SEEDS = (1, 2)
INPUT = "s3://vacal/store/inbox/disturbed.csv"
PAIRS = [
    ("worker killed", "server killed"),
    ("database killed", "runs killed"),
    ("server stopped", "worker stopped"),
    ("all killed", "database stopped"),
]


@pytest.fixture(scope="module")
def undisturbed(installation: Installation) -> list[faults.Ended]:
    installation.s3.pipe_file(INPUT.removeprefix("s3://"), faults.deaths().encode())
    began = time.time()
    runs = [faults.submit(installation, INPUT, "s3://vacal/store/undisturbed", seed) for seed in SEEDS]
    return [faults.ended(installation, run, began) for run in runs]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_runs_go_on_by_themselves_and_end_with_the_bytes_of_undisturbed_ones(
    installation: Installation, undisturbed: list[faults.Ended], first: str, second: str
) -> None:
    points = random.Random(first)
    output = f"s3://vacal/store/{first.replace(' ', '-')}"
    runs = [faults.submit(installation, INPUT, output, seed) for seed in SEEDS]
    length = max(one.seconds for one in undisturbed)
    for kind in (first, second):
        time.sleep(points.uniform(0, length / 2))
        faults.FAULTS[kind](installation)
    ends = [faults.ended(installation, run, time.time()) for run in runs]
    assert [end.state for end in ends] == ["Completed"] * 2, [end.message for end in ends]
    assert [end.files for end in ends] == [one.files for one in undisturbed]
    until(lambda: not faults.runs_processes(installation))


def test_a_run_that_crashes_again_and_again_fails_with_the_last_cause_and_an_alert(
    installation: Installation,
) -> None:
    run = faults.submit(installation, INPUT, "s3://vacal/store/hopeless", 3)
    for number in range(1, 5):
        until(partial(_begun, installation, run, number))
        for process in faults.runs_processes(installation):
            if faults.environment(process).get(faults.FLOW_RUN) == run:
                _kill(process)
    found: dict[str, Any] = installation.ended(run)
    assert (found["state"]["name"], found["run_count"]) == ("Failed", 4)
    assert "crashed 4 times" in found["state"]["message"]
    assert "-9" in found["state"]["message"]
    assert installation.alert("failed", run)["message"] == found["state"]["message"]
    told = [one["state"] for one in installation.alerts if (one["alert"], one["id"]) == ("failed", run)]
    assert told == ["Failed"]  # none of the four crashes by itself


def _begun(installation: Installation, run: str, times: int) -> bool:
    found = installation.run(run)
    assert found["state"]["type"] != "COMPLETED", "it was quicker than the test"
    return bool(found["run_count"] == times and found["state"]["type"] == "RUNNING")


def _kill(process: psutil.Process) -> None:
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
