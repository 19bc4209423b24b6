"""Figures of a service for Prometheus, beside those of Prefect's server: what was computed, waits, failed.

Each scrape asks the server anew, by its API; nothing is counted in this process, so that it may be restarted.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import start_http_server
from prometheus_client.registry import Collector

from tasks.errors import VacalError
from tasks.service.client import RunStatus, Server, connect
from tasks.service.retention import unread_inputs
from tasks.settings import settings

DAY = timedelta(days=1)
NATIONAL = "calibrate-national"
WAITING = ("scheduled", "late", "waiting for its turn", "waiting to go on", "starting")
FAILURES = ("failed", "refused", "timed out", "crashed")


class _Figures(Collector):
    """The figures of the configured server, asked for at each scrape; `vacal_up` is 0 where it does not answer."""

    def collect(self) -> Iterator[Metric]:
        try:
            with connect() as server:
                found = list(figures(server, datetime.now(UTC)))
        except VacalError:
            found = []
        yield GaugeMetricFamily("vacal_up", "Whether the Prefect server answers.", value=float(bool(found)))
        yield from found
        yield from _inbox()


def figures(server: Server, now: datetime) -> Iterator[Metric]:
    """What waits and runs now, what ended within a day, and when the last national run did."""
    runs = list(server.runs(since=now - DAY))
    ended = [run for run in runs if run.has_ended and run.ended]
    yield _one("vacal_waiting_runs", "Runs that are due and have not begun.", _count(runs, WAITING))
    yield _one("vacal_running_runs", "Runs that compute.", _count(runs, ("running", "cancelling")))
    by_status = GaugeMetricFamily(
        "vacal_runs_ended", "Runs of the last 24 hours by how they ended.", labels=["status"]
    )
    for status, number in sorted(Counter(run.status for run in ended).items()):
        by_status.add_metric([status], number)
    yield by_status
    yield _one("vacal_failures", "Runs of the last 24 hours without results.", _count(ended, FAILURES))
    with_results = [run for run in ended if run.results]
    of_runs = "of the runs of the last 24 hours that have results."
    yield _one("vacal_deaths", f"Deaths received {of_runs}", sum(run.deaths for run in with_results))
    yield _one("vacal_strata", f"Strata {of_runs}", sum(run.strata for run in with_results))
    yield _one("vacal_seconds", f"Seconds {of_runs}", sum(map(_seconds, with_results)))
    age = _age_of_last_national(server, now)
    if age is not None:
        what = "Seconds since the last national run ended complete."
        yield _one("vacal_last_national_run_age_seconds", what, age)


def metrics_text() -> str:
    """All figures in Prometheus' text format."""
    return generate_latest(_registry()).decode()


def serve_metrics(port: int, address: str = "127.0.0.1") -> None:
    """Serve the figures over HTTP at /metrics, from threads of this process, until it ends."""
    start_http_server(port, address, registry=_registry())


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures())
    return registry


def _age_of_last_national(server: Server, now: datetime) -> float | None:
    """Seconds; None where no national run has ended complete, as far as the server remembers."""
    wanted = {
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
        "flows": {"name": {"any_": [NATIONAL]}},
        "sort": "END_TIME_DESC",
        "limit": 1,
    }
    found = server.client.request("POST", "/flow_runs/filter", json=wanted).json()
    if not found:
        return None
    return (now - datetime.fromisoformat(found[0]["end_time"])).total_seconds()


def _inbox() -> Iterator[Metric]:
    if uri := os.environ.get("VACAL_INBOX"):
        try:
            number = len(unread_inputs(uri, settings().store))
        except VacalError:
            return
        yield _one("vacal_inbox_unread_files", "Files of the inbox that are in no run.", number)


def _one(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=float(value))


def _count(runs: list[RunStatus], statuses: tuple[str, ...]) -> int:
    return sum(run.status in statuses for run in runs)


def _seconds(run: RunStatus) -> float:
    return (run.ended - run.started).total_seconds() if run.ended and run.started else 0.0
