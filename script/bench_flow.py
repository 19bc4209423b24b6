"""Measures simulated strata through the real flow: speed, memory, and the share of orchestration.

    python script/bench_flow.py flow [--deaths 200000] [--no-roll-ups]
    python script/bench_flow.py strata [--strata 10 100 1000]

Each run is a process of its own with a Prefect server of its own, illustrative matrices and the settings of
this installation (VACAL_WORKERS, say). Starting the server and simulating the deaths are not measured.
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
from pathlib import Path

import numpy as np
import psutil

from tasks.request import load_request
from tasks.simulate import SimulationPlan, simulate

DEATHS_OF_A_STRATUM = 900
SECONDS_BETWEEN = 0.2
R_PROCESS, SERVER = "tasks.r_process", "prefect.server"

Figures = dict[str, float]


def run_flow(request_file: Path, store: Path, *, roll_ups: bool) -> Figures:
    """Runs the flow in this process: seconds, its processor seconds and peak memory in MB, and its strata."""
    from prefect.testing.utilities import prefect_test_harness

    changes = {"output": str(store), **({} if roll_ups else {"roll_ups": ()})}
    request = load_request(request_file).model_copy(update=changes)
    with prefect_test_harness(server_startup_timeout=180):
        from flows.calibrate import calibrate
        from tasks.store import open_results

        start, cpu = time.perf_counter(), time.process_time()
        uri = calibrate(request)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        strata = open_results(uri).manifest["strata"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "flow_cpu": cpu, "flow_mb": peak, "strata": sum(strata.values())}


def measure(plan: SimulationPlan, *, roll_ups: bool) -> Figures:
    """Simulates, runs the flow in a fresh process, and watches the processes that it starts."""
    with tempfile.TemporaryDirectory() as folder:
        request = simulate(plan, Path(folder) / "deaths")
        command = [sys.executable, __file__, "run", str(request), str(Path(folder) / "store")]
        command += [] if roll_ups else ["--no-roll-ups"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        cpu, memory = watch(psutil.Process(process.pid))
        out, _ = process.communicate()
    if process.returncode:
        raise SystemExit("the run failed; run its request by vacal run to see why")
    found: Figures = json.loads(out.splitlines()[-1])
    by_kind = {kind: sum(s for (k, _), s in cpu.items() if k == kind) for kind in (R_PROCESS, SERVER)}
    largest = max((mb for (kind, _), mb in memory.items() if kind == R_PROCESS), default=0.0)
    return {**found, "r_cpu": by_kind[R_PROCESS], "server_cpu": by_kind[SERVER], "r_mb": largest}


def watch(process: psutil.Process) -> tuple[dict[tuple[str, int], float], dict[tuple[str, int], float]]:
    """Processor seconds and peak MB of its R processes and its server, by kind and pid, until it ends."""
    cpu: dict[tuple[str, int], float] = {}
    memory: dict[tuple[str, int], float] = {}
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        for child in process.children(recursive=True):
            try:
                line, used, size = " ".join(child.cmdline()), child.cpu_times(), child.memory_info().rss
            except psutil.Error:  # it has ended meanwhile
                continue
            for kind in (R_PROCESS, SERVER):
                if kind in line:
                    cpu[kind, child.pid] = used.user + used.system
                    memory[kind, child.pid] = max(memory.get((kind, child.pid), 0.0), size / 2**20)
        time.sleep(SECONDS_BETWEEN)
    return cpu, memory


def bench_flow(deaths: int, *, roll_ups: bool) -> None:
    """The simulated nation: 220 strata, three algorithms and the ensemble, 4,000 draws."""
    load = os.getloadavg()[0]
    found = measure(SimulationPlan(deaths=deaths), roll_ups=roll_ups)
    share = found["flow_cpu"] / (found["flow_cpu"] + found["r_cpu"])
    print(
        f"{found['strata']:.0f} strata, {deaths:,} deaths, {'with' if roll_ups else 'without'} roll-ups, "
        f"{os.cpu_count()} cores, load before {load:.1f}, after {os.getloadavg()[0]:.1f}:\n"
        f"  {found['seconds']:.1f} s: {found['strata'] / found['seconds']:.2f} strata/s, "
        f"{deaths / found['seconds']:,.0f} deaths/s\n"
        f"  processor seconds: flow {found['flow_cpu']:.1f}, R {found['r_cpu']:.1f}, "
        f"Prefect's server {found['server_cpu']:.1f}\n"
        f"  share of orchestration (flow of flow and R): {100 * share:.1f}%\n"
        f"  peak memory: flow {found['flow_mb']:,.0f} MB, largest R process {found['r_mb']:,.0f} MB"
    )


def bench_strata(counts: list[int]) -> None:
    """Runs of growing size, the same number of deaths a stratum; a line through their seconds."""
    seconds = []
    for count in counts:
        plan = SimulationPlan(
            deaths=DEATHS_OF_A_STRATUM * count, province_count=count // 10, age_groups=("neonate",)
        )
        found = measure(plan, roll_ups=True)
        seconds.append(found["seconds"])
        print(
            f"{found['strata']:,.0f} strata: {found['seconds']:.1f} s, processor seconds flow "
            f"{found['flow_cpu']:.1f}, R {found['r_cpu']:.1f}; peak memory flow {found['flow_mb']:,.0f} MB, "
            f"R {found['r_mb']:,.0f} MB; load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    if len(counts) > 1:
        slope, start = np.polyfit(counts, seconds, 1)
        print(f"linear fit: {start:.1f} s + {slope:.3f} s a stratum")


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
    run.add_argument("request", type=Path)
    run.add_argument("store", type=Path)
    for command in (flow, run):
        command.add_argument("--no-roll-ups", dest="roll_ups", action="store_false")
    given = parser.parse_args()
    if given.what == "run":
        print(json.dumps(run_flow(given.request, given.store, roll_ups=given.roll_ups)))
    elif given.what == "flow":
        bench_flow(given.deaths, roll_ups=given.roll_ups)
    else:
        bench_strata(given.strata)


if __name__ == "__main__":
    main()
