"""Kills a run at random points, resumes it, and compares its bytes with those of an undisturbed run.

    python script/kill_runs.py [--kills 25] [--seed 1] [--s3]

Each run is a process of its own with real R; the store is a folder, or a real S3-compatible server. Every
second one is killed at a random moment, the others at a random one of their events: a fit that R reports, an
object that is written. The next call of the same request resumes it. Meanwhile a reader in another process
looks at the store again and again. Ends with status 1 if a checksum differs, or if the reader saw half a run.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support import ALL_MAY_BE_PUBLISHED  # noqa: E402 - of the tests
from support.watched_store import watched  # noqa: E402 - of the tests

from tasks import results as store  # noqa: E402

PROVINCES, ALGORITHMS, STRATA_OF_A_CHUNK = 12, ("eava", "interva"), 2
CAUSES = ("congenital_malformation", "pneumonia", "sepsis_meningitis_inf", "ipre", "other", "prematurity")
S3_PORT = 9300
TRIES = 4  # for each kill: a run that was quicker than its moment is none


@dataclass(frozen=True)
class Undisturbed:
    """What is known of a run that nobody kills."""

    run: str
    files: list[dict[str, Any]]
    seconds: float
    events: int


class Runs:
    """Runs of one request, each in a process and, unless it resumes another, in a store of its own."""

    def __init__(self, folder: Path, root: str) -> None:
        self.folder, self.root = folder, root
        rows = ["province,algorithm,cause,deaths"]
        rows += [
            f"P{number:02},{algorithm},{cause},{25 + (7 * number + 11 * place + 5 * shift) % 60}"
            for number in range(PROVINCES)
            for shift, algorithm in enumerate(ALGORITHMS)
            for place, cause in enumerate(CAUSES)
        ]
        (folder / "deaths.csv").write_text("\n".join(rows))

    def store(self, name: str) -> str:
        """Root of the store of that name."""
        return f"{self.root}/{name}"

    def start(self, name: str, event: int = 0) -> subprocess.Popen[str]:
        """A run that ends itself at that event (0: never); it is about to start when this returns."""
        request = self.folder / f"{name}.yaml"
        request.write_text(
            f"name: killed\ninput: {{uri: {self.folder}/deaths.csv, layout: counts}}\n"
            f"columns: {{strata: [province]}}\nage_group: neonate\ncountry: Mozambique\n"
            f"algorithms: [{', '.join(ALGORITHMS)}]\nmatrix: {{source: illustrative}}\n"
            f"verdict_rules: {json.dumps(ALL_MAY_BE_PUBLISHED)}\n"
            f"matrix_sharing: per_stratum\nroll_ups: [[]]\nkeep_draws: true\n"
            f"draws: 100\neffective_draws: 100\n"
            f"chunk_strata: {STRATA_OF_A_CHUNK}\noutput: {self.store(name)}\n"
        )
        command = [
            sys.executable,
            str(ROOT / "tests" / "support" / "killed_flow.py"),
            str(request),
            str(event),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout
        if process.stdout.readline() != "started\n":
            raise SystemExit(f"a run did not start; see why: {' '.join(command)}")
        return process

    def undisturbed(self, name: str) -> Undisturbed:
        """Runs the request to its end."""
        began, process = time.perf_counter(), self.start(name)
        events, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"the run {name} ended with status {process.returncode}")
        (manifest,) = store.list_runs(self.store(name))
        return Undisturbed(manifest["run"], manifest["files"], time.perf_counter() - began, int(events))

    def kill(self, name: str, points: random.Random, known: Undisturbed, *, by_time: bool) -> str | None:
        """Starts a run and kills it at a random point; says where, or None if it came to its end before."""
        if by_time:
            process, wait = self.start(name), points.uniform(0, known.seconds)
            where = f"after {wait:.2f} s"
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.kill()
        else:
            event = points.randint(1, known.events)
            process, where = self.start(name, event), f"at event {event} of {known.events}"
        process.communicate()
        if process.returncode not in (0, -signal.SIGKILL):
            raise SystemExit(f"the run {name} ended with status {process.returncode}")
        return where if process.returncode else None


@contextmanager
def places(*, s3: bool) -> Iterator[tuple[Path, str]]:
    """A folder, and the root of the stores: in the folder, or on a server that is started for it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if not s3:
            yield folder, str(folder / "stores")
            return
        server = [sys.executable, str(ROOT / "script" / "s3-server")]
        place = [str(folder / "server"), str(S3_PORT)]
        started = subprocess.run([*server, "start", *place], check=True, capture_output=True, text=True)
        pairs = (word.partition("=") for word in shlex.split(started.stdout) if "=" in word)
        os.environ.update((name, value) for name, _, value in pairs)
        try:
            fsspec.filesystem("s3").mkdir("killed")
            yield folder, "s3://killed"
        finally:
            subprocess.run([*server, "stop", *place], check=True, capture_output=True)


def left_behind(root: str, run: str) -> str:
    """What a killed run left: its finished chunks, or the published run."""
    if store.find_run(root, run):
        return "published"
    return f"{len(store.finished_chunks(root, run))} of {PROVINCES // STRATA_OF_A_CHUNK} chunks"


def load() -> str:
    """How busy the machine is."""
    return f"{os.getloadavg()[0]:.1f}"


def kill_runs(runs: Runs, kills: int, seed: int) -> bool:
    """Kills that many runs and resumes each; whether all ended with the bytes of the undisturbed run."""
    points, known = random.Random(seed), runs.undisturbed("undisturbed")
    print(
        f"undisturbed: {known.seconds:.1f} s, {known.events} events, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    ends, looks, killed = Counter[bool](), 0, 0
    for number in range(TRIES * kills):
        if killed == kills:
            break
        name = f"killed-{number:03}"
        with watched(runs.store(name)) as seen:
            where = runs.kill(name, points, known, by_time=killed % 2 == 0)
            if where is None:
                continue
            killed += 1
            left = left_behind(runs.store(name), known.run)
            same = runs.undisturbed(name).files == known.files
        ends[same] += 1
        looks += len(seen)
        print(f"{killed:3}  {where:22} left {left:16} {'equal' if same else 'DIFFERENT'}", flush=True)
    print(
        f"killed {killed}, equal bytes {ends[True]}; the reader looked {looks:,} times and saw no part of a "
        f"run; load {load()}"
    )
    return killed == ends[True] == kills


def main() -> int:
    """Kills as many runs as are asked for; 0 if each ended with the right bytes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--s3", action="store_true", help="stores on an S3-compatible server")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with places(s3=given.s3) as (folder, root), prefect_test_harness(server_startup_timeout=180):
        os.environ["PREFECT_API_URL"] = str(PREFECT_API_URL.value())
        return 0 if kill_runs(Runs(folder, root), given.kills, given.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
