"""A run that is killed: `python killed_flow.py REQUEST EVENT` ends itself with SIGKILL at that event.

Events are the fits that R reports and the objects that are written to the store, in the order they come.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

from flows.calibrate import calibrate
from flows.progress import Progress
from tasks.request import parse_request
from tasks.request_file import read_fields
from tasks.storage import Storage


def kill_at(last: int) -> None:
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


if __name__ == "__main__":
    kill_at(int(sys.argv[2]))
    calibrate(parse_request(read_fields(sys.argv[1])))
