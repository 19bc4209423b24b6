"""The one flow: from a request to published results, for one stratum or ten thousand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from prefect.states import Completed, Crashed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.tasks import Task

from flows.progress import Progress
from tasks import results, steps
from tasks.engine import Pool, open_pool
from tasks.errors import EngineError, InputError, VacalError
from tasks.request import CalibrationRequest, parse_request
from tasks.run import (
    COMPLETE,
    WITH_FAILURES,
    BaselineJob,
    CheckJob,
    Chunk,
    Job,
    OtherEngineError,
    check_jobs,
    in_order,
    may_heal,
    reason_lost,
    sentences,
    shortfalls,
    stored_outcome,
)
from tasks.service import WITHOUT_REPORT, record_results
from tasks.settings import Settings, settings
from tasks.steps import failed
from tasks.terms import amount

Part = TypeVar("Part", Chunk, BaselineJob, CheckJob)


class IncompleteError(VacalError):
    """The run is published at `uri`, but lacks what it was for: nothing usable, say, or failed strata.

    `state`: the name of the run's final state.
    """

    def __init__(self, message: str, uri: str, state: str) -> None:
        self.uri, self.state = uri, state
        super().__init__(message)


def task_runner(chosen: Settings) -> TaskRunner[Any]:
    """Where chunks run, as this installation is set up: threads of this process, or a Dask cluster."""
    if chosen.runner == "threads":
        return ThreadPoolTaskRunner(max_workers=chosen.workers)
    from prefect_dask.task_runners import DaskTaskRunner

    local = {"n_workers": chosen.workers, "threads_per_worker": 1}
    return DaskTaskRunner(address=chosen.dask_address, cluster_kwargs=None if chosen.dask_address else local)


def flow_run_name() -> str:
    """The request's name, and six digits that tell its runs apart."""
    request = flow_run.parameters.get("request")
    name = request.get("name") if isinstance(request, Mapping) else getattr(request, "name", None)
    return f"{name or 'calibrate'} {str(flow_run.id)[-6:]}"


@flow(
    name="calibrate",
    flow_run_name=flow_run_name,
    task_runner=task_runner(settings()),
    validate_parameters=False,  # the request's own messages say more, and all of them at once
    persist_result=False,
)
def calibrate(request: CalibrationRequest, recompute: bool = False) -> str:
    """Calibrate what the request names and publish it; returns the address of the run's folder.

    A request that was calibrated before is recognised by its content and its stored results are returned,
    unless `recompute`, or unless strata were lost with their R process: these are tried again. A run that was
    interrupted goes on where it stopped.

    Raises InputError (state BadInput) before any work, IncompleteError (the states of `SHORTFALLS`) when the run
    is published but nothing of it may be used, or more is missing than the request allows, any other
    VacalError when there are no results.
    """
    return run_whole(request, recompute=recompute)


def run_whole(
    request: CalibrationRequest | Mapping[str, Any], *, recompute: bool = False, warnings: Sequence[str] = ()
) -> str:
    """The body of a calibrating flow; warnings: what is known of the input beside it, one sentence each."""
    started = datetime.now(UTC)
    try:
        asked = request if isinstance(request, CalibrationRequest) else parse_request(request)
        prepared = steps.prepare(asked, return_state=True).result()
        job = replace(prepared, warnings=tuple(warnings))
        stored = results.find_run(job.work.root, job.run)
        if stored is None or recompute or may_heal(stored):
            if recompute and flow_run.run_count == 1:  # a run that crashed goes on where it stopped
                results.remove_work(job.work.root, job.run)
            manifest, known = compute(job, started, again=stored is not None), False
        else:
            results.repair_run(job.work.root, job.run)
            manifest, known = stored, True
        told = steps.report(job, return_state=True)
        return final_state(job, manifest, known=known, told=told)  # type: ignore[return-value]
    except InputError as error:
        return failed("BadInput", error)  # type: ignore[return-value]
    except VacalError as error:
        return failed("Failed", error)  # type: ignore[return-value]
    except httpx.HTTPError as error:  # not the run's fault: the server has it go on
        lost = f"The Prefect server did not answer, or refused: {type(error).__name__}: {error}"
        return Crashed(message=lost)  # type: ignore[return-value]


def compute(job: Job, started: datetime, *, again: bool) -> dict[str, Any]:
    """Calibrate what is not in the store yet, and publish the run, `again` in place of another; its manifest."""
    progress = Progress(job.strata_per_algorithm)
    done = calibrate_strata(job, progress)
    checks = check_totals(job, done)
    seconds = (datetime.now(UTC) - started).total_seconds()
    timings = {"started": started.isoformat(), "seconds_until_publication": seconds}
    manifest: dict[str, Any] = steps.publish(
        job, done, timings, replace=again, checks=checks, return_state=True
    ).result()
    progress.end()
    return manifest


def calibrate_strata(job: Job, progress: Progress) -> list[tuple[Chunk, str | None]]:
    """Calibrate every chunk; returns them in the order of their strata, with the reason if R never ended one.

    Such a chunk is tried once more stratum by stratum, so that one stratum does not take others with it; the
    strata of a joint fit cannot be, nor those whose baseline was lost.
    Raises EngineError if R finished nothing, or if it is not the engine of this run.
    """
    progress.start()
    with open_pool() as pool:
        no_baseline = make_baselines(job, pool)
        lost = {chunk.id: no_baseline[chunk.place] for chunk in job.chunks if chunk.place in no_baseline}
        ready = [chunk for chunk in job.chunks if chunk.id not in lost]
        for chunk in (chunk for chunk in job.chunks if chunk.id in lost):
            progress.lose(chunk.id)
        whole = dict(lost)
        lost |= calibrate_chunks(steps.calibrate_chunk, job, ready, progress, pool)
        if lost and len(lost) == len(job.chunks) > 1:
            raise EngineError(f"no chunk could be calibrated; the first: {first_line(lost)}")
        whole |= {chunk.id: lost[chunk.id] for chunk in job.chunks if chunk.id in lost and chunk.joint}
        alone = {chunk.id: chunk.singles() for chunk in job.chunks if chunk.id in lost.keys() - whole.keys()}
        again = steps.calibrate_chunk.with_options(retries=min(1, settings().retries))
        singles = [single for group in alone.values() for single in group]
        lost_alone = calibrate_chunks(again, job, singles, progress, pool)
    gone = {**whole, **lost_alone}
    if gone and len(lost) == len(job.chunks) and len(lost_alone) == len(singles):
        raise EngineError(f"no stratum could be calibrated; the first: {first_line(gone)}")
    reasons = {chunk: reason_lost(error) for chunk, error in gone.items()}
    parts = (part for chunk in job.chunks for part in alone.get(chunk.id, [chunk]))
    return [(part, reasons.get(part.id)) for part in parts]


def make_baselines(job: Job, pool: Pool) -> dict[str, EngineError]:
    """Make the baselines that are not in the store yet; returns the places that lost one, with the error."""
    finished = results.finished_chunks(job.work.root, job.run, among=[one.id for one in job.baselines])
    work = replace(job.work, roll_ups=None)
    running = {
        steps.make_baseline.submit(one, work, pool): one for one in job.baselines if one.id not in finished
    }
    lost: dict[str, EngineError] = {}
    for one, error in outcomes(running):
        if isinstance(error, EngineError) and not isinstance(error, OtherEngineError):
            lost[one.place["stratum"]] = error
        elif error is not None:
            raise error
    return lost


def check_totals(job: Job, done: Sequence[tuple[Chunk, str | None]]) -> list[str]:
    """Fit the totals of common matrix draws directly; returns the ids of the checks. Raises VacalError."""
    checks = check_jobs(job, done)
    finished = results.finished_chunks(job.work.root, job.run, among=[one.id for one in checks])
    work = replace(job.work, roll_ups=None)
    with open_pool() as pool:
        running = {
            steps.check_totals.submit(one, work, pool): one for one in checks if one.id not in finished
        }
        for _, error in outcomes(running):
            if error is not None:
                raise error
    return [one.id for one in checks]


def calibrate_chunks(
    run_one: Task[..., str], job: Job, chunks: Sequence[Chunk], progress: Progress, pool: Pool
) -> dict[str, EngineError]:
    """Calibrate the chunks that are not in the store yet; returns the ids of those lost, with the error."""
    finished = results.finished_chunks(job.work.root, job.run, among=[chunk.id for chunk in chunks])
    running = {}
    for chunk in chunks:
        if chunk.id in finished:
            progress.finish(chunk.id, len(chunk.batch.strata))
        else:
            running[run_one.submit(chunk, job.work.of(chunk), progress.of(chunk.id), pool)] = chunk
    lost = {}
    for chunk, error in outcomes(running):
        if error is None:
            progress.finish(chunk.id, len(chunk.batch.strata))
        elif isinstance(error, EngineError) and not isinstance(error, OtherEngineError):
            progress.lose(chunk.id)
            lost[chunk.id] = error
        else:
            raise error
    return lost


def first_line(lost: Mapping[str, EngineError]) -> str:
    """What happened to the first of the chunks; what R said and where is in its task's log."""
    return str(next(iter(lost.values()))).partition("\n")[0]


def outcomes(running: Mapping[PrefectFuture[str], Part]) -> Iterator[tuple[Part, Exception | None]]:
    """Each chunk or baseline as soon as its task is at its end, with the error that ended it."""
    for future in as_completed(list(running)):
        result: object = future.result(raise_on_failure=False)
        yield running[future], result if isinstance(result, Exception) else None


def in_a_sentence(job: Job, manifest: Mapping[str, Any], said: Sequence[str], *, known: bool) -> str:
    """What became of the strata, what else is to be `said`, and where the results are, for people to read."""
    strata = amount(sum(manifest["strata"].values()), "stratum", "strata")
    counts = (f"{count} {status.replace('_', ' ')}" for status, count in in_order(manifest["strata"]))
    parts = [f"{strata}{', as calibrated before' if known else ''}: {', '.join(counts)}", *said]
    if may_heal(manifest):
        parts.append("submitted again, it tries those once more that were lost with their R process")
    return "; ".join([*parts, *(warning.rstrip(".") for warning in job.warnings), f"results: {job.uri}"])


def final_state(job: Job, manifest: Mapping[str, Any], *, known: bool, told: State[Any]) -> State[Any]:
    """The state of a published run; for programs, the flow run's labels hold the address of its results.

    `known`: the run was stored before. `told`: how the task ended that writes the report.
    """
    found, request = stored_outcome(results.open_results(job.uri)), job.request
    said = sentences(found, minimum_deaths=request.minimum_deaths)
    if not told.is_completed():
        said.append(f"the report could not be written (see the log, then vacal report {job.uri})")
    message = in_a_sentence(job, manifest, said, known=known)
    if manifest["status"] not in (COMPLETE, WITH_FAILURES):
        return failed("Failed", IncompleteError(message, job.uri, "Failed"))
    record_results(
        UUID(flow_run.id),
        job.uri,
        lost_strata=may_heal(manifest),
        deaths=sum(job.tabulation.strata["deaths"].to_pylist()),
        strata=found.strata,
    )
    lacking = shortfalls(found, unfitted_share=request.unfitted_share, left_out_share=request.left_out_share)
    if lacking:
        name, _ = lacking[0]
        return failed(name, IncompleteError(message, job.uri, name))
    complete: State[Any] = Completed(
        name=None if told.is_completed() else WITHOUT_REPORT, message=message, data=job.uri
    )
    return complete
