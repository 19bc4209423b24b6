"""Measures simulated strata through the real flow: speed, memory, and the share of orchestration.

    python script/bench_flow.py flow [--deaths 200000] [--no-roll-ups]
    python script/bench_flow.py strata [--strata 10 100 1000] [--draws 4000]

Each run is a process of its own with a Prefect server of its own, illustrative matrices and the settings of
this installation (VACAL_WORKERS, say). Starting the server and simulating the deaths are not measured.

Orchestration is what a run costs beyond its results: processor seconds of Prefect in the flow's process
(tasks, states, logs, artifacts, waiting), of talking to R, of keeping finished chunks in the store, and of
Prefect's server while the run lasts. Not orchestration are R, reading the input, tables and roll-ups,
publication, and the report; they are told as well.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import psutil

from tasks.request import load_request
from tasks.simulate import SimulationPlan, simulate

DEATHS_OF_A_STRATUM = 200
SECONDS_BETWEEN = 0.2
R_PROCESS, SERVER = "tasks.engine.process", "prefect.server"
STEPS = ("reading", "tables", "publication", "report")

P = ParamSpec("P")
R = TypeVar("R")
Figures = dict[str, float]


def run_flow(request_file: Path, store: Path, *, changes: dict[str, object]) -> Figures:
    """Runs the flow in this process: seconds, processor seconds by step, peak memory in MB, strata."""
    from prefect.testing.utilities import prefect_test_harness

    request = load_request(request_file).model_copy(update={"output": str(store), **changes})
    with prefect_test_harness(server_startup_timeout=180):
        from flows import calibrate as flow
        from tasks import run as job
        from tasks.results import open_results

        steps: Counter[str] = Counter()
        for module, name, step, clock in (
            (job, "prepare", "reading", time.process_time),
            (job, "chunk_tables", "tables", time.thread_time),
            (job, "_judged", "tables", time.thread_time),
            (job, "publish", "publication", time.process_time),
            (job, "write_report", "report", time.process_time),
        ):
            setattr(module, name, timed(getattr(module, name), step, clock, steps))
        server, start, cpu = server_seconds(), time.perf_counter(), time.process_time()
        try:
            uri = flow.calibrate(request)
        except flow.IncompleteError as error:  # by illustrative matrices nothing may be published
            uri = error.uri
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        server = server_seconds() - server
        strata = open_results(uri).manifest["strata"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    of_flow = {"flow_cpu": cpu, "server_cpu": server, "flow_mb": peak}
    return {
        "seconds": seconds,
        "strata": sum(strata.values()),
        **of_flow,
        **{step: steps[step] for step in STEPS},
    }


def timed(
    function: Callable[P, R], step: str, clock: Callable[[], float], seconds: Counter[str]
) -> Callable[P, R]:
    """The function, its processor seconds added to those of that step. Steps of many threads go by thread."""

    def measured(*args: P.args, **kwargs: P.kwargs) -> R:
        start = clock()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[step] += clock() - start  # type: ignore[assignment]

    return measured


def server_seconds() -> float:
    """Processor seconds so far of the Prefect server that this process has started."""
    children = psutil.Process().children(recursive=True)
    times = [child.cpu_times() for child in children if SERVER in " ".join(child.cmdline())]
    return sum(used.user + used.system for used in times)


def measure(plan: SimulationPlan, **changes: object) -> Figures:
    """Simulates, runs the flow in a fresh process with that request changed, and watches what it starts."""
    with tempfile.TemporaryDirectory() as folder:
        request = simulate(plan, Path(folder) / "deaths")
        command = [sys.executable, __file__, "run", str(request), str(Path(folder) / "store")]
        command += [json.dumps(changes)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        cpu, memory = watch(psutil.Process(process.pid))
        out, _ = process.communicate()
    if process.returncode:
        raise SystemExit("the run failed; run its request by vacal run to see why")
    found: Figures = json.loads(out.splitlines()[-1])
    found["r_cpu"] = sum(cpu.values())
    found["r_mb"] = max(memory.values(), default=0.0)
    found["prefect"] = found["flow_cpu"] - sum(found[step] for step in STEPS) + found["server_cpu"]
    found["share"] = found["prefect"] / (found["flow_cpu"] + found["server_cpu"] + found["r_cpu"])
    return found


def watch(process: psutil.Process) -> tuple[dict[int, float], dict[int, float]]:
    """Processor seconds and peak MB of its R processes, by pid, until it ends."""
    cpu: dict[int, float] = {}
    memory: dict[int, float] = {}
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        for child in process.children(recursive=True):
            try:
                line, used, size = " ".join(child.cmdline()), child.cpu_times(), child.memory_info().rss
            except psutil.Error:  # it has ended meanwhile
                continue
            if R_PROCESS in line:
                cpu[child.pid] = used.user + used.system
                memory[child.pid] = max(memory.get(child.pid, 0.0), size / 2**20)
        time.sleep(SECONDS_BETWEEN)
    return cpu, memory


def bench_flow(deaths: int, *, roll_ups: bool, matrix_sharing: str) -> None:
    """The simulated nation: 220 strata, three algorithms and the ensemble, 4,000 draws."""
    load = os.getloadavg()[0]
    changes: dict[str, object] = {"matrix_sharing": matrix_sharing}
    changes |= {} if roll_ups else {"roll_ups": ()}
    found = measure(SimulationPlan(deaths=deaths), **changes)
    print(
        f"{found['strata']:.0f} strata, {deaths:,} deaths, {'with' if roll_ups else 'without'} roll-ups, "
        f"{matrix_sharing}, "
        f"{os.cpu_count()} cores, load before {load:.1f}, after {os.getloadavg()[0]:.1f}:\n"
        f"  {found['seconds']:.1f} s: {found['strata'] / found['seconds']:.2f} strata/s, "
        f"{deaths / found['seconds']:,.0f} deaths/s\n"
        f"  processor seconds: R {found['r_cpu']:.1f}, the flow's process {found['flow_cpu']:.1f}, of which "
        f"{', '.join(f'{step} {found[step]:.1f}' for step in STEPS)}; "
        f"Prefect's server during the run {found['server_cpu']:.1f}\n"
        f"  orchestration {found['prefect']:.1f} s: {100 * found['share']:.1f}% of all\n"
        f"  peak memory: flow {found['flow_mb']:,.0f} MB, largest R process {found['r_mb']:,.0f} MB"
    )


def bench_strata(counts: list[int], draws: int) -> None:
    """Runs of growing size, the same number of deaths a stratum; a line through their processor seconds."""
    print(f"{draws:,} draws; seconds are of processors but the first; MB are peaks")
    head = ("strata", "seconds", "R", "flow", "server", "orchestration", "flow MB", "R MB", "load")
    print(" | ".join(head), flush=True)
    spent = []
    for count in counts:
        plan = SimulationPlan(
            deaths=DEATHS_OF_A_STRATUM * count, province_count=count // 10, age_groups=("neonate",)
        )
        found = measure(plan, draws=draws, effective_draws=draws, matrix_sharing="per_stratum")
        spent.append(found["r_cpu"] + found["flow_cpu"] + found["server_cpu"])
        cells = (
            f"{found['strata']:,.0f}",
            *(f"{found[name]:,.1f}" for name in ("seconds", "r_cpu", "flow_cpu", "server_cpu")),
            f"{100 * found['share']:.1f}%",
            *(f"{found[name]:,.0f}" for name in ("flow_mb", "r_mb")),
            f"{os.getloadavg()[0]:.1f}",
        )
        print(" | ".join(cells), flush=True)
    if len(counts) > 1:
        slope, start = np.polyfit(counts, spent, 1)
        print(f"linear fit: {start:.1f} + {slope:.3f} processor seconds a stratum")


def tens(text: str) -> int:
    """A number of strata that five years and two sexes divide."""
    number = int(text)
    if number < 10 or number % 10:
        raise argparse.ArgumentTypeError("give multiples of 10")
    return number


def main() -> None:
    """Runs what is asked for and prints it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_subparsers(dest="what", required=True)
    flow, strata, run = (what.add_parser(name) for name in ("flow", "strata", "run"))
    flow.add_argument("--deaths", type=int, default=200_000)
    strata.add_argument("--strata", type=tens, nargs="+", default=[10, 100, 1000])
    strata.add_argument("--draws", type=int, default=4000)
    flow.add_argument("--no-roll-ups", dest="roll_ups", action="store_false")
    flow.add_argument("--matrix-sharing", choices=("per_stratum", "joint"), default="per_stratum")
    run.add_argument("request", type=Path)
    run.add_argument("store", type=Path)
    run.add_argument("changes", type=json.loads)
    given = parser.parse_args()
    if given.what == "run":
        print(json.dumps(run_flow(given.request, given.store, changes=given.changes)))
    elif given.what == "flow":
        bench_flow(given.deaths, roll_ups=given.roll_ups, matrix_sharing=given.matrix_sharing)
    else:
        bench_strata(given.strata, given.draws)


if __name__ == "__main__":
    main()
