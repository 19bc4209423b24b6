"""What wears a service down before it fails: processes and folders left behind, unread input, a slow database."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectHTTPStatusError

from tasks.errors import VacalError
from tasks.service.client import connect
from tasks.service.doctor import Check
from tasks.service.retention import unread_in_words, unread_inputs
from tasks.settings import settings
from tasks.terms import amount

OURS = ("tasks.engine.process", "prefect.engine", "flows.launch")
"""What the command line of an R process or of a flow's process holds."""
LEFT_BEHIND = ("vacal-ingest-*", "vacal-r-*", "Rtmp*")
OLD = 86400.0
"""Seconds without a change after which a temporary folder belongs to no run any more."""
SLOW = 0.5
"""Seconds for a small read above which the server's database is called strained."""
LEAST_FREE = 2**30
READS = 5


def strain_checks() -> list[Check]:
    """Orphans, temporary folders, the inbox, and, where a server is configured and answers, its database.

    All are optional: runs can be computed all the same.
    """
    return [orphans(), temporary_folders(), *inbox(), *_server()]


def orphans(processes: Path = Path("/proc")) -> Check:
    """Processes of flows or of R whose parent has gone."""
    found = sorted(_orphans(processes))
    ids = " ".join(map(str, found))
    said = f"{amount(len(found), 'process', 'processes')} without a parent: {ids}" if found else "none"
    return Check(
        "orphans", not found, said, f"end what you no longer want: kill {ids}", optional=True, wrong="LOOK AT"
    )


def _orphans(processes: Path) -> Iterator[int]:
    if "prefect" in _command(processes / "1"):  # in a container the worker itself is the first process
        return
    for folder in processes.glob("[0-9]*"):
        if any(name in _command(folder) for name in OURS) and _parent(folder) == 1:
            yield int(folder.name)


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it has ended meanwhile
        return ""


def _parent(process: Path) -> int | None:
    try:
        lines = (process / "status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("PPid:")), None)


def temporary_folders(folder: Path | None = None) -> Check:
    """Whether temporary files have room, and what killed runs have left among them."""
    folder = folder or Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    old = [path for pattern in LEFT_BEHIND for path in folder.glob(pattern) if _is_old(path)]
    size = sum(file.stat().st_size for path in old for file in path.rglob("*") if file.is_file())
    said = f"{folder}: {free / 2**30:.0f} GiB free"
    if old:
        said += f"; {amount(len(old), 'folder')} of killed runs, {size / 2**20:,.0f} MiB"
    remove = " ".join(map(str, sorted(old)))
    what_to_do = f"rm -r {remove}" if old else "make room: less than 1 GiB is free, or set TMPDIR"
    return Check(
        "temporary folders", not old and free > LEAST_FREE, said, what_to_do, optional=True, wrong="LOOK AT"
    )


def _is_old(path: Path) -> bool:
    """Whether nobody has changed the folder, or anything in it, for long."""
    try:
        changed = [path.stat().st_mtime, *(inside.stat().st_mtime for inside in path.rglob("*"))]
    except OSError:  # it is being removed
        return False
    return path.is_dir() and time.time() - max(changed) > OLD


def inbox() -> list[Check]:
    """Files of the inbox (VACAL_INBOX) that are in no run of the store; nothing where there is no inbox."""
    uri = os.environ.get("VACAL_INBOX")
    if not uri:
        return []
    what_to_do = "put them into a request (vacal submit), or out of the inbox"
    try:
        unread = unread_inputs(uri, settings().store)
    except VacalError as error:
        return [
            Check(
                "inbox", False, str(error), "see docs/operate.md, Deployments", optional=True, wrong="LOOK AT"
            )
        ]
    said = unread_in_words(unread)[0] if unread else f"{uri}: no file that no run has read"
    return [Check("inbox", not unread, said, what_to_do, optional=True, wrong="LOOK AT")]


def _server() -> list[Check]:
    try:
        with connect() as server:
            return [_database(server.client)]
    except VacalError:  # service_checks says it
        return []


def _database(client: SyncPrefectClient) -> Check:
    """How long the server takes for a small read, and whether it says that its database is locked."""
    seconds, refused = [], 0
    for _ in range(READS):
        begun = time.perf_counter()
        try:
            client.request("POST", "/flow_runs/count", json={})
        except PrefectHTTPStatusError as error:
            if error.response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                raise
            refused += 1
        seconds.append(time.perf_counter() - begun)
    typical = statistics.median(seconds)
    said = f"a small read takes {1000 * typical:.0f} ms" + (
        f"; {refused} of {READS} refused" if refused else ""
    )
    what_to_do = (
        "use PostgreSQL (docs/install.md); keep runs for a shorter time "
        "(PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD)"
    )
    return Check(
        "database load", typical < SLOW and not refused, said, what_to_do, optional=True, wrong="LOOK AT"
    )
