"""The Prefect tasks: a thin shell around each unit of work that may be tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import httpx
from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Failed
from prefect.tasks import Task, exponential_backoff

from tasks import results, run, service
from tasks.engine import OnProgress, Pool, ProcessLostError, TimedOutError
from tasks.errors import StorageError, VacalError
from tasks.matrices import DownloadError, Inventory, fetch_inventory, newest_version, stored_inventory
from tasks.report import artifact_table, markdown_summary, write_report
from tasks.request import CalibrationRequest
from tasks.roots import require_allowed
from tasks.run import BaselineJob, CheckJob, Chunk, Done, Job, Work
from tasks.service import remove_expired_inputs, remove_expired_runs
from tasks.settings import settings
from tasks.terms import amount
from tasks.view import View

P = ParamSpec("P")
R = TypeVar("R")


def is_news(record: logging.LogRecord) -> bool:
    """A log filter: False for a traceback of a VacalError, as the run's final state has its sentence."""
    return not (record.exc_info and isinstance(record.exc_info[1], VacalError))


# A worker's process asks a failed flow for its result, and logs what that raises.
for _name in ("prefect.flow_runs", "prefect.engine"):
    logging.getLogger(_name).addFilter(is_news)


def failed(name: str, error: VacalError) -> State[Any]:
    """A state of type FAILED; who asks for its result gets the error."""
    state: State[Any] = Failed(name=name, message=str(error), data=error)
    return state


def without_traceback(function: Callable[P, R]) -> Callable[P, R]:
    """The function, its VacalError as the task's state: the log then has the sentence and nothing more."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except VacalError as error:
            # its traceback would keep alive all that the task held, for as long as there is the state
            return failed("Failed", error.with_traceback(None))  # type: ignore[return-value]

    return call


def can_heal(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether another try may succeed: R's process died, storage or server failed. Bad input stays bad.

    A chunk that ran out of time is not tried again as it is, but stratum by stratum (`flows/calibrate.py`); one
    that was damaged before it was published is computed again by the next run of the request.
    """
    error = state.result(raise_on_failure=False)
    hopeless = isinstance(error, TimedOutError | results.DamagedChunkError)
    return isinstance(error, ProcessLostError | StorageError | httpx.HTTPError) and not hopeless


HEALING: dict[str, Any] = {
    "retries": settings().retries,
    "retry_delay_seconds": exponential_backoff(settings().retry_delay),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": can_heal,
    "cache_policy": NO_CACHE,
    "persist_result": False,  # tables stay out of Prefect: tasks hand on addresses, and what stays in memory
}


@task(name="prepare", task_run_name="read and check {request.name}", **HEALING)
@without_traceback
def prepare(request: CalibrationRequest) -> Job:
    """Read and check request, inventory and input; deal the strata into chunks."""
    job = run.prepare(request)
    sizes = [len(chunk.batch.strata) for chunk in job.chunks]
    strata, chunks = amount(sum(sizes), "stratum", "strata"), amount(len(sizes), "chunk")
    get_run_logger().info("Run %s: %s in %s", job.run, strata, chunks)
    return job


@task(name="calibrate", task_run_name="{chunk.name}", **HEALING)
@without_traceback
def calibrate_chunk(chunk: Chunk, work: Work, progress: OnProgress | None, pool: Pool) -> str:
    """Calibrate a chunk in an R process and keep its tables in the store; returns their address."""
    return run.calibrate_chunk(
        chunk,
        work,
        log=get_run_logger(),
        progress=progress,
        pool=pool,
        timeout=run.time_limit(chunk.batch, settings().r_timeout),
    )


@task(name="baseline", task_run_name="{baseline.name}", **HEALING)
@without_traceback
def make_baseline(baseline: BaselineJob, work: Work, pool: Pool) -> str:
    """Draw what common matrix draws of one fit rest on, and keep it in the store; returns its id."""
    return run.keep_baseline(
        baseline,
        work,
        log=get_run_logger(),
        pool=pool,
        timeout=run.time_limit(baseline.batch, settings().r_timeout, baseline.seconds),
    )


@task(name="check", task_run_name="{check.name}", **HEALING)
@without_traceback
def check_totals(check: CheckJob, work: Work, pool: Pool) -> str:
    """Fit totals directly, to be held against the sums of their strata; returns the check's id."""
    return run.keep_check(
        check,
        work,
        log=get_run_logger(),
        pool=pool,
        timeout=run.time_limit(check.batch, settings().r_timeout),
    )


@task(name="publish", task_run_name="publish {job.run}", **HEALING)
@without_traceback
def publish(
    job: Job, done: Done, timings: Mapping[str, Any], replace: bool, checks: Sequence[str] = ()
) -> dict[str, Any]:
    """Roll up, write the tables, and the manifest last."""
    return run.publish(job, done, timings, replace=replace, checks=checks)


@task(name="report", task_run_name="report {job.run}", **HEALING)
@without_traceback
def report(job: Job) -> str:
    """Show the published run in Prefect and write its report; returns the report's address."""
    view = View(results.open_results(job.uri))
    show(view)
    return write_report(view.in_language(job.request.report_language), job.boundaries)


def show(view: View) -> None:
    """The results as artifacts of the run: a table, and a summary with verdicts, caveats and links."""
    create_table_artifact(artifact_table(view), key="results", description="Calibrated fractions")
    create_markdown_artifact(markdown_summary(view), key="summary", description="What to know")


# --- the inventory of matrices ---


def _may_pass(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), DownloadError)


DOWNLOADING: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [5, 30],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": _may_pass,
    "persist_result": False,
}


@task(task_run_name="inventory {version}", **DOWNLOADING)
@without_traceback
def have_inventory(version: str) -> Inventory:
    """The stored inventory of this version, fetched first where it is missing or damaged."""
    log = get_run_logger()
    try:
        inventory = stored_inventory(version)
    except VacalError as problem:
        log.warning("%s", problem)
        inventory = None
    if inventory:
        log.info("%s is stored and sound; nothing to fetch", inventory.id)
        return inventory
    inventory = fetch_inventory(version)
    log.info("%s fetched and stored (verified: %s)", inventory.id, inventory.verified)
    return inventory


@task(task_run_name="look for a newer version", **DOWNLOADING)
@without_traceback
def newest_inventory() -> str | None:
    """The newest version that the repositories offer, None if they do not name the package."""
    newest = newest_version()
    get_run_logger().info("The repositories' newest version is %s", newest)
    return newest


# --- upkeep ---

UPKEEP: dict[str, Any] = {"retries": 2, "retry_delay_seconds": [10, 60]}


@task(**UPKEEP)
def remove_runs(store_root: str, days: int) -> int:
    """Number of runs removed."""
    return len(remove_expired_runs(store_root, timedelta(days=days)))


@task(**UPKEEP)
def remove_inputs(inbox: str, days: int) -> int:
    """Number of input files removed."""
    return len(remove_expired_inputs(inbox, timedelta(days=days)))


@task(**UPKEEP)
def remove_work(store_root: str, days: int) -> int:
    """Number of interrupted runs whose parts were removed."""
    require_allowed(store_root, "output")
    return len(results.clean_work(store_root, timedelta(days=days)))


@task(**UPKEEP)
def close_lost_runs() -> int:
    """Number of runs marked as crashed that have given no sign of life for long."""
    return service.close_lost_runs()


@task(**UPKEEP)
def take_up_crashed_runs() -> int:
    """Number of crashed runs that go on, or are given up, as the server has missed them."""
    return service.take_up_crashed_runs()


@task(**UPKEEP)
def close_orphans() -> int:
    """Number of task runs marked as crashed whose flow run has ended."""
    return service.close_orphans()
