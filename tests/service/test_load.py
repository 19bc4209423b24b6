"""Many requests at once: a short form of script/soak."""

from __future__ import annotations

import pytest
from support import load
from support.installation import Installation

SUBMISSIONS, KEYS, RUNS = 40, 5, 12
STORE = "s3://vacal/store/load"


@pytest.mark.parametrize("at_once", [1, load.THREADS])
@pytest.mark.parametrize("keys", [0, KEYS])
def test_no_submission_is_refused_and_each_key_is_one_run(
    installation: Installation, at_once: int, keys: int
) -> None:
    tag = f"submitted-{at_once}-{keys}"
    with load.paused(installation):
        made = load.submit(installation, STORE, SUBMISSIONS, at_once=at_once, keys=keys, tag=tag)
        there = [run["id"] for run in load.tagged(installation, tag)]
        for run in there:
            installation.api.delete(f"flow_runs/{run}").raise_for_status()
    assert (
        made.codes == {201: SUBMISSIONS} if not keys else made.codes == {201: KEYS, 200: SUBMISSIONS - KEYS}
    )
    assert sorted(made.runs) == sorted(there)
    assert len(there) == (keys or SUBMISSIONS)


def test_queued_runs_are_taken_in_the_order_of_arrival_each_once(installation: Installation) -> None:
    load.submit(installation, STORE, RUNS, tag="queued")
    runs = load.all_ended(installation, "queued", patience=900)
    assert [(run["state"]["name"], run["run_count"]) for run in runs] == [("Completed", 1)] * RUNS
    assert load.displaced(installation, runs) <= 2  # runs at a time
