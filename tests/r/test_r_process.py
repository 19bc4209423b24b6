"""Expendable processes, with no R in them."""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from tasks.engine.process import Pool, ProcessLostError, TimedOutError
from tasks.errors import EngineError, InputError

TESTS = ROOT / "tests" / "support"
ENV = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])}


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool() as pool:
        yield pool


def call(pool: Pool, name: str, content: object = None, on_message: Any = None, timeout: float = 60) -> Any:
    ignore = on_message or (lambda kind, message: None)
    return pool.call(f"r_side:{name}", content, on_message=ignore, timeout=timeout, env=ENV)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_process_stays_warm_between_calls(pool: Pool) -> None:
    first, again = call(pool, "echo", "a"), call(pool, "echo", "b")
    assert (first[0], again[0]) == ("a", "b")
    assert first[1] == again[1] != os.getpid()


def test_messages_arrive_in_order_before_the_result(pool: Pool) -> None:
    seen: list[int] = []
    assert call(pool, "count", 500, lambda kind, number: seen.append(number)) == 500
    assert seen == list(range(500))


def test_a_killed_process_fails_its_own_call_only(pool: Pool) -> None:
    beside = call(pool, "echo")[1]
    other: list[Any] = []
    with pytest.raises(ProcessLostError, match="ended by SIGKILL"):
        call(pool, "ask_and_hang", None, lambda kind, pid: (os.kill(pid, 9), other.append(pid)))
    assert other == [beside]
    assert call(pool, "echo", "next")[0] == "next"


def test_a_crash_tells_what_the_process_printed_last(pool: Pool) -> None:
    with pytest.raises(ProcessLostError, match=r"(?s)ended by SIGSEGV.*segfault at address nil"):
        call(pool, "crash")


def test_a_hanging_process_is_ended_at_its_time_out(pool: Pool) -> None:
    pids: list[int] = []
    call(pool, "echo")
    with pytest.raises(ProcessLostError, match="time-out of 2 seconds"):
        call(pool, "ask_and_hang", None, lambda kind, pid: pids.append(pid), timeout=2)
    assert gone(pids[0])


def test_a_flood_of_messages_does_not_put_off_the_time_out(pool: Pool) -> None:
    lines: list[str] = []
    call(pool, "echo")  # started before the clock runs
    with pytest.raises(TimedOutError):
        call(pool, "flood", None, lambda kind, line: lines.append(line), timeout=10)
    assert lines


def test_a_process_that_does_not_read_is_ended_at_its_time_out(pool: Pool) -> None:
    pid = call(pool, "echo")[1]
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TimedOutError):
        call(pool, "echo", b"x" * 50_000_000, timeout=1)
    assert gone(pid)


def test_a_process_that_stops_within_a_message_is_ended_at_its_time_out(pool: Pool) -> None:
    pid = call(pool, "echo")[1]
    with pytest.raises(TimedOutError):
        call(pool, "stop_within_a_message", timeout=1)
    assert gone(pid)


def test_bad_input_arrives_with_every_problem(pool: Pool) -> None:
    with pytest.raises(InputError) as caught:
        call(pool, "refuse")
    assert caught.value.problems == ("row 1 is wrong", "row 2 too")


def test_a_defect_arrives_with_its_place(pool: Pool) -> None:
    with pytest.raises(EngineError, match=r"(?s)KeyError.*r_side.py.*in defect") as caught:
        call(pool, "defect")
    assert not isinstance(caught.value, ProcessLostError)


def test_closing_ends_a_busy_process_and_nothing_is_to_be_tried_again() -> None:
    pool, pids, caught = Pool(), [], []
    busy = threading.Event()

    def wait(kind: str, pid: int) -> None:
        pids.append(pid)
        busy.set()

    def run() -> None:
        with pytest.raises(EngineError, match="the run was stopped") as error:
            call(pool, "ask_and_hang", None, wait)
        caught.append(error.value)

    thread = threading.Thread(target=run)
    thread.start()
    assert busy.wait(60)
    pool.close()
    thread.join(10)
    assert gone(pids[0])
    assert [type(error) for error in caught] == [EngineError]
    with pytest.raises(EngineError, match="no R process is started any more"):
        call(pool, "echo")


def test_an_error_of_the_caller_ends_the_process(pool: Pool) -> None:
    pids: list[int] = []

    def interrupt(kind: str, pid: int) -> None:
        pids.append(pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(pool, "ask_and_hang", None, interrupt)
    assert gone(pids[0])


def test_the_signals_of_a_cancelled_run_do_not_end_the_process(pool: Pool) -> None:
    pid = call(pool, "echo")[1]
    for sign in (signal.SIGTERM, signal.SIGINT):
        os.kill(pid, sign)
        assert call(pool, "echo", sign) == (sign, pid)
    signalled: list[int] = []

    def signal_twice(kind: str, pid: int) -> None:
        for sign in (signal.SIGTERM, signal.SIGINT):
            os.kill(pid, sign)
            signalled.append(sign)

    with pytest.raises(TimedOutError):  # which it would not live to see
        call(pool, "ask_and_hang", None, signal_twice, timeout=5)
    assert signalled == [signal.SIGTERM, signal.SIGINT]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of everything that the test starts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_nothing_is_left_of_an_r_process_in_the_temporary_folder(temporary: Path) -> None:
    with Pool() as pool:
        session = Path(call(pool, "start_r"))
        assert temporary in session.parents
        assert session.is_dir()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(("name", "lost"), [("crash", ProcessLostError), ("ask_and_hang", TimedOutError)])
def test_nothing_is_left_of_a_process_that_was_lost(
    name: str, lost: type[ProcessLostError], temporary: Path, pool: Pool
) -> None:
    folder = Path(call(pool, "use_folder"))
    assert list(folder.iterdir())
    with pytest.raises(lost):
        call(pool, name, timeout=5)
    assert list(temporary.iterdir()) == []


def test_nothing_is_left_of_a_process_whose_parent_was_killed(temporary: Path) -> None:
    parent, line = killed_parent("use_folder_and_hang")
    folder = Path(line)
    assert folder.parent == temporary
    parent.kill()
    parent.communicate()
    deadline = 240
    while folder.exists() and (deadline := deadline - 1):
        select.select([], [], [], 0.25)
    assert list(temporary.iterdir()) == []


def killed_parent(name: str) -> tuple[subprocess.Popen[str], str]:
    """A parent to be killed whose process runs this function, and what the function sent."""
    code = (
        "from tasks.engine.process import Pool\n"
        f"Pool().call('r_side:{name}', None, on_message=lambda kind, content: print(content, flush=True), "
        f"timeout=600, env={ENV!r})"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, **ENV}, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    return parent, parent.stdout.readline().strip()


def test_a_process_whose_parent_was_killed_ends_itself() -> None:
    parent, pid = killed_parent("ask_and_hang")
    handle = os.pidfd_open(int(pid))
    parent.kill()
    parent.communicate()
    assert select.select([handle], [], [], 30)[0], "the orphan is still there"
    os.close(handle)


def test_a_pool_that_is_sent_to_another_process_is_that_process_s_own(pool: Pool) -> None:
    own = pickle.loads(pickle.dumps(pool))
    assert own is not pool
    assert own is pickle.loads(pickle.dumps(Pool()))
