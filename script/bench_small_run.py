"""Where the time of a small run goes: `vacal run` on 64 small strata, step by step, in a process of its own.

    python script/bench_small_run.py [--runs 3] [--against FOLDER]

Illustrative matrices, two algorithms and the ensemble, 1,000 draws, a fresh store. Each run is a process with a
temporary Prefect server. `--against`: another clone with its own .venv, whose commands are run in turn with
these, so that both meet the same machine; the table then ends with seconds and processor seconds of both.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STRATA = 64
CAUSES = ("congenital_malformation", "pneumonia", "sepsis_meningitis_inf", "ipre", "other", "prematurity")
STEPS = (
    ("command line", "Python starts, the command line is loaded, the request is read"),
    ("imports", "Prefect and the project are imported, while the server starts"),
    ("server", "the server is waited for"),
    ("first calls", "the flow begins: its run and first task are made on the server"),
    ("reading", "the input is read and dealt into chunks"),
    ("R", "R computes, its tables are kept"),
    ("publication", "tables, manifest"),
    ("report", "artifacts, pictures, page"),
    ("end", "the state is set, tables are printed, the server is stopped"),
)


def write_request(folder: Path) -> Path:
    """Counts of 64 districts and the request for them."""
    rows = [
        f"D{district:02},{algorithm},{cause},{20 + (7 * district + 11 * place + 5 * shift) % 40}"
        for district in range(STRATA)
        for shift, algorithm in enumerate(("eava", "interva"))
        for place, cause in enumerate(CAUSES)
    ]
    (folder / "deaths.csv").write_text("\n".join(["district,algorithm,cause,deaths", *rows]))
    request = folder / "request.json"
    fields = {
        "name": "small", "input": {"uri": "deaths.csv", "layout": "counts"},
        "columns": {"strata": ["district"]}, "age_group": "neonate", "country": "Mozambique",
        "algorithms": ["eava", "interva"], "matrix": {"source": "illustrative"},
        "matrix_sharing": "per_stratum", "verdict_rules": {"illustrative": "ignore"},
        "draws": 1000, "effective_draws": 1000,
    }  # fmt: skip
    request.write_text(json.dumps(fields))
    return request


def watched_run(request: str, store: str) -> None:
    """`vacal run` in this process; the moments of its steps go to standard error, as JSON, in the end."""
    moments: dict[str, float] = {}

    def at(name: str, function: Callable[..., Any], *, after: bool = False) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not after:
                moments[name] = time.time()
            result = function(*args, **kwargs)
            if after:
                moments[name] = time.time()
            return result

        return call

    from flows.cli import main, server

    def wait(self: server.TemporaryServer) -> None:
        moments["server"] = time.time()
        real_wait(self)
        moments["first calls"] = time.time()
        from tasks import run, steps

        run.prepare = at("R", at("reading", run.prepare), after=True)
        run.publish = at("report", at("publication", run.publish), after=True)
        steps.write_report = at("end", steps.write_report, after=True)

    real_wait = server.TemporaryServer.wait
    server.TemporaryServer.wait = wait  # type: ignore[method-assign]
    server.use_server = at("imports", server.use_server)
    sys.argv = ["vacal", "run", request, "--output", store]
    try:
        main.main()
    finally:
        print(json.dumps(moments), file=sys.stderr)


def seconds_of_steps(request: Path, folder: Path, number: int) -> dict[str, float]:
    """Seconds of each step of one run."""
    command = [sys.executable, __file__, "--watched", str(request), str(folder / f"watched-{number}")]
    begun = time.time()
    done = subprocess.run(command, env=quiet(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    ended = time.time()
    if done.returncode:
        raise SystemExit(f"the run failed:\n{done.stderr}")
    moments = {"command line": begun, **json.loads(done.stderr.splitlines()[-1]), "over": ended}
    names = [*(name for name, _ in STEPS), "over"]
    return {name: moments[names[place + 1]] - moments[name] for place, name in enumerate(names[:-1])}


def whole(clone: Path, *arguments: str, folder: Path, **settings: str) -> tuple[float, float]:
    """Seconds and processor seconds (with what it starts) of a command of a clone."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [str(clone / ".venv" / "bin" / "vacal"), *arguments]
    subprocess.run(command, env=quiet() | settings, cwd=folder, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, used


def quiet() -> dict[str, str]:
    """The environment of a run that finds no server and shows no log; of its own the package's place."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_API")}
    return {**kept, "PREFECT_LOGGING_LEVEL": "ERROR", "VACAL_STATE": "/nowhere"}


def compare(other: Path, runs: int, request: Path, folder: Path) -> None:
    """Prints seconds and processor seconds of commands of the other clone and of this one, in turn."""
    commands: dict[str, Callable[[str], tuple[str, ...]]] = {
        "vacal --help": lambda _: ("--help",),
        "vacal check": lambda _: ("check", str(request)),
        "vacal submit (no server answers)": lambda _: ("submit", str(request)),
        "vacal run": lambda name: ("run", str(request), "--output", str(folder / name)),
    }
    print(f"\n| command | before s | now s | ratio | before processor s | now | ratio |\n{'|---' * 7}|")
    for command, arguments in commands.items():
        server = {"PREFECT_API_URL": "http://127.0.0.1:9/api"} if "submit" in command else {}
        found: dict[Path, list[tuple[float, float]]] = {other: [], ROOT: []}
        for number in range(runs):
            for place, clone in enumerate((other, ROOT)):
                name = f"run-{place}-{number}"
                found[clone].append(whole(clone, *arguments(name), folder=folder, **server))
        cells = []
        for figure in (0, 1):
            before, now = (min(one[figure] for one in found[clone]) for clone in (other, ROOT))
            cells += [f"{before:.2f}", f"{now:.2f}", f"{now / before:.2f}"]
        print(f"| {command} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measures and prints a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--against", type=Path, metavar="FOLDER")
    parser.add_argument("--watched", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.watched:
        watched_run(*given.watched)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        request = write_request(folder)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; medians of {given.runs} runs\n")
        found = [seconds_of_steps(request, folder, number) for number in range(given.runs)]
        print("| step | seconds | what happens |\n|---|---:|---|")
        for name, what in STEPS:
            print(f"| {name} | {statistics.median(one[name] for one in found):.1f} | {what} |")
        print(f"| **all** | **{statistics.median(sum(one.values()) for one in found):.1f}** | |")
        if given.against:
            compare(given.against.resolve(), given.runs, request, folder)


if __name__ == "__main__":
    main()
