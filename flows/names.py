"""Names of flow runs that people recognise."""

from __future__ import annotations

from collections.abc import Callable

from prefect.runtime import flow_run


def dated(word: str) -> Callable[[], str]:
    """A flow run's name: the word, and the day and time (UTC) for which the run was planned."""

    def name() -> str:
        return f"{word} {flow_run.scheduled_start_time:%Y-%m-%d %H:%M}"

    return name
