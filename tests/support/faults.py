"""What may happen to an installation, done to it: its server, worker, database or a run killed, stopped, frozen.

For tests/service (a few) and script/service-faults (many, at seeded moments).
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from support import ALL_MAY_BE_PUBLISHED
from support.installation import FINAL, Installation, command, environment, until

FROZEN_SECONDS = 20
PROVINCES = 16
COUNTS = {"pneumonia": 40, "sepsis_meningitis_inf": 60, "ipre": 150, "prematurity": 120, "other": 12}
FLOW_RUN = "PREFECT__FLOW_RUN_ID"


def deaths() -> str:
    """Counts of a few provinces, as a CSV file."""
    rows = [
        f"P{number:02},{algorithm},{cause},{count + 7 * number + 3 * shift}"
        for number in range(PROVINCES)
        for shift, algorithm in enumerate(("eava", "interva"))
        for cause, count in COUNTS.items()
    ]
    return "\n".join(["province,algorithm,cause,deaths", *rows])


def request(uri: str, output: str, seed: int) -> dict[str, Any]:
    """A request of some seconds, in eight chunks."""
    return {
        "name": "disturbed",
        "input": {"uri": uri, "layout": "counts"},
        "columns": {"strata": ["province"]},
        "age_group": "neonate",
        "country": "Mozambique",
        "algorithms": ["eava", "interva"],
        "matrix": {"source": "illustrative"},
        "verdict_rules": ALL_MAY_BE_PUBLISHED,
        "matrix_sharing": "per_stratum",
        "roll_ups": [[]],
        "draws": 1000,
        "effective_draws": 1000,
        "chunk_strata": 2,
        "seed": seed,
        "output": output,
    }


# --- who is who


def server(installation: Installation) -> int:
    """Process of the server."""
    return _child(installation, "server start")


def worker(installation: Installation) -> int:
    """Process of the worker."""
    return _child(installation, "worker start")


def database(installation: Installation) -> int:
    """Process of PostgreSQL that has all its others end."""
    return int((installation.state / "postgres" / "postmaster.pid").read_text().split()[0])


def runs_processes(installation: Installation) -> list[psutil.Process]:
    """Processes of flow runs of this installation, and the R processes of these."""
    return [process for process in installation.processes() if FLOW_RUN in environment(process)]


def _child(installation: Installation, words: str) -> int:
    def find() -> list[int]:
        children = psutil.Process(installation.up.pid).children()
        return [child.pid for child in children if words in " ".join(command(child))]

    found: list[int] = until(find, lambda: installation.up.poll() is None)
    return found[0]


# --- what may happen


def _signal(who: Callable[[Installation], int], number: signal.Signals) -> Callable[[Installation], None]:
    return lambda installation: os.kill(who(installation), number)


def _freeze(who: Callable[[Installation], int]) -> Callable[[Installation], None]:
    def act(installation: Installation) -> None:
        process = who(installation)
        os.kill(process, signal.SIGSTOP)
        time.sleep(FROZEN_SECONDS)
        os.kill(process, signal.SIGCONT)

    return act


def _kill_runs(installation: Installation) -> None:
    for process in runs_processes(installation):
        process.kill()


def _kill_all(installation: Installation) -> None:
    """As a power cut does, but for script/up, which stands for the system that starts all again."""
    processes = [who(installation) for who in (worker, server, database)]
    for process in processes:
        os.kill(process, signal.SIGKILL)
    _kill_runs(installation)


FAULTS: Mapping[str, Callable[[Installation], None]] = {
    "server killed": _signal(server, signal.SIGKILL),
    "worker killed": _signal(worker, signal.SIGKILL),
    "database killed": _signal(database, signal.SIGKILL),
    "runs killed": _kill_runs,
    "all killed": _kill_all,
    "server stopped": _signal(server, signal.SIGTERM),
    "worker stopped": _signal(worker, signal.SIGTERM),
    "database stopped": _signal(database, signal.SIGINT),
    f"server frozen {FROZEN_SECONDS} s": _freeze(server),
}


# --- and then


@dataclass(frozen=True)
class Ended:
    """A run at its end: how often it went on, and the seconds from the fault (or its submission) to its end."""

    state: str
    message: str
    resumed: int
    seconds: float
    files: list[dict[str, Any]]


def submit(installation: Installation, uri: str, output: str, seed: int) -> str:
    """Submit a request; the id of its run."""
    answer = installation.create({"request": request(uri, output, seed)}, name="disturbed")
    assert answer.status_code == 201, answer.text
    run: str = answer.json()["id"]
    return run


def ended(installation: Installation, run: str, since: float) -> Ended:
    """The run at its end, however often the server is away meanwhile; `since`: in seconds since the epoch."""

    def final() -> dict[str, Any] | None:
        try:
            found = installation.run(run)
        except httpx.HTTPError:
            return None
        return found if found["state"]["type"] in FINAL else None

    found = until(final, lambda: installation.up.poll() is None)
    states = installation.api.get("flow_run_states/", params={"flow_run_id": run}).raise_for_status().json()
    at = datetime.fromisoformat(found["state"]["timestamp"]).timestamp()
    address = found["labels"].get("vacal.results")
    return Ended(
        found["state"]["name"],
        found["state"]["message"] or "",
        sum(state["name"] == "Resuming" for state in states),
        at - since,
        json.loads(_read(installation, f"{address}/manifest.json"))["files"] if address else [],
    )


def _read(installation: Installation, uri: str) -> bytes:
    if uri.startswith("s3://"):
        data: bytes = installation.s3.cat_file(uri)
        return data
    return Path(uri).read_bytes()


def table(seconds: Iterable[tuple[str, float, int]]) -> str:
    """Seconds from a fault to the end of a run, by kind of fault; with the number of runs that were resumed."""
    rows: dict[str, list[tuple[float, int]]] = {}
    for kind, took, resumed in seconds:
        rows.setdefault(kind, []).append((took, resumed))
    lines = ["| fault | runs | resumed | seconds to the end: median | most |", "|---|--:|--:|--:|--:|"]
    for kind, found in rows.items():
        took = [one for one, _ in found]
        resumed = sum(count > 0 for _, count in found)
        median = statistics.median(took)
        lines.append(f"| {kind} | {len(found)} | {resumed} | {median:.0f} | {max(took):.0f} |")
    return "\n".join(lines)
