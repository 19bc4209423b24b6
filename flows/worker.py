"""`python -m flows.worker`: a worker of this machine, after what its predecessor left has been cleared up.

A worker that was killed, or whose machine lost power, leaves runs that the server takes for running. Its
successor, recognised by its name, ends their processes and marks them as crashed; the server then has them go on.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import socket
import sys
import time
from pathlib import Path

from prefect.settings import PREFECT_HOME

from tasks.service import POOL, close_runs_of, server_answers

SECONDS_BETWEEN = 1.0


def main() -> None:
    """Wait for the server, clear up, become `prefect worker start`."""
    parser = argparse.ArgumentParser(prog="python -m flows.worker", description=__doc__)
    parser.add_argument("--name", default=socket.gethostname(), help="the machine's name, if not given")
    parser.add_argument("--limit", type=int, help="runs at a time on this machine")
    given = parser.parse_args()
    claim(given.name)
    while not server_answers():
        time.sleep(SECONDS_BETWEEN)
    for run in close_runs_of(given.name):
        print(f"{run} was lost with the worker before this one; the server has it go on", flush=True)
    limit = [] if given.limit is None else ["--limit", str(given.limit)]
    options = ["--pool", POOL, "--type", "process", "--name", given.name, *limit]
    os.execv(sys.executable, [sys.executable, "-m", "prefect", "worker", "start", *options])


def claim(name: str) -> None:
    """Hold the name for as long as this process lives: its runs are those of no other worker."""
    home = Path(PREFECT_HOME.value())
    home.mkdir(parents=True, exist_ok=True)
    lock = os.open(home / f"worker-{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"a worker {name!r} is running on this machine: give this one another --name")
    os.set_inheritable(
        lock, True
    )  # by the worker that this process becomes; what that starts does not get it


if __name__ == "__main__":
    main()
