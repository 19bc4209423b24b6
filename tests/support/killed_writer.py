"""Writers that are killed: `python killed_writer.py ROOT` reads lines `RUN CALL` and writes that run so far.

With a third word, `replace`, they publish other content in place of the run that is there.

Each run is written by a forked process that ends itself with SIGKILL at that function call (0: never),
counted over all its threads; so it dies anywhere, in the middle of a write too. After each the line
`RUN killed|done CALLS`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from itertools import count
from typing import Any

import botocore.session
import fsspec
import s3fs

from support import made_run
from tasks.results import store, write

TABLES = ("csmf", "draws")


def write_run(root: str, run: str) -> None:
    """Two finished chunks, then the publication, as the flow does it."""
    for chunk, province in (("first", "Gaza"), ("second", "Tete")):
        made = made_run.tables(made_run.places([province]), constants={"run": run})
        write.put_chunk(root, run, chunk, {name: made[name] for name in TABLES})
    publish(root, run)


def replace_run(root: str, run: str) -> store.Manifest:
    """Publish other content, with as many rows, in place of that of `write_run`."""
    made = made_run.tables(made_run.places(["Gaza", "Tete"]), seed=2, constants={"run": run})
    parts = {name: [made[name]] for name in TABLES}
    return write.publish(root, run, parts, made_run.description(), replace=True)


def publish(root: str, run: str) -> store.Manifest:
    """Publish the chunks of `write_run`."""
    parts = {
        name: [write.read_chunk(root, run, chunk, name) for chunk in ("first", "second")] for name in TABLES
    }
    return write.publish(root, run, parts, made_run.description())


def _forked(root: str, run: str, last: int, *how: str) -> str:
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        _, status = os.waitpid(child, 0)
        with os.fdopen(read) as pipe:
            calls = pipe.read()
        assert status in (0, signal.SIGKILL), f"the writer ended with {status}"
        return f"{run} {'killed' if status else 'done'} {calls or last}"
    calls = count(1)
    seen = [0]

    def tick(_frame: Any, event: str, _argument: Any) -> None:
        if event == "call":
            seen[0] = next(calls)
            if seen[0] == last:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(tick)
    sys.setprofile(tick)
    try:
        (replace_run if how else write_run)(root, run)
        sys.setprofile(None)
        os.write(write, str(seen[0]).encode())
    except BaseException as error:
        print(f"{run}: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    # what every writer needs is loaded once, before the first fork; no thread runs yet
    assert botocore.session and fsspec and s3fs
    for line in sys.stdin:
        name, call, *how = line.split()
        print(_forked(sys.argv[1], name, int(call), *how), flush=True)
