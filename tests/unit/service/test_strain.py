"""What wears a service down is told: orphans, temporary folders, unread input, and nothing where all is well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.service.strain import inbox, orphans, strain_checks, temporary_folders
from tasks.settings import settings

LONG_AGO = time.time() - 3 * 86400


@pytest.fixture
def orphan() -> Iterator[int]:
    """A process with the name of one of ours in its command line, whose parent has ended."""
    sleeper = "import time; time.sleep(600)  # tasks.engine.process"
    start = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {sleeper!r}], stdout=2).pid)"
    )
    made = subprocess.run(
        [sys.executable, "-c", start],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    pid = int(made.stdout)
    yield pid
    os.kill(pid, signal.SIGKILL)


def test_a_process_without_its_parent_is_told_with_what_ends_it(orphan: int) -> None:
    status = Path(f"/proc/{orphan}/status")
    if "PPid:\t1\n" not in status.read_text():
        pytest.skip("here orphans do not go to the first process")
    found = orphans()
    assert not found.ok
    assert str(orphan) in found.found.split(": ")[1].split()
    assert found.what_to_do.startswith("end what you no longer want: kill ")
    assert found.optional


def test_a_process_with_its_parent_is_no_orphan() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)  # tasks.engine.process"])
    try:
        assert str(child.pid) not in orphans().found
    finally:
        child.kill()
        child.wait()


def test_the_worker_of_a_container_is_no_parent_that_has_gone(tmp_path: Path) -> None:
    for pid, command in ((1, "prefect worker start"), (20, "python -m prefect.engine")):
        process = tmp_path / str(pid)
        process.mkdir()
        (process / "cmdline").write_text(command.replace(" ", "\0"))
        (process / "status").write_text(f"Name:\tx\nPPid:\t{0 if pid == 1 else 1}\n")
    assert orphans(tmp_path).ok
    (tmp_path / "1" / "cmdline").write_text("/sbin/init")
    assert not orphans(tmp_path).ok


def test_what_killed_runs_left_long_ago_is_told_with_its_size(tmp_path: Path) -> None:
    assert temporary_folders(tmp_path).ok
    for name in ("vacal-ingest-a", "Rtmpb", "other-c", "vacal-r-young"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "records.duckdb").write_bytes(b"x" * 2**20)
        if "young" not in name:
            os.utime(folder / "records.duckdb", (LONG_AGO, LONG_AGO))
            os.utime(folder, (LONG_AGO, LONG_AGO))
    found = temporary_folders(tmp_path)
    assert not found.ok
    assert "2 folders of killed runs, 2 MiB" in found.found
    assert found.what_to_do == f"rm -r {tmp_path}/Rtmpb {tmp_path}/vacal-ingest-a"


def test_a_folder_in_which_a_run_still_writes_is_not_told(tmp_path: Path) -> None:
    folder = tmp_path / "vacal-ingest-a"
    folder.mkdir()
    (folder / "spill").write_text("x")
    os.utime(folder, (LONG_AGO, LONG_AGO))
    assert temporary_folders(tmp_path).ok


def test_files_of_the_inbox_that_no_run_has_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VACAL_STORE", str(tmp_path / "store"))
    settings.cache_clear()
    monkeypatch.delenv("VACAL_INBOX", raising=False)
    assert inbox() == []
    monkeypatch.setenv("VACAL_INBOX", str(tmp_path / "inbox"))
    assert inbox()[0].ok
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "march.csv").write_text("ID,cause\n")
    (tmp_path / "inbox" / ".upload").write_text("")
    (found,) = inbox()
    settings.cache_clear()
    assert (found.ok, found.found) == (False, "1 file of the inbox is in no run: march.csv.")


def test_a_server_that_is_not_configured_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VACAL_INBOX", raising=False)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert "inbox" not in [check.name for check in strain_checks()]


@pytest.mark.usefixtures("prefect_server")
def test_a_database_at_rest_is_not_called_strained(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.service import strain

    monkeypatch.setattr(strain, "SLOW", 60.0)
    found = {check.name: check for check in strain_checks()}["database load"]
    assert found.ok
    assert found.found.startswith("a small read takes ")
    monkeypatch.setattr(strain, "SLOW", 0.0)
    strained = {check.name: check for check in strain_checks()}["database load"]
    assert not strained.ok
    assert strained.what_to_do.startswith("use PostgreSQL")
