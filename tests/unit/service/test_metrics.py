"""The service's figures, as Prometheus reads them from a real server."""

from __future__ import annotations

import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Completed, Failed, Running, Scheduled, State
from prometheus_client.parser import text_string_to_metric_families

from tasks.service.client import DEATHS_LABEL, RESULTS_LABEL, STRATA_LABEL
from tasks.service.metrics import metrics_text, serve_metrics

pytestmark = pytest.mark.usefixtures("prefect_server")


@flow(name="calibrate")
def calibrate(request: Any = None) -> None: ...


@flow(name="calibrate-national")
def national(request: Any = None) -> None: ...


def made(of: Any, *states: State[Any], **labels: str | int) -> None:
    """A flow run that went through these states, with labels."""
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(
            of, parameters={"request": {"name": "x"}}, tags=["vacal"], state=states[0]
        )
        for state in states[1:]:
            client.set_flow_run_state(run.id, state, force=True)
        if labels:
            client.update_flow_run_labels(run.id, dict(labels))


def read(text: str) -> dict[str, float]:
    """Figures by name, with their label where they have one."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_figures_are_those_of_the_runs_on_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VACAL_INBOX", raising=False)
    before = read(metrics_text())
    assert before["vacal_up"] == 1
    done = {RESULTS_LABEL: "s3://b/runs/x-1", DEATHS_LABEL: 1200, STRATA_LABEL: 64}
    made(calibrate, Running(), Completed(), **done)
    made(calibrate, Running(), Failed(name="NothingUsable"), **done | {DEATHS_LABEL: 30, STRATA_LABEL: 2})
    made(calibrate, Running(), Failed(name="BadInput"))
    made(calibrate, Running())
    made(calibrate, Scheduled(scheduled_time=datetime.now(UTC) - timedelta(seconds=5)))
    made(
        calibrate, Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=3))
    )  # not due: it waits for its time
    made(national, Running(), Completed(), **done | {DEATHS_LABEL: 100, STRATA_LABEL: 4})
    after = read(metrics_text())
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["vacal_deaths"] == 1330
    assert grown["vacal_strata"] == 70
    assert grown["vacal_seconds"] >= 0
    assert grown["vacal_failures"] == 1
    assert grown["vacal_waiting_runs"] == 1
    assert grown["vacal_running_runs"] == 1
    ended = {name.split(" ", 1)[1]: n for name, n in grown.items() if name.startswith("vacal_runs_ended ")}
    assert ended == {"complete": 2, "nothing usable": 1, "refused": 1}
    assert 0 <= after["vacal_last_national_run_age_seconds"] < 3600


def test_they_are_served_over_http() -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve_metrics(port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert read(answer.read().decode())["vacal_up"] == 1


def test_a_server_that_is_down_is_a_figure_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.delenv("VACAL_INBOX", raising=False)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert read(metrics_text()) == {"vacal_up": 0}
