"""The hourly upkeep: what is no longer kept is removed, what was killed is no longer shown as running."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from flows.names import dated
from tasks.automations import HEARTBEAT_LOST
from tasks.retention import remove_expired_inputs, remove_expired_runs
from tasks.service import PAGE, TAG
from tasks.store import clean_work


@flow(name="maintenance", flow_run_name=dated("maintenance"))
def maintain(
    store: str = "results",
    inbox: str | None = None,
    keep_runs_days: int | None = None,
    keep_inputs_days: int | None = None,
    keep_work_days: int = 7,
) -> None:
    """Remove expired runs of the store, expired inputs and stale work; close what was killed.

    Args:
        store: Root of the results store.
        inbox: Folder of the inputs; empty: none are removed.
        keep_runs_days: Days after which a run is removed; the newest of each name stays. Empty: never.
        keep_inputs_days: Days after which an input file is removed. Empty: never.
        keep_work_days: Days after which an interrupted run can no longer resume: its parts are removed.
    """
    log = get_run_logger()
    if keep_runs_days is not None:
        log.info("Removed %d expired runs", remove_runs(store, keep_runs_days))
    if inbox and keep_inputs_days is not None:
        log.info("Removed %d expired inputs", remove_inputs(inbox, keep_inputs_days))
    log.info("Removed the work of %d interrupted runs", remove_work(store, keep_work_days))
    log.info("Closed %d runs whose process is gone", close_lost_runs())
    log.info("Closed %d task runs of flows that are gone", close_orphans())


@task(retries=2, retry_delay_seconds=[10, 60])
def remove_runs(store: str, days: int) -> int:
    """Number of runs removed."""
    return len(remove_expired_runs(store, timedelta(days=days)))


@task(retries=2, retry_delay_seconds=[10, 60])
def remove_inputs(inbox: str, days: int) -> int:
    """Number of input files removed."""
    return len(remove_expired_inputs(inbox, timedelta(days=days)))


@task(retries=2, retry_delay_seconds=[10, 60])
def remove_work(store: str, days: int) -> int:
    """Number of interrupted runs whose parts were removed."""
    return len(clean_work(store, timedelta(days=days)))


@task(retries=2, retry_delay_seconds=[10, 60])
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


@task(retries=2, retry_delay_seconds=[10, 60])
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
