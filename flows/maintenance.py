"""The hourly upkeep: what is no longer kept is removed, what was killed is no longer shown as running."""

from __future__ import annotations

from prefect import flow, get_run_logger

from flows.names import dated
from tasks import steps


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
        log.info("Removed %d expired runs", steps.remove_runs(store, keep_runs_days))
    if inbox and keep_inputs_days is not None:
        log.info("Removed %d expired inputs", steps.remove_inputs(inbox, keep_inputs_days))
    log.info("Removed the work of %d interrupted runs", steps.remove_work(store, keep_work_days))
    log.info("Closed %d runs whose process is gone", steps.close_lost_runs())
    log.info("Took up %d crashed runs that the server had missed", steps.take_up_crashed_runs())
    log.info("Closed %d task runs of flows that are gone", steps.close_orphans())
