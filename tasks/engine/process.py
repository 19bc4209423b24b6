"""Expendable processes: one call at a time, messages on the way, ended on any exit but success.

R computes on one thread, has one console for a whole process, and may crash or hang in compiled code. So a
task never holds R itself: it borrows a process, talks to it through a socket that no other process shares,
and reads the messages in its own thread. Nothing is locked between processes; one that is killed at any
moment takes only its own call with it. This module knows no R: `tasks.engine.border` says what the process runs.

A process is started as a fresh interpreter, not by `multiprocessing` nor by pebble, which rests on it: those
import the user's main script again, are forbidden to the daemonic workers of Dask, and carry no messages.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from tasks.errors import EngineError, VacalError

Send = Callable[[str, object], None]
"""Called in the process: sends one message (kind, content) to the caller."""

IDLE_SECONDS = (
    60.0  # a warm process saves a second at the next call; nobody ends it where a cluster borrowed it
)
PARENT_SECONDS = 0.5
GRACE_SECONDS = 1.0  # after the time-out, for a caller that is blocked and cannot look at the clock
LAST_LINES = 20


class ProcessLostError(EngineError):
    """The process was killed, crashed or ran out of time: another try on a fresh one may well succeed."""


class TimedOutError(ProcessLostError):
    """The process was ended because it ran out of time."""


class Pool:
    """Processes that calls borrow; started when needed, kept warm in between.

    A pool belongs to one process: sent to another (by Dask, say), it arrives as that process's own pool.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[ExpendableProcess] = []
        self._busy: set[ExpendableProcess] = set()
        self._closed = False
        self._warming: threading.Thread | None = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[[], Pool], tuple[()]]:
        return (own_pool, ())

    def call(
        self,
        function: str,
        content: object,
        *,
        on_message: Callable[[str, Any], None],
        timeout: float,
        env: Mapping[str, str],
    ) -> Any:
        """Run `function` ("module:name", called with content and a `Send`) in a process; returns its result.

        Raises what the function raised if it is a VacalError, EngineError for any other error in it or a pool
        that was closed meanwhile, ProcessLostError if the process ended, TimedOutError after `timeout`
        seconds.
        """
        with self._lock:
            warming, self._warming = self._warming, None
        if warming is not None:  # the first call takes the process that is being made ready for it
            warming.join()
        process = self._borrow(env)
        done = False
        try:
            result = process.call(function, content, on_message, timeout)
            done = True
        except ProcessLostError as lost:
            if self._closed:
                raise EngineError("the run was stopped, and its R processes with it") from lost
            raise
        finally:
            self._give_back(process, alive=done)
        return result

    def close(self) -> None:
        """End all processes at once, busy ones too; later calls are refused."""
        with self._lock:
            self._closed = True
            for process in (*self._busy, *self._idle):
                process.kill()
            self._idle.clear()

    def _borrow(self, env: Mapping[str, str]) -> ExpendableProcess:
        with self._lock:
            if self._closed:
                raise EngineError("the run was stopped: no R process is started any more")
            while self._idle:
                process = self._idle.pop()
                if process.usable and process.env == env:
                    break
                process.kill()
            else:
                process = ExpendableProcess(env)
            self._busy.add(process)
        return process

    def _give_back(self, process: ExpendableProcess, *, alive: bool) -> None:
        with self._lock:
            self._busy.discard(process)
            if alive and not self._closed:
                self._idle.append(process)
                return
        process.kill()

    def warm_up(self, function: str, env: Mapping[str, str]) -> None:
        """Start a process and have it call `function` in a thread, so that the first call finds it ready.

        What goes wrong there goes wrong again, and is told, at the first call.
        """

        def start() -> None:
            with suppress(VacalError):
                process = self._borrow(env)
                done = False
                try:
                    process.call(function, None, lambda *_: None, 60)
                    done = True
                finally:
                    self._give_back(process, alive=done)

        warming = threading.Thread(target=start, daemon=True)
        warming.start()
        self._warming = warming


_own_pool = Pool()


def own_pool() -> Pool:
    """The pool of this process for calls that no flow brackets, such as those on a Dask worker."""
    return _own_pool


class ExpendableProcess:
    """The caller's end of one process."""

    def __init__(self, env: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        self.env = env
        self._folder = tempfile.mkdtemp(
            prefix="vacal-r-"
        )  # R is killed, so it cannot remove its session's own
        self._stray = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-c",
                    f"from tasks.engine.process import serve; serve({theirs.fileno()}, {self._folder!r})",
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._stray,
                stderr=self._stray,
                env={
                    **os.environ,
                    "PYTHONPATH": str(Path(__file__).parents[2]),
                    "TMPDIR": self._folder,
                    **env,
                },
            )
        self._pipe = Connection(ours.detach())
        self._last_used = time.monotonic()

    @property
    def usable(self) -> bool:
        """False if the process has ended, or is about to because it has long been idle."""
        return self._process.poll() is None and time.monotonic() - self._last_used < IDLE_SECONDS / 2

    def call(
        self, function: str, content: object, on_message: Callable[[str, Any], None], timeout: float
    ) -> Any:
        """See `Pool.call`."""
        end = time.monotonic() + timeout
        # A process that stops reading, or stops within a message, would block this thread for ever.
        watch = threading.Timer(timeout + GRACE_SECONDS, self._process.kill)
        watch.daemon = True
        watch.start()
        try:
            self._pipe.send((function, content))
            # The clock is looked at before every message: a flood of them must not put off the time-out.
            while (left := end - time.monotonic()) > 0 and self._pipe.poll(left):
                kind, message = self._pipe.recv()
                if kind == "result":
                    self._last_used = time.monotonic()
                    return message
                if kind == "error":
                    raise message
                on_message(kind, message)
        except (EOFError, ConnectionError) as lost:
            if time.monotonic() < end:
                raise ProcessLostError(self._how_it_ended()) from lost
        finally:
            watch.cancel()
        raise TimedOutError(f"the R process was ended after its time-out of {timeout:g} seconds")

    def kill(self) -> None:
        """End the process at once, whatever it is doing; a caller that waits for it gets ProcessLostError."""
        self._process.kill()
        self._process.wait()
        _remove(self._folder)

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "the R process closed its connection"
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
        self._stray.seek(0)
        stray = self._stray.read().decode(errors="replace").splitlines()[-LAST_LINES:]
        return "\n".join([f"the R process ended {how}", *stray])


def serve(fd: int, folder: str) -> NoReturn:
    """Body of the process: run calls until the caller is gone or has had no call for `IDLE_SECONDS`.

    `folder`: its temporary files, removed at its end.
    """
    # Ctrl-C and a cancelled run reach the whole process group; only the caller decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.set_inheritable(fd, False)  # what R itself starts must not keep the connection open
    threading.Thread(target=_exit_with, args=(os.getppid(), folder), daemon=True).start()
    pipe = Connection(fd)
    try:
        while pipe.poll(IDLE_SECONDS):
            function, content = pipe.recv()
            pipe.send(_answer(function, content, lambda kind, message: pipe.send((kind, message))))
    except (EOFError, ConnectionError):
        pass
    _remove(folder)
    os._exit(0)  # R's own exit is not waited for: it has nothing to save


def _answer(function: str, content: object, send: Send) -> tuple[str, object]:
    module, name = function.split(":")
    try:
        return "result", getattr(importlib.import_module(module), name)(content, send)
    except VacalError as error:
        return "error", error
    except Exception as error:  # a defect: it must reach the caller, with the place where it happened
        return "error", EngineError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")


def _remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what cannot be removed must not hide how a call ended


def _exit_with(parent: int, folder: str) -> None:
    """End this process when its parent has gone: in compiled code it would not notice for hours."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    _remove(folder)
    os._exit(1)
