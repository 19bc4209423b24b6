"""A run's log and progress as they happen, and for a late joiner from the start.

Lines are asked for by time. They reach the server in batches from several processes, so a line may come after
a later one: each time the last seconds are asked for again, lines known by their ID are skipped, and when the
run has ended the whole log is gone through once more. So no line is lost and none comes twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from prefect.client.schemas.filters import (
    LogFilter,
    LogFilterFlowRunId,
    LogFilterTimestamp,
    TaskRunFilter,
    TaskRunFilterId,
)
from prefect.client.schemas.sorting import LogSort

from tasks.service.client import PAGE, Server

OVERLAP = timedelta(seconds=10)
POLL_SECONDS = 0.5
LAST_BATCH_SECONDS = 2.0  # a process sends its last lines at most this long after its end


@dataclass(frozen=True)
class Line:
    """One line of a run's log; `time` is UTC, `task` the name of the task that said it, if one did."""

    id: UUID
    time: datetime
    level: str
    text: str
    task: str = ""


@dataclass(frozen=True)
class AlgorithmProgress:
    """Progress of an algorithm, 0-100."""

    algorithm: str
    percent: float


class Source(Protocol):
    """Where a run's log and progress are read."""

    def lines(self, after: datetime | None, offset: int) -> list[Line]:
        """At most `PAGE` lines from the given time on, in the order of time, without the first `offset`."""

    def progress(self) -> dict[str, float]:
        """Progress by algorithm."""

    def has_ended(self) -> bool:
        """Whether the run is over."""


@dataclass
class _Reader:
    source: Source
    newest: datetime | None = None
    seen: set[UUID] = field(default_factory=set)
    shown: dict[str, float] = field(default_factory=dict)

    def new_lines(self, after: datetime | None) -> Iterator[Line]:
        offset = 0
        while page := self.source.lines(after, offset):
            for line in page:
                if line.id not in self.seen:
                    self.seen.add(line.id)
                    self.newest = line.time if self.newest is None else max(self.newest, line.time)
                    yield line
            if len(page) < PAGE:
                return
            offset += len(page)

    def new_progress(self) -> Iterator[AlgorithmProgress]:
        for algorithm, percent in self.source.progress().items():
            if percent > self.shown.get(algorithm, -1.0):
                self.shown[algorithm] = percent
                yield AlgorithmProgress(algorithm, percent)


def follow(source: Source, pause: Callable[[float], None] = time.sleep) -> Iterator[Line | AlgorithmProgress]:
    """Everything that the run says, from its start to its end; progress never goes backwards."""
    reader = _Reader(source)
    while True:
        ended = source.has_ended()
        yield from reader.new_lines(reader.newest and reader.newest - OVERLAP)
        yield from reader.new_progress()
        if ended:
            break
        pause(POLL_SECONDS)
    pause(LAST_BATCH_SECONDS)
    yield from reader.new_lines(None)
    yield from reader.new_progress()


class ServerSource:
    """A run on a Prefect server as a Source."""

    def __init__(self, server: Server, run: UUID) -> None:
        self.server = server
        self.run = run
        self._tasks: dict[UUID, str] = {}

    def lines(self, after: datetime | None, offset: int) -> list[Line]:
        """See Source."""
        wanted = LogFilter(
            flow_run_id=LogFilterFlowRunId(any_=[self.run]),
            timestamp=None if after is None else LogFilterTimestamp.model_validate({"after_": after}),
        )
        logs = self.server.client.read_logs(
            log_filter=wanted, limit=PAGE, offset=offset, sort=LogSort.TIMESTAMP_ASC
        )
        self._learn_names({log.task_run_id for log in logs if log.task_run_id} - self._tasks.keys())
        return [
            Line(
                log.id,
                log.timestamp,
                logging.getLevelName(log.level),
                log.message,
                self._tasks.get(log.task_run_id, "") if log.task_run_id else "",
            )
            for log in logs
        ]

    def _learn_names(self, tasks: Collection[UUID]) -> None:
        """The names of these task runs, as far as the server knows them yet."""
        if tasks:
            wanted = TaskRunFilter(id=TaskRunFilterId(any_=list(tasks)))
            found = self.server.client.read_task_runs(task_run_filter=wanted, limit=PAGE)
            self._tasks |= {task.id: task.name for task in found}

    def progress(self) -> dict[str, float]:
        """See Source."""
        return self.server.progress(self.run)

    def has_ended(self) -> bool:
        """See Source."""
        return self.server.status(str(self.run)).has_ended
