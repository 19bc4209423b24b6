"""What prefect.yaml, the units and the container files say, as far as it can be told without running them."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from cronsim import CronSim
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import validate
from support import ROOT
from typer.testing import CliRunner

from flows.cli.main import app
from flows.deploy import QUEUES
from tasks.request.model import parse_request
from tasks.service.health import DEPLOYMENTS, POOL
from tasks.settings import Settings

LISTED: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
each = pytest.mark.parametrize("deployment", LISTED, ids=lambda listed: listed["name"])


def flow_of(deployment: dict[str, Any]) -> Flow[..., Any]:
    file, _, name = deployment["entrypoint"].partition(":")
    flow: Flow[..., Any] = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), name)
    return flow


def test_the_deployments_are_those_that_the_health_check_expects() -> None:
    assert tuple(deployment["name"] for deployment in LISTED) == DEPLOYMENTS


@each
def test_a_deployment_is_a_flow_in_a_known_queue_and_is_started_by_the_launcher(
    deployment: dict[str, Any],
) -> None:
    assert isinstance(flow_of(deployment), Flow)
    assert deployment["work_pool"]["name"] == POOL
    assert deployment["work_pool"]["work_queue_name"] in QUEUES
    assert "concurrency_limit" not in deployment  # it would lose the order of arrival: queues have limits
    assert deployment["work_pool"]["job_variables"] == {"command": "{{ launcher.command }}"}
    assert deployment["description"]
    assert "vacal" in deployment["tags"]
    assert deployment["enforce_parameter_schema"] is True


@each
def test_a_schedule_has_a_valid_cron_line_and_a_time_zone(deployment: dict[str, Any]) -> None:
    from datetime import UTC, datetime

    for schedule in deployment.get("schedules", []):
        zone = ZoneInfo(schedule["timezone"])
        assert next(CronSim(schedule["cron"], datetime(2026, 1, 1, tzinfo=UTC).astimezone(zone)))


@each
def test_the_parameters_in_the_file_are_those_that_the_server_accepts(deployment: dict[str, Any]) -> None:
    schema = parameter_schema(flow_of(deployment)).model_dump_for_openapi()
    parameters = deployment.get("parameters", {})
    validate(parameters, schema, raise_on_error=True, ignore_required=deployment["name"] == "calibrate")
    assert set(parameters) <= set(schema["properties"])


def test_the_national_request_is_valid_as_it_stands_in_the_file() -> None:
    national = next(deployment for deployment in LISTED if deployment["name"] == "calibrate-national")
    assert parse_request(national["parameters"]["request"]).ensemble_used


def test_requests_go_before_schedules_and_schedules_before_upkeep() -> None:
    assert QUEUES["urgent"] < QUEUES["requests"] < QUEUES["schedule"] < QUEUES["upkeep"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", ["vacal-server.service", "vacal-worker.service"])
def test_the_systemd_units_are_valid(unit: str, tmp_path: Path) -> None:
    text = (ROOT / "deployments" / "systemd" / unit).read_text()
    program = tmp_path / "prefect"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / unit
    copy.write_text(re.sub(r"/opt/vacal/.venv/bin/\w+", str(program), text))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_units_script_and_containers_use_the_same_settings_file() -> None:
    used = [*(ROOT / "deployments" / "systemd").glob("*.service"), ROOT / "script" / "up"]
    assert all("deployments/prefect.env" in file.read_text() for file in used)
    compose = yaml.safe_load((ROOT / "deployments" / "compose.yaml").read_text())
    ours = [service for service in compose["services"].values() if service["image"] == "vacal"]
    assert [service["env_file"] for service in ours] == ["prefect.env"] * 3


def test_telemetry_is_off_wherever_prefect_is_started() -> None:
    text = (ROOT / "deployments" / "prefect.env").read_text()
    assert "DO_NOT_TRACK=1" in text
    assert "PREFECT_SERVER_ANALYTICS_ENABLED=false" in text


def test_the_image_installs_the_debian_packages_that_bootstrap_asks_for() -> None:
    bootstrap = (ROOT / "script" / "bootstrap").read_text()
    asked = re.search(r"debian_packages\(\) \{\s+echo ((?:[^\n]*\\\n)*[^\n]*)", bootstrap)
    assert asked
    packages = set(asked[1].partition("#")[0].replace("\\\n", " ").split())
    assert packages <= set((ROOT / "deployments" / "Dockerfile").read_text().replace("\\\n", " ").split())


def test_compose_has_no_default_passwords() -> None:
    text = (ROOT / "deployments" / "compose.yaml").read_text()
    for name in ("PASSWORD", "DATABASE_PASSWORD", "S3_KEY", "S3_SECRET"):
        assert set(re.findall(rf"\$\{{{name}([^}}]*)\}}", text)) == {f":?set {name}"}


def test_every_setting_is_explained_to_operators() -> None:
    text = (ROOT / "docs" / "operate.md").read_text()
    for name, field in Settings.model_fields.items():
        assert f"| `VACAL_{name.upper()}` |" in text
        assert field.description
        assert field.description in text


def test_every_deployment_is_explained_to_operators() -> None:
    text = (ROOT / "docs" / "operate.md").read_text()
    for deployment in LISTED:
        queue = deployment["work_pool"]["work_queue_name"]
        row = next(line for line in text.splitlines() if line.startswith(f"| {deployment['name']} |"))
        priority, at_a_time = QUEUES[queue]
        assert f"{queue} ({priority})" in row
        assert row.split("|")[4].split(",")[0].strip() == str(at_a_time)


def test_what_replaced_the_old_service_is_there_and_tested() -> None:
    text = (ROOT / "docs" / "migration.md").read_text()
    listed = CliRunner().invoke(app, ["--help"]).output
    commands = set(re.findall(r"`vacal ([a-z]+)", text))
    assert len(commands) > 15
    assert [command for command in commands if not re.search(rf"^\W*{command}\b", listed, re.MULTILINE)] == []
    named = re.findall(r"`(tests/[\w/]+\.py)`", text)
    assert named
    assert all((ROOT / file).is_file() for file in named)
