"""Many runs at once, and what an installation makes of them: refused, lost, doubled, out of order, leaked.

For tests/service (few) and script/soak (many).
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from support import ALL_MAY_BE_PUBLISHED, faults
from support.installation import FINAL, Installation, command, until

PAGE = 200
THREADS = 20
SECONDS_BETWEEN = 10
COUNTS = {"pneumonia": 40, "sepsis_meningitis_inf": 60, "ipre": 150, "prematurity": 120}


def request(output: str, seed: int) -> dict[str, Any]:
    """A request for one small stratum; every seed is a run of its own."""
    return {
        "name": "small",
        "input": {"counts": {"eava": COUNTS}},
        "age_group": "neonate",
        "country": "Mozambique",
        "algorithms": ["eava"],
        "matrix": {"source": "illustrative"},
        "verdict_rules": ALL_MAY_BE_PUBLISHED,
        "effective_draws": 400,
        "seed": seed,
        "output": output,
    }


@dataclass(frozen=True)
class Submitted:
    """Answers to submissions: the status codes, and the ids of the runs that they made."""

    codes: Counter[int]
    runs: list[str]
    seconds: float


def submit(
    installation: Installation, output: str, count: int, *, at_once: int = 1, keys: int = 0, tag: str = ""
) -> Submitted:
    """Submit so many requests, so many at once; `keys`: so many different idempotency keys, 0 for none."""
    path = f"deployments/{installation.deployment()['id']}/create_flow_run"

    def one(number: int) -> httpx.Response:
        body: dict[str, Any] = {
            "parameters": {"request": request(output, number)},
            "tags": [tag] if tag else [],
        }
        if keys:
            body |= {"parameters": {"request": request(output, number % keys)}}
            body |= {"idempotency_key": f"{tag}-{output}-{number % keys}"}
        return installation.api.post(path, json=body)

    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(one, range(count)))
    made = {answer.json()["id"]: None for answer in answers if answer.is_success}
    return Submitted(Counter(answer.status_code for answer in answers), list(made), time.monotonic() - began)


@contextmanager
def paused(installation: Installation, queue: str = "requests") -> Iterator[None]:
    """Nothing of a queue begins meanwhile."""
    path = f"work_pools/vacal/queues/{queue}"
    installation.api.patch(path, json={"is_paused": True}).raise_for_status()
    try:
        yield
    finally:
        installation.api.patch(path, json={"is_paused": False}).raise_for_status()


def tagged(installation: Installation, tag: str) -> list[dict[str, Any]]:
    """All flow runs with a tag."""
    found: list[dict[str, Any]] = []
    while True:
        wanted = {
            "flow_runs": {"tags": {"all_": [tag]}},
            "sort": "ID_DESC",
            "limit": PAGE,
            "offset": len(found),
        }
        page = installation.api.post("flow_runs/filter", json=wanted).raise_for_status().json()
        found += page
        if len(page) < PAGE:
            return found


def all_ended(installation: Installation, tag: str, patience: float) -> list[dict[str, Any]]:
    """The flow runs with this tag when all have ended; `patience`: seconds without one that ends."""
    left, since = None, time.monotonic()
    while True:
        runs = tagged(installation, tag)
        waiting = sum(run["state"]["type"] not in FINAL for run in runs)
        if not waiting:
            return runs
        if waiting != left:
            left, since = waiting, time.monotonic()
        assert time.monotonic() - since < patience, f"{waiting} runs of {len(runs)} do not end"
        time.sleep(2)


def displaced(installation: Installation, runs: list[dict[str, Any]]) -> int:
    """By how many places, at most, the order in which runs were taken differs from that of their arrival."""
    arrived = sorted(runs, key=lambda run: run["expected_start_time"])
    taken = {run["id"]: _taken(installation, run["id"]) for run in runs}
    began = sorted(runs, key=lambda run: taken[run["id"]])
    place = {run["id"]: number for number, run in enumerate(began)}
    return max(abs(place[run["id"]] - number) for number, run in enumerate(arrived))


def _taken(installation: Installation, run: str) -> str:
    states = installation.api.get("flow_run_states/", params={"flow_run_id": run}).raise_for_status().json()
    return min(state["timestamp"] for state in states if state["type"] == "PENDING")


# --- what is held


@dataclass
class Watch:
    """Samples of what the installation holds, by name, while it is used."""

    installation: Installation
    temporary: Path
    samples: list[dict[str, float]] = field(default_factory=list)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look every few seconds in a thread."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(SECONDS_BETWEEN):
                self.look()

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def look(self) -> None:
        """Take one sample; MB, numbers, and milliseconds."""
        server, worker = (psutil.Process(who(self.installation)) for who in (faults.server, faults.worker))
        below = [
            process
            for process in psutil.process_iter()
            if "tasks.engine.process" in " ".join(command(process))
        ]
        mine = [process for process in below if process in self.installation.processes()]
        began = time.perf_counter()
        self.installation.api.post("flow_runs/filter", json={"limit": 20}).raise_for_status()
        latency = time.perf_counter() - began
        self.samples.append(
            {
                "server MB": _megabytes(server),
                "worker MB": _megabytes(worker),
                "largest R MB": max((_megabytes(process) for process in mine), default=0.0),
                "server files": server.num_fds(),
                "worker files": worker.num_fds(),
                "server sockets": len(server.net_connections()),
                "worker sockets": len(worker.net_connections()),
                "processes": len(self.installation.processes()),
                "temporary entries": len(list(self.temporary.iterdir())),
                "database MB": self._database(),
                "read ms": 1000 * latency,
            }
        )

    def _database(self) -> float:
        folder = self.installation.state / "postgres" / "base"
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6

    def table(self) -> str:
        """Each measure idle (the first sample), in the second quarter of the samples and in the last."""
        lines = ["| | idle | second quarter | last quarter | most |", "|---|--:|--:|--:|--:|"]
        for name in self.samples[0]:
            all_of = [sample[name] for sample in self.samples]
            quarter = max(1, len(all_of) // 4)
            shown = (all_of[0], self.middle(name, 1), self.middle(name, 3), max(all_of[quarter:] or all_of))
            lines.append(f"| {name} | " + " | ".join(f"{value:,.0f}" for value in shown) + " |")
        return "\n".join(lines)

    def middle(self, name: str, quarter: int) -> float:
        """The median of a measure in a quarter (0 to 3) of the samples."""
        size = max(1, len(self.samples) // 4)
        part = self.samples[quarter * size : (quarter + 1) * size] or self.samples[-size:]
        return statistics.median(sample[name] for sample in part)


def _megabytes(process: psutil.Process) -> float:
    try:
        size: int = process.memory_info().rss
    except psutil.Error:
        return 0.0
    return size / 1e6


def quiet(installation: Installation) -> None:
    """Wait until no process of a run is there."""
    until(lambda: not faults.runs_processes(installation), lambda: installation.up.poll() is None)


def load() -> str:
    """How busy the machine is."""
    return f"{os.getloadavg()[0]:.1f}"
