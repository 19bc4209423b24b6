"""What tests run in an expendable process, in place of a calibration."""

from __future__ import annotations

import os
import signal
import tempfile
from typing import Any

from tasks.errors import InputError

SPEAK = """trace(vacal::calibrate_batch, print = FALSE, where = asNamespace("vacal"), tracer = quote({
  message("fitting\\nstrata"); warning("few deaths"); cat("half a line, "); cat("the rest\\n"); cat("no end")
}))"""


def echo(content: Any, send: Any) -> Any:
    """Its content, and the process that says it."""
    return content, os.getpid()


def count(content: int, send: Any) -> int:
    for number in range(content):
        send("number", number)
    return content


def flood(content: Any, send: Any) -> None:
    while True:
        send("log", "still here")


def ask_and_hang(content: Any, send: Any) -> None:
    send("pid", os.getpid())
    while True:
        signal.pause()


def stop_within_a_message(content: Any, send: Any) -> None:
    """Send the head of a message of 100 bytes, and nothing more."""
    pipe = send.__closure__[0].cell_contents
    os.write(pipe.fileno(), (100).to_bytes(4, "big"))
    while True:
        signal.pause()


def use_folder(content: Any, send: Any) -> str:
    """The folder of temporary files, after a file was left in it."""
    file, _ = tempfile.mkstemp()
    os.close(file)
    return tempfile.gettempdir()


def use_folder_and_hang(content: Any, send: Any) -> None:
    send("folder", use_folder(content, send))
    while True:
        signal.pause()


def start_r(content: Any, send: Any) -> str:
    """The folder of R's session."""
    from tasks.engine import border as engine

    return str(engine._r().baseenv["tempdir"]()[0])


def crash(content: Any, send: Any) -> None:
    os.write(2, b"segfault at address nil\n")
    os.kill(os.getpid(), signal.SIGSEGV)


def refuse(content: Any, send: Any) -> None:
    raise InputError(["row 1 is wrong", "row 2 too"])


def defect(content: Any, send: Any) -> None:
    raise KeyError("no such thing")


def speaking(batch: Any, send: Any) -> Any:
    """A real calibration in which R speaks in every way it has."""
    from tasks.engine import border as engine

    r = engine._r()
    r.baseenv["loadNamespace"](engine._text(r, ["vacal"]))
    r.baseenv["eval"](r.baseenv["parse"](text=engine._text(r, [SPEAK])))
    return engine._calibrate(batch, send)
