"""Many small runs on an installation: none refused, lost or doubled, in the order of arrival, and nothing leaks.

    script/soak [--runs 1000] [--minutes 60] [--submissions 200]

Starts an installation of its own by script/up (PostgreSQL, a folder as store). First submissions one after the other
and many at once, with and without keys; then so many runs queued at once; then runs one after the other for so many
minutes. Prints a table of what server, worker and R hold meanwhile, and ends with status 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support import load  # noqa: E402 - of the tests
from support.installation import Installation, installed  # noqa: E402

from tasks import results  # noqa: E402

AT_A_TIME = 2  # runs of the queue
GROWTH = 1.1  # of memory, from the second quarter of the time to the last
PATIENCE = 1800.0
broken: list[str] = []


def promise(kept: bool, words: str) -> None:
    """Say whether a promise was kept, and remember if not."""
    print(f"{'kept  ' if kept else 'BROKEN'} {words}", flush=True)
    if not kept:
        broken.append(words)


def submissions(installation: Installation, folder: str, count: int) -> None:
    """Hand in that many requests in each of four ways; nothing is computed."""
    with load.paused(installation):
        for at_once in (1, load.THREADS):
            for keys in (0, count // 10):
                tag = f"submitted-{at_once}-{keys}"
                made = load.submit(installation, folder, count, at_once=at_once, keys=keys, tag=tag)
                told = f"{count} submissions, {at_once} at once, {keys or 'no'} keys: "
                told += f"{dict(made.codes)}, {len(made.runs)} runs, {made.seconds:.1f} s"
                right = set(made.codes) <= {200, 201} and len(made.runs) == (keys or count)
                promise(right and len(load.tagged(installation, tag)) == len(made.runs), told)
                for run in made.runs:
                    installation.api.delete(f"flow_runs/{run}").raise_for_status()


def queue(installation: Installation, folder: str, count: int) -> None:
    """Queue that many runs at once and see all of them end."""
    began = time.monotonic()
    made = load.submit(installation, folder, count, at_once=load.THREADS, tag="queued")
    promise(
        made.codes == {201: count}, f"{count} runs queued at once in {made.seconds:.0f} s: {dict(made.codes)}"
    )
    runs = load.all_ended(installation, "queued", PATIENCE)
    took = time.monotonic() - began
    done = sum(run["state"]["name"] == "Completed" and run["run_count"] == 1 for run in runs)
    promise(
        done == len(runs) == count, f"{done} of {count} complete, each run once, {took / count:.1f} s a run"
    )
    stored = len(list(results.list_runs(folder)))
    promise(stored == count, f"{stored} results in the store")
    places = load.displaced(installation, runs)
    promise(places <= AT_A_TIME, f"taken in the order of arrival: {places} places off at most")


def hour(installation: Installation, folder: str, minutes: float, watch: load.Watch) -> None:
    """Runs one after the other, a few in the queue, for so long."""
    ends, number = time.monotonic() + 60 * minutes, 0
    while time.monotonic() < ends:
        number += 1  # another store, in which nothing is known yet
        load.submit(installation, f"{folder}/{number}", 20, tag="hourly")
        load.all_ended(installation, "hourly", PATIENCE)
    runs = load.tagged(installation, "hourly")
    done = sum(run["state"]["name"] == "Completed" for run in runs)
    promise(done == len(runs), f"{done} of {len(runs)} runs complete in {minutes:g} minutes")
    for name in ("server MB", "worker MB", "largest R MB", "server files", "worker files"):
        before, after = watch.middle(name, 1), watch.middle(name, 3)
        promise(
            after <= GROWTH * before + 2,
            f"{name}: {before:.0f} in the second quarter, {after:.0f} in the last",
        )


def main() -> int:
    """All of it; 0 if every promise was kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--submissions", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        temporary, store = Path(scratch, "tmp"), Path(scratch, "store")
        temporary.mkdir()
        with installed(VACAL_STORE=str(store), VACAL_INBOX=scratch, TMPDIR=str(temporary)) as installation:
            print(f"load {load.load()}", flush=True)
            watch = load.Watch(installation, temporary)
            watch.look()
            before = len(list(temporary.iterdir()))
            with watch.watching():
                if given.submissions:
                    submissions(installation, str(store / "submitted"), given.submissions)
                if given.runs:
                    queue(installation, str(store / "queued"), given.runs)
                if given.minutes:
                    hour(installation, str(store / "hour"), given.minutes, watch)
            load.quiet(installation)
            left = len(list(temporary.iterdir())) - before
            promise(left <= 0, f"{left} entries left in the temporary folder")
            print(f"\n{watch.table()}\n\nload {load.load()}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
