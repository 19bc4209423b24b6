"""Runs on a Prefect server, seen from a client: submit, look up, cancel, by Prefect's own API.

A submission's idempotency key covers the request and the content of its input, so that the same submission
twice is one run, changed input is another, and after a run that failed, was cancelled or lost strata with
their R process the next submission starts anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
    FlowRunFilter,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling

from tasks.errors import InputError, ServiceError, StateError
from tasks.request import CalibrationRequest
from tasks.results import SHORTFALLS
from tasks.service.artifacts import algorithm_of

DEPLOYMENT = "calibrate/calibrate"
URGENT_QUEUE = "urgent"
TAG = "vacal"
RESULTS_LABEL = "vacal.results"
"""Label of a flow run: the address of its results' folder. A run without results does not have it."""
LOST_STRATA_LABEL = "vacal.lost_strata"
"""Label of a flow run with results: true if strata were lost with their R process; another try may help."""
DEATHS_LABEL = "vacal.deaths"
"""Label of a flow run with results: the deaths received."""
STRATA_LABEL = "vacal.strata"
"""Label of a flow run with results: its strata."""
WITHOUT_REPORT = "CompletedWithoutReport"
"""Name of the green final state of a run of which only the report could not be written."""
RESUMING = "Resuming"
"""Name of the state of a run that crashed and waits to go on. Prefect cancels runs in a state of this name at once."""
NEWER_INVENTORY = "NewerInventory"
"""Name of the green final state of refresh-inventory where it found newer matrices."""

PAGE = 200  # the server gives no more at a time

WORDS = {
    "SCHEDULED": "scheduled",
    "PENDING": "starting",
    "RUNNING": "running",
    "PAUSED": "paused",
    "CANCELLING": "cancelling",
    "CANCELLED": "cancelled",
    "COMPLETED": "complete",
    "FAILED": "failed",
    "CRASHED": "crashed",
}
NAMED = {
    "Late": "waiting for its turn",
    RESUMING: "waiting to go on",
    "AwaitingRetry": "waiting to try again",
    "NothingUsable": "nothing usable",
    "TotalsUnusable": "totals unusable",
    "CompletedWithFailures": "complete with failures",
    "TooMuchLeftOut": "too much left out",
    "BadInput": "refused",
    "TimedOut": "timed out",
}
WITH_RESULTS = frozenset({"complete", *(NAMED[name] for name in SHORTFALLS)})
ENDED = WITH_RESULTS | {"failed", "refused", "timed out", "cancelled"}
"""A crashed run has not ended: the server has it go on, or fails it (`tasks.service.automations`)."""


def status_word(state: State[Any] | None) -> str:
    """The state of a run in one of our words: Prefect's name where it says more than its type."""
    if state is None:
        return "scheduled"
    return NAMED.get(state.name or "", WORDS[state.type.value])


@dataclass(frozen=True)
class RunStatus:
    """A run as its user sees it; `progress` by algorithm, 0-100; `results`: the address of its folder.

    `lost_strata`: whether strata of its results were lost with their R process. `deaths` (received) and
    `strata`: of its results, 0 where it has none.
    """

    id: UUID
    name: str
    status: str
    message: str
    created: datetime | None
    due: datetime | None
    started: datetime | None
    ended: datetime | None
    tags: tuple[str, ...]
    request: Mapping[str, Any]
    progress: Mapping[str, float]
    results: str | None
    lost_strata: bool
    deaths: int = 0
    strata: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether the status is final."""
        return self.status in ENDED

    @property
    def may_be_submitted_again(self) -> bool:
        """Whether another run of the request may do better: this one failed, was ended, or lost strata."""
        return self.has_ended and (self.results is None or self.lost_strata)


def describe(run: FlowRun, progress: Mapping[str, float]) -> RunStatus:
    """A flow run of the server as a RunStatus."""
    word = status_word(run.state)
    request = run.parameters.get("request") or {}
    # Until it starts, a run of a schedule has a name that Prefect made up.
    waiting = run.auto_scheduled and run.start_time is None
    return RunStatus(
        id=run.id,
        name=request.get("name", run.name) if waiting else run.name,
        status=word,
        message=(run.state.message if run.state else None) or "",
        created=run.created,
        due=run.expected_start_time,
        started=run.start_time,
        ended=run.end_time,
        tags=tuple(sorted(run.tags)),
        request=request,
        progress=dict(progress),
        results=str(run.labels[RESULTS_LABEL])
        if word in WITH_RESULTS and RESULTS_LABEL in run.labels
        else None,
        lost_strata=run.labels.get(LOST_STRATA_LABEL) is True,
        deaths=int(run.labels.get(DEATHS_LABEL) or 0),
        strata=int(run.labels.get(STRATA_LABEL) or 0),
    )


def record_results(
    flow_run: UUID, address: str, *, lost_strata: bool, deaths: int = 0, strata: int = 0
) -> None:
    """Put the address of a run's results where every client of the server finds it: its flow run's labels.

    deaths (received) and strata: for the service's figures.
    """
    labels: dict[str, bool | int | float | str] = {
        RESULTS_LABEL: address,
        LOST_STRATA_LABEL: lost_strata,
        DEATHS_LABEL: deaths,
        STRATA_LABEL: strata,
    }
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(flow_run, labels)


def submission_key(request: CalibrationRequest, content: str, attempt: int) -> str:
    """Idempotency key of a submission: request, content of its input (`tasks.service.content`), version, attempt."""
    fields = json.dumps(
        [request.model_dump(mode="json"), content, version("vacal")], sort_keys=True, ensure_ascii=False
    )
    return f"vacal-{hashlib.sha256(fields.encode()).hexdigest()[:32]}-{attempt}"


@contextmanager
def connect() -> Iterator[Server]:
    """The configured Prefect server. Raises ServiceError if it is not set, silent, or refuses."""
    if not PREFECT_API_URL.value():
        raise ServiceError(
            "no Prefect server is configured: set PREFECT_API_URL (http://127.0.0.1:4200/api after script/up)"
        )
    try:
        with get_client(sync_client=True) as client:
            yield Server(client)
    except PrefectHTTPStatusError as error:
        raise _refusal(error) from None
    except httpx.TransportError as error:
        url = str(PREFECT_API_URL.value())
        raise ServiceError(f"the Prefect server {url} does not answer ({type(error).__name__})") from None


def _refusal(error: PrefectHTTPStatusError) -> InputError | ServiceError:
    """The server's refusal in its own words; wrong parameters (409) are the user's to mend."""
    response = error.response
    try:
        detail = str(response.json().get("detail") or response.text)
    except ValueError:
        detail = response.text
    if response.status_code == httpx.codes.CONFLICT:
        return InputError(detail.removeprefix("Error creating flow run: "))
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return ServiceError("the Prefect server wants a user and password: set PREFECT_API_AUTH_STRING")
    return ServiceError(f"the Prefect server refused ({response.status_code}): {detail[:500]}")


class Server:
    """What this project asks of a Prefect server."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self.client = client

    def submit(
        self,
        request: CalibrationRequest,
        content: str,
        *,
        tags: Iterable[str] = (),
        urgent: bool = False,
        again: bool = False,
    ) -> tuple[RunStatus, bool]:
        """Hand a request in; the run, and whether it is a new one.

        `again` starts a new run whatever there was, which computes even what is stored. Raises ServiceError
        where the deployment is missing, InputError where the server refuses the parameters.
        """
        try:
            deployment = self.client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            raise ServiceError(f"the server has no deployment {DEPLOYMENT}: run script/deploy") from None
        for attempt in range(1, 1000):
            body = {
                "parameters": {"request": request.model_dump(mode="json"), "recompute": again},
                "name": request.name,
                "tags": sorted(tags),
                "idempotency_key": None if again else submission_key(request, content, attempt),
                "work_queue_name": URGENT_QUEUE if urgent else None,
            }
            # Not the client's method of this name: it hides whether the run is new (201) or was there (200).
            response = self.client.request(
                "POST", "/deployments/{id}/create_flow_run", path_params={"id": deployment.id}, json=body
            )
            status = describe(FlowRun.model_validate(response.json()), {})
            if not status.may_be_submitted_again:
                return status, response.status_code == httpx.codes.CREATED
        raise StateError(f"{request.name}: a thousand runs of this request have failed; see their messages")

    def status(self, run: str) -> RunStatus:
        """The run with this ID, or the newest one with this name. Raises ServiceError if there is none."""
        found = self._find(run)
        return describe(found, self.progress(found.id))

    def runs(
        self,
        *,
        name: str | None = None,
        tags: Iterable[str] = (),
        since: datetime | None = None,
        upkeep: bool = False,
    ) -> Iterator[RunStatus]:
        """This project's runs, newest first, without their progress.

        Without `upkeep` only calibrations, and none whose time has not come.
        """
        wanted: dict[str, Any] = {"tags": {"all_": [TAG, *tags]}}
        if name:
            wanted["name"] = {"like_": name}
        due: dict[str, datetime] = {}
        if since:
            due["after_"] = since
        if not upkeep:
            due["before_"] = datetime.now(UTC)
        if due:
            wanted["expected_start_time"] = due
        found = (run for run in self._runs(wanted) if upkeep or "request" in run.parameters)
        return (describe(run, {}) for run in found)

    def cancel(self, run: str) -> RunStatus:
        """End a run: at once if it waits, in seconds if it computes. Raises StateError if it has ended."""
        status = self.status(run)
        if status.has_ended:
            raise StateError(f"{status.name} cannot be cancelled: it is {status.status}")
        state: State[None] = Cancelling(message="cancelled by a user")
        result = self.client.set_flow_run_state(status.id, state)
        if result.state is None:
            reason = getattr(result.details, "reason", None) or "the server refused"
            raise StateError(f"{status.name} cannot be cancelled: {reason}")
        return self.status(str(status.id))

    def results(self, run: str) -> str:
        """Address of a run's results. Raises StateError while there are none, saying why."""
        status = self.status(run)
        if status.results is None:
            why = f": {status.message}" if status.message else ""
            raise StateError(f"{status.name} has no results, it is {status.status}{why}")
        return status.results

    def progress(self, run: UUID) -> dict[str, float]:
        """Progress of a run, 0-100, by what its progress artifacts are named for (algorithms)."""
        artifacts = self.client.read_artifacts(
            artifact_filter=ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=[run]), type=ArtifactFilterType(any_=["progress"])
            )
        )
        named = {algorithm_of(a.key or "progress"): float(str(a.data or 0)) for a in artifacts}
        return dict(sorted(named.items()))

    def _find(self, run: str) -> FlowRun:
        try:
            return self.client.read_flow_run(UUID(run))
        except ValueError:
            newest = next(self._named(run), None)
        except ObjectNotFound:
            newest = None
        if newest is None:
            raise ServiceError(f"no run {run!r} on the server; `vacal list` shows those that are there")
        return newest

    def _named(self, name: str) -> Iterator[FlowRun]:
        """Runs of this name, which is the run's own or, as digits are added to that, its request's."""
        for run in self._runs({"name": {"like_": name}, "tags": {"all_": [TAG]}}):
            request = run.parameters.get("request")
            if name in (run.name, request.get("name") if isinstance(request, dict) else None):
                yield run

    def _runs(self, wanted: Mapping[str, Any]) -> Iterator[FlowRun]:
        offset = 0
        while True:
            page = self.client.read_flow_runs(
                flow_run_filter=FlowRunFilter.model_validate(wanted),
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=PAGE,
                offset=offset,
            )
            yield from page
            if len(page) < PAGE:
                return
            offset += PAGE
