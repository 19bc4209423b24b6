"""Upkeep of a Prefect server: what was killed is no longer shown as running."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from tasks.service.automations import HEARTBEAT_LOST
from tasks.service.client import PAGE, TAG


def close_lost_runs() -> int:
    """Mark runs as crashed that have sent no heartbeat for long; how many.

    The server's automation does it within minutes, but not for runs that were lost together with the server.
    """
    since = datetime.now(UTC) - HEARTBEAT_LOST
    wanted = {"tags": {"all_": [TAG]}, "state": {"type": {"any_": ["RUNNING", "CANCELLING"]}}}
    with get_client(sync_client=True) as client:
        running = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(wanted), limit=PAGE)
        lost = [run.id for run in running if not _alive(client, run, since)]
        for run in lost:
            client.set_flow_run_state(run, Crashed(message="Its process is gone; submit it again."))
    return len(lost)


def _alive(client: SyncPrefectClient, run: FlowRun, since: datetime) -> bool:
    """Whether the run has begun, or sent a heartbeat, after that moment."""
    if run.start_time is None or run.start_time > since:
        return True
    wanted = {
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "resource": {"id": [f"prefect.flow-run.{run.id}"]},
        "occurred": {"since": since.isoformat()},
    }
    found = client.request("POST", "/events/filter", json={"filter": wanted, "limit": 1}).json()
    return bool(found["events"])


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
