"""Progress of a run as Prefect artifacts: one an algorithm, never backwards, at most every two seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from tasks.service import progress_key
from tasks.terms import amount

SECONDS_BETWEEN = 2.0
NEARLY = 99.0  # until the run is published


class Progress:
    """Strata done of each algorithm. Tasks report from their threads; in another process it is silent."""

    def __init__(self, strata: Mapping[str, int]) -> None:
        self._strata = strata
        self._done: dict[tuple[str, str], int] = {}
        self._artifacts: dict[str, UUID] = {}
        self._shown: dict[str, float] = {}
        self._lock, self._showing = threading.Lock(), threading.Lock()
        self._last = 0.0

    def __reduce__(self) -> tuple[type[Progress], tuple[Mapping[str, int]]]:
        return (Progress, (self._strata,))

    def start(self) -> None:
        """Make the artifacts; without this nothing is shown."""
        for algorithm in self._strata:
            artifact = create_progress_artifact(0.0, progress_key(algorithm), self._words(algorithm))
            self._artifacts[algorithm] = cast(UUID, artifact)

    def of(self, chunk: str) -> Callable[[int, str, int, int], None]:
        """What the engine calls while it works on that chunk; another try does not move it back."""

        def report(stratum: int, algorithm: str, _done: int, _total: int) -> None:
            self._count(chunk, algorithm, stratum + 1)

        return report

    def finish(self, chunk: str, strata: int) -> None:
        """The chunk's tables are in the store."""
        for algorithm in self._strata:
            self._count(chunk, algorithm, strata)

    def lose(self, chunk: str) -> None:
        """R never finished the chunk: none of its strata count until they are done in another one."""
        with self._lock:
            self._done = {key: done for key, done in self._done.items() if key[0] != chunk}

    def end(self) -> None:
        """The run is published."""
        for algorithm in self._artifacts:
            self._show(algorithm, 100.0)

    def _count(self, chunk: str, algorithm: str, strata: int) -> None:
        with self._lock:
            key = (chunk, algorithm)
            self._done[key] = max(self._done.get(key, 0), strata)
        # One thread shows, the others go on with their work.
        if time.monotonic() - self._last < SECONDS_BETWEEN or not self._showing.acquire(blocking=False):
            return
        try:
            for name in self._artifacts:
                self._show(name, min(NEARLY, 100.0 * self._sum(name) / max(1, self._strata[name])))
            self._last = time.monotonic()
        finally:
            self._showing.release()

    def _show(self, algorithm: str, percent: float) -> None:
        percent = float(int(percent))  # a call of Prefect's API for each point, not for each stratum
        if percent > self._shown.get(algorithm, 0.0):
            self._shown[algorithm] = percent
            update_progress_artifact(self._artifacts[algorithm], percent, self._words(algorithm))

    def _sum(self, algorithm: str) -> int:
        with self._lock:
            return sum(done for (_, name), done in self._done.items() if name == algorithm)

    def _words(self, algorithm: str) -> str:
        strata = self._strata[algorithm]
        return f"{algorithm}: {self._sum(algorithm)} of {amount(strata, 'stratum', 'strata')}"
