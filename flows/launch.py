"""`python -m flows.launch`: what a worker starts for each run, in place of `python -m prefect.engine`.

It is Prefect's engine with two promises more. The process ends with its worker, so that none is left which nobody
can cancel. And a server that does not answer is waited for from the first call on, as Prefect's client does only
after it has reached the server once: a server that restarts while a run starts takes nothing with it.

`python -m flows.launch MODULE ARGUMENT...` runs another module with the first promise alone.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

SECONDS_BETWEEN = 0.5
GRACE_SECONDS = 10.0
"""What the process has to end by itself: a run says that it crashed; without its server it cannot."""


def end_with(parent: int) -> None:
    """End this process when its parent has gone, as if that had ended it; a run is then Crashed."""
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


def wait_for_the_server_from_the_first_call() -> None:
    """Let all clients of this process take a refused connection for a server that comes back."""
    from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient

    for client in (PrefectHttpxAsyncClient, PrefectHttpxSyncClient):
        client._has_connected = property(lambda _self: True, lambda _self, _value: None)  # type: ignore[assignment]


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    if len(sys.argv) > 1:
        sys.argv = sys.argv[1:]
    else:
        wait_for_the_server_from_the_first_call()
        sys.argv = ["prefect.engine"]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
