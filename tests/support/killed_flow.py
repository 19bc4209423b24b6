"""A run that is killed: `python killed_flow.py REQUEST EVENT` ends itself with SIGKILL at that event.

With 0 as the event it goes on to its end. Events are the fits that R reports and the objects that are written
to the store, in the order they come. It prints a line when the flow is about to start, and the number of
events when it has come to its end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from flows.calibrate import calibrate
from flows.progress import Progress
from tasks.request.file import read_fields
from tasks.request.model import parse_request
from tasks.storage import Storage


def kill_at(last: int) -> Iterator[int]:
    """Returns the numbers of the events to come: the next one tells how many there were."""
    events = count(1)

    def tick() -> None:
        if next(events) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def ticking(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            tick()
            return function(*args, **kwargs)

        return call

    of = Progress.of
    Progress.of = lambda self, chunk: ticking(of(self, chunk))  # type: ignore[method-assign]
    Storage.write = ticking(Storage.write)  # type: ignore[method-assign]
    Storage.upload = ticking(Storage.upload)  # type: ignore[method-assign]
    return events


if __name__ == "__main__":
    request, events = parse_request(read_fields(sys.argv[1])), kill_at(int(sys.argv[2]))
    print("started", flush=True)
    calibrate(request)
    print(next(events) - 1, flush=True)
