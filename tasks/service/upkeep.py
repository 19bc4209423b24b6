"""Upkeep of a Prefect server: what lost its process goes on, and is not shown as running.

The server does this by itself within seconds (`tasks.service.automations`). What is here is for that which it
cannot see or has missed: runs that were lost together with the server, or whose events it lost when it was killed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Crashed, Failed, Scheduled

from tasks.service.automations import GIVEN_UP, GOES_ON, HEARTBEAT_LOST, TRIES
from tasks.service.client import PAGE, RESUMING, TAG

END_SECONDS = 15.0
"""A flow ends within ten seconds of its worker (`flows.launch`); what has not then is killed."""
MISSED = timedelta(minutes=2)
"""After so long a crashed run has been missed by the automation that has it go on."""
ACTIVE = ["PENDING", "RUNNING", "CANCELLING"]


def close_runs_of(worker: str) -> list[str]:
    """Mark the active runs of a worker that is no longer as crashed, and end what is left of their processes.

    Returns the names of the runs. To be called on the worker's machine, before the next one of that name starts.
    """
    with get_client(sync_client=True) as client:
        runs = [run for run in _runs(client, ACTIVE) if run.labels.get("prefect.worker.name") == worker]
        _end_processes({str(run.id) for run in runs})
        for run in runs:
            _close(client, run, "Its worker was lost, or its machine.")
    return [run.name for run in runs]


def close_lost_runs() -> int:
    """Mark runs as crashed that have given no sign of life for long; how many."""
    since = datetime.now(UTC) - HEARTBEAT_LOST
    with get_client(sync_client=True) as client:
        lost = [run for run in _runs(client, ACTIVE) if not _alive(client, run, since)]
        for run in lost:
            _close(client, run, "It has given no sign of life: its process or its machine is gone.")
    return len(lost)


def take_up_crashed_runs() -> int:
    """Have crashed runs go on that the server's automation has missed, or give them up; how many."""
    before = datetime.now(UTC) - MISSED
    with get_client(sync_client=True) as client:
        missed = [run for run in _runs(client, ["CRASHED"]) if run.state and run.state.timestamp < before]
        for run in missed:
            client.set_flow_run_state(run.id, _next_state(client, run))
    return len(missed)


def _next_state(client: SyncPrefectClient, run: FlowRun) -> State[Any]:
    cause = (run.state.message if run.state else None) or ""
    resumed = sum(state.name == RESUMING for state in client.read_flow_run_states(run.id))
    if max(resumed, run.run_count - 1) >= TRIES:
        return Failed(message=GIVEN_UP + cause)
    # its first time, so that it goes on before those that were submitted after it
    return Scheduled(name=RESUMING, message=GOES_ON + cause, scheduled_time=run.expected_start_time)


def _close(client: SyncPrefectClient, run: FlowRun, cause: str) -> None:
    cancelled = run.state is not None and run.state.type == StateType.CANCELLING
    client.set_flow_run_state(run.id, Cancelled(message=cause) if cancelled else Crashed(message=cause))


def _runs(client: SyncPrefectClient, states: Iterable[str]) -> list[FlowRun]:
    wanted = {"tags": {"all_": [TAG]}, "state": {"type": {"any_": list(states)}}}
    return client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(wanted), limit=PAGE)


def _alive(client: SyncPrefectClient, run: FlowRun, since: datetime) -> bool:
    """Whether the run has changed its state, or sent a heartbeat, after that moment."""
    if run.state is None or run.state.timestamp > since:
        return True
    wanted = {
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "resource": {"id": [f"prefect.flow-run.{run.id}"]},
        "occurred": {"since": since.isoformat()},
    }
    found = client.request("POST", "/events/filter", json={"filter": wanted, "limit": 1}).json()
    return bool(found["events"])


def _end_processes(runs: set[str]) -> None:
    """Wait until the processes of these flow runs on this machine have ended; kill those that have not."""
    give_up = time.monotonic() + END_SECONDS
    while (left := _processes(runs)) and time.monotonic() < give_up:
        time.sleep(0.5)
    for process in left:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _processes(runs: set[str]) -> list[int]:
    """Processes of this user that a worker started for one of these flow runs, and what they started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # another user's, or it has ended meanwhile
            continue
        of = [value for value in variables if value.startswith(b"PREFECT__FLOW_RUN_ID=")]
        if of and of[0].partition(b"=")[2].decode() in runs:
            found.append(int(folder.name))
    return found


def close_orphans() -> int:
    """Mark task runs as crashed that are shown as running although their flow run has ended; how many."""
    with get_client(sync_client=True) as client:
        closed = 0
        while orphans := _orphans(client):
            for orphan in orphans:
                client.set_task_run_state(orphan, Crashed(message="the flow run ended before it"), force=True)
            closed += len(orphans)
            if len(orphans) < PAGE:
                break
        return closed


def _orphans(client: SyncPrefectClient) -> list[UUID]:
    ended = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
    runs = client.read_task_runs(
        task_run_filter=TaskRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}),
        flow_run_filter=FlowRunFilter.model_validate(
            {"tags": {"all_": [TAG]}, "state": {"type": {"any_": ended}}}
        ),
        limit=PAGE,
    )
    return [run.id for run in runs]
