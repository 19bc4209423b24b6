"""A whole installation as `script/up --production` starts it, used by a client that knows nothing of it.

Server, PostgreSQL, worker, S3 store: all real. One installation for all tests of this folder (conftest.py).
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import yaml
from support import ALL_MAY_BE_PUBLISHED, ROOT
from support.installation import Installation, until

REQUEST: dict[str, Any] = {
    "name": "moz-neonates",
    "input": {
        "counts": {
            "eava": {
                "pneumonia": 40,
                "sepsis_meningitis_inf": 60,
                "ipre": 150,
                "prematurity": 120,
                "other": 12,
            },
            "insilicova": {"pneumonia": 50, "sepsis_meningitis_inf": 70, "ipre": 140, "prematurity": 130},
        }
    },
    "age_group": "neonate",
    "country": "Mozambique",
    "algorithms": ["eava", "insilicova"],
    "matrix": {"source": "illustrative"},
    "verdict_rules": ALL_MAY_BE_PUBLISHED,
    "effective_draws": 400,
    "output": "s3://vacal/store",
}
LONG = REQUEST | {  # minutes: it is never let come to its end
    "name": "long-one",
    "input": {"uri": "s3://vacal/inbox/long.csv", "layout": "counts"},
    "columns": {"strata": ["district"]},
    "draws": 1_000_000,
    "effective_draws": 1_000_000,
}


@pytest.fixture(scope="module")
def finished(installation: Installation) -> dict[str, Any]:
    """A run that a plain client created, at its end."""
    created = installation.create({"request": REQUEST}, name="moz-neonates", idempotency_key="mine")
    assert created.status_code == 201, created.text
    return installation.ended(created.json()["id"])


class TestInstallation:
    def test_it_says_that_it_is_ready(self, installation: Installation) -> None:
        done = installation.vacal("ready")
        assert (done.returncode, done.stdout) == (0, "ready\n")

    def test_a_client_without_the_password_is_refused(self, installation: Installation) -> None:
        assert httpx.post(installation.env["PREFECT_API_URL"] + "/flow_runs/count").status_code == 401

    def test_queues_have_their_priorities(self, installation: Installation) -> None:
        queues = installation.api.post("work_pools/vacal/queues/filter", json={}).json()
        order = sorted(queues, key=lambda queue: queue["priority"])
        names = [queue["name"] for queue in order if queue["name"] != "default"]
        assert names == ["urgent", "requests", "schedule", "upkeep"]

    def test_schedules_make_runs(self, installation: Installation) -> None:
        wanted = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}, "flows": {"name": {"any_": []}}}
        for name in ("calibrate-national", "refresh-inventory", "maintenance"):
            wanted["flows"]["name"]["any_"] = [name]  # type: ignore[index]
            until(lambda: installation.api.post("flow_runs/filter", json=wanted).json())

    def test_deploying_again_changes_nothing(self, installation: Installation) -> None:
        before = installation.api.post("automations/filter", json={}).json()
        env = os.environ | installation.env
        subprocess.run(["script/deploy"], cwd=ROOT, env=env, check=True, capture_output=True)
        after = installation.api.post("automations/filter", json={}).json()
        assert [one["name"] for one in after] == [one["name"] for one in before]


class TestRefusedByTheApi:
    @pytest.mark.parametrize(
        ("change", "field", "reason"),
        [
            ({"deaths": {"a": 1}}, "'request'", "'deaths' was unexpected"),
            ({"input": {"dataset": "x"}}, "'request.input'", "'dataset' was unexpected"),
            ({"age_group": "adult"}, "'request.age_group'", "adult"),
            ({"seed": -1}, "'request.seed'", "-1 is less than the minimum of 0"),
            ({"matrix": {"type": "exact"}}, "'request.matrix.type'", "'exact' is not one of"),
            ({"name": "my run"}, "'request.name'", "does not match"),
        ],
    )
    def test_what_the_schema_knows_to_be_wrong_with_the_field_named(
        self, installation: Installation, change: dict[str, Any], field: str, reason: str
    ) -> None:
        answer = installation.create({"request": REQUEST | change})
        assert answer.status_code == 409
        assert field in answer.json()["detail"]
        assert reason in answer.json()["detail"]

    @pytest.mark.parametrize("missing", ["age_group", "country", "algorithms"])
    def test_what_is_never_guessed_and_not_given(self, installation: Installation, missing: str) -> None:
        answer = installation.create({"request": {k: v for k, v in REQUEST.items() if k != missing}})
        assert answer.status_code == 409
        assert f"{missing!r} is a required property" in answer.json()["detail"]

    def test_a_parameter_that_no_flow_knows(self, installation: Installation) -> None:
        answer = installation.create({"request": REQUEST, "dataset": "comsamoz"})
        assert answer.status_code == 409
        assert "'dataset' was unexpected" in answer.json()["detail"]


class TestAPlainHttpClient:
    def test_sees_the_run_complete_and_finds_the_results_in_the_store(
        self, installation: Installation, finished: dict[str, Any]
    ) -> None:
        assert finished["state"]["type"] == "COMPLETED", finished["state"]["message"]
        address = finished["labels"]["vacal.results"]
        assert finished["labels"]["vacal.lost_strata"] is False
        with installation.s3.open(f"{address}/manifest.json") as file:
            assert json.load(file)["status"] == "complete"
        with installation.s3.open(f"{address}/csmf.parquet") as file:
            rows = pq.read_table(file)
        assert set(rows["algorithm"].to_pylist()) == {"eava", "insilicova", "ensemble"}

    def test_gets_the_same_run_for_the_same_key(
        self, installation: Installation, finished: dict[str, Any]
    ) -> None:
        again = installation.create({"request": REQUEST}, idempotency_key="mine")
        assert (again.status_code, again.json()["id"]) == (200, finished["id"])

    def test_sees_a_name_that_people_recognise(self, finished: dict[str, Any]) -> None:
        assert finished["name"].startswith("moz-neonates")

    def test_reads_the_log_with_what_r_said(
        self, installation: Installation, finished: dict[str, Any]
    ) -> None:
        messages = [log["message"] for log in installation.logs(finished["id"])]
        assert any("1 stratum in 1 chunk" in message for message in messages)
        assert any("eava: importance, lambda" in message for message in messages)

    def test_reads_progress_table_and_summary(
        self, installation: Installation, finished: dict[str, Any]
    ) -> None:
        artifacts = installation.artifacts(finished["id"])
        progress = {key: one["data"] for key, one in artifacts.items() if one["type"] == "progress"}
        assert progress == {f"progress-{name}": 100.0 for name in ("eava", "insilicova", "ensemble")}
        assert artifacts["results"]["type"] == "table"
        assert artifacts["summary"]["type"] == "markdown"
        assert "illustrative" in artifacts["summary"]["data"].lower()


class TestTheDocumentedClients:
    """The programs of docs/api.md as they stand there, with this installation's addresses."""

    def block(self, installation: Installation, language: str) -> str:
        text = (ROOT / "docs" / "api.md").read_text()
        found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
        assert found
        user, password = installation.env["PREFECT_API_AUTH_STRING"].split(":")
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        installation.s3.pipe_file(
            "vacal/store/inbox/deaths.csv", b"ID,cause\n" + b"".join(b"%d,ipre\n" % n for n in range(30))
        )
        changes = {
            "http://127.0.0.1:4200/api": installation.env["PREFECT_API_URL"],
            "my-bucket/inbox": "vacal/store/inbox",  # below a place from which this installation reads
            "my-bucket/vacal": "vacal/store",
            "my-bucket": "vacal",
            "auth=None": f"auth=({user!r}, {password!r})",
            "const headers = {": f'const headers = {{ Authorization: "Basic {token}",',
            '"country": "Mozambique",': '"country": "Mozambique", "matrix": {"source": "illustrative"},',
            'country: "Mozambique",': 'country: "Mozambique", matrix: { source: "illustrative" },',
        }
        program = found[1]
        for old, new in changes.items():
            program = program.replace(old, new)
        return program

    def test_python_creates_a_run_and_waits_for_its_results(
        self, installation: Installation, tmp_path: Path
    ) -> None:
        program = tmp_path / "client.py"
        program.write_text(self.block(installation, "python"))
        done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, cwd=tmp_path)
        assert "results: s3://vacal/store/runs/my-district-" in done.stdout, done.stderr

    @pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
    def test_javascript_creates_a_run_and_waits_for_its_results(
        self, installation: Installation, tmp_path: Path
    ) -> None:
        program = tmp_path / "client.mjs"
        program.write_text(self.block(installation, "js"))
        done = subprocess.run(["node", str(program)], capture_output=True, text=True, cwd=tmp_path)
        assert "results: s3://vacal/store/runs/my-district-" in done.stdout, done.stderr


class TestBadInput:
    def test_fails_before_r_starts_with_the_words_of_vacal_check_and_raises_the_alarm(
        self, installation: Installation, tmp_path: Path
    ) -> None:
        wrong = REQUEST | {
            "name": "wrong",
            "input": {"counts": {"eava": {"iprre": 3}, "insilicova": {"ipre": 1}}},
        }
        run = installation.create({"request": wrong}).json()["id"]
        state = installation.ended(run)["state"]
        assert (state["type"], state["name"]) == ("FAILED", "BadInput")
        file = tmp_path / "wrong.yaml"
        file.write_text(yaml.safe_dump(wrong))
        checked = installation.vacal("check", str(file))
        assert checked.returncode == 2
        assert state["message"]
        assert all(problem in checked.stderr for problem in state["message"].splitlines())
        tasks = installation.api.post("task_runs/filter", json={"flow_runs": {"id": {"any_": [run]}}}).json()
        assert not [task for task in tasks if task["name"].startswith("neonate")]
        assert installation.alert("failed", run)["state"] == "BadInput"
        assert not [log for log in installation.logs(run) if "Traceback" in log["message"]]


def many_strata() -> bytes:
    """Counts of a hundred districts."""
    counts = REQUEST["input"]["counts"].items()
    rows = [
        f"{algorithm},{cause},{deaths},d{number}"
        for number in range(100)
        for algorithm, causes in counts
        for cause, deaths in causes.items()
    ]
    return "\n".join(["algorithm,cause,deaths,district", *rows]).encode()


class TestLateRun:
    def test_a_run_that_no_worker_starts_raises_the_alarm_and_is_cancelled_at_once(
        self, installation: Installation, tmp_path: Path
    ) -> None:
        file = tmp_path / "late.yaml"
        file.write_text(yaml.safe_dump(REQUEST | {"name": "late-one"}))
        queue = "work_pools/vacal/queues/urgent"
        installation.api.patch(queue, json={"is_paused": True}).raise_for_status()
        try:
            run = installation.vacal("submit", "--urgent", str(file)).stdout.split()[0]
            assert installation.alert("late", run)["run"] == "late-one"
            assert installation.vacal("cancel", run).stdout == "late-one: cancelled\n"
        finally:
            installation.api.patch(queue, json={"is_paused": False}).raise_for_status()


class TestLongRun:
    def test_raises_the_alarm_and_cancelled_leaves_no_r_and_a_clean_store_and_may_be_submitted_anew(
        self, installation: Installation, tmp_path: Path
    ) -> None:
        installation.s3.pipe_file("vacal/inbox/long.csv", many_strata())
        file = tmp_path / "long.yaml"
        file.write_text(yaml.safe_dump(LONG))
        run = installation.vacal("submit", str(file)).stdout.split()[0]
        twice = installation.vacal("submit", str(file)).stdout
        assert twice.startswith(run)
        assert "was submitted before" in twice
        until(installation.r_processes, lives=lambda: not installation.has_ended(run))
        assert installation.alert("stuck", run)["state"] == "Running"
        body = {"state": {"type": "CANCELLING"}}
        assert installation.api.post(f"flow_runs/{run}/set_state", json=body).json()["status"] == "ACCEPT"
        until(lambda: not installation.r_processes())
        assert installation.ended(run)["state"]["type"] == "CANCELLED"
        found = [path for path in installation.s3.find("vacal/store") if "long-one" in path]
        assert [path for path in found if "/work/" not in path] == []
        anew = installation.vacal("submit", str(file)).stdout.split()[0]
        assert anew != run
        assert installation.vacal("cancel", anew).returncode == 0
        assert installation.ended(anew)["state"]["type"] == "CANCELLED"

    def test_a_run_that_has_ended_cannot_be_cancelled(
        self, installation: Installation, finished: dict[str, Any]
    ) -> None:
        done = installation.vacal("cancel", finished["id"])
        assert done.returncode == 1
        assert "cannot be cancelled: it is complete" in done.stderr


class TestTheCommandLine:
    def test_a_late_joiner_sees_every_line_of_the_log(
        self, installation: Installation, finished: dict[str, Any]
    ) -> None:
        done = installation.vacal("follow", finished["id"])
        assert done.returncode == 0
        for log in installation.logs(finished["id"]):
            assert log["message"].splitlines()[0] in done.stdout
        assert "progress eava 100%" in done.stdout

    def test_results_by_name_status_and_list(
        self, installation: Installation, finished: dict[str, Any]
    ) -> None:
        uri = installation.vacal("results", "--uri", "moz-neonates").stdout.strip()
        assert uri.startswith("s3://vacal/store/runs/moz-neonates-")
        status = json.loads(installation.vacal("status", finished["id"], "--json").stdout)
        assert (status["status"], status["results"]) == ("complete", uri)
        listed = json.loads(
            installation.vacal("list", "--status", "complete", "--country", "Mozambique", "--json").stdout
        )
        assert finished["id"] in [run["id"] for run in listed]

    def test_a_batch_is_submitted_and_waited_for_by_its_name(
        self, installation: Installation, tmp_path: Path
    ) -> None:
        files = [tmp_path / f"{name}.yaml" for name in ("first", "second")]
        for seed, file in enumerate(files):
            file.write_text(yaml.safe_dump(REQUEST | {"name": file.stem, "seed": seed}))
        submitted = installation.vacal("submit", "--batch", "two", *map(str, files))
        assert submitted.stdout.count(" submitted\n") == 2
        done = installation.vacal("wait", "--batch", "two")
        assert (done.returncode, done.stdout.count(": complete:")) == (0, 2)

    def test_a_run_that_is_not_there_is_said(self, installation: Installation) -> None:
        done = installation.vacal("status", "nothing-of-this-name")
        assert (done.returncode, done.stderr) == (
            1,
            "error: no run 'nothing-of-this-name' on the server; `vacal list` shows those that are there\n",
        )


class TestScheduledRun:
    def test_calibrates_the_newest_input_unattended(self, installation: Installation) -> None:
        for name, deaths in (("2023-01.csv", 30), ("2023-02.csv", 60)):
            installation.s3.pipe_file(f"vacal/inbox/{name}", national_input(deaths).encode())
        national = installation.deployment("calibrate-national/calibrate-national")
        request = national["parameters"]["request"] | {
            "name": "scheduled",
            "matrix": {"source": "illustrative"},
            "verdict_rules": ALL_MAY_BE_PUBLISHED,
            "algorithms": ["eava", "insilicova"],
            "effective_draws": 400,
            "minimum_deaths": 1,
        }
        soon = {"interval": 60.0, "anchor_date": (datetime.now(UTC) + timedelta(seconds=15)).isoformat()}
        schedule = [{"schedule": soon, "active": True, "parameters": {"request": request}, "slug": "soon"}]
        path = f"deployments/{national['id']}/schedules"
        installation.api.post(path, json=schedule).raise_for_status()
        tagged = {"flow_runs": {"name": {"like_": "scheduled "}}}
        run = until(lambda: installation.api.post("flow_runs/filter", json=tagged).json())[0]
        ended = installation.ended(run["id"])
        for there in installation.api.get(path).json():
            if there["slug"] == "soon":
                installation.api.delete(f"{path}/{there['id']}").raise_for_status()
        assert ended["state"]["type"] == "COMPLETED", ended["state"]["message"]
        assert ended["auto_scheduled"]
        assert any("2023-02.csv" in log["message"] for log in installation.logs(run["id"]))
        address = ended["labels"]["vacal.results"]
        with installation.s3.open(f"{address}/records.parquet") as file:
            assert sum(pq.read_table(file)["records"].to_pylist()) == 60

    def test_maintenance_runs(self, installation: Installation) -> None:
        maintenance = installation.deployment("maintenance/maintenance")["id"]
        run = installation.api.post(f"deployments/{maintenance}/create_flow_run", json={}).json()["id"]
        ended = installation.ended(run)
        assert ended["state"]["type"] == "COMPLETED", ended["state"]["message"]


def national_input(deaths: int) -> str:
    """Records of so many deaths over two provinces, with both algorithms taking turns."""
    lines = ["ID,algorithm,cause,age_group,province,year,sex"]
    causes = ("pneumonia", "ipre", "prematurity", "sepsis_meningitis_inf")
    for number in range(deaths):
        algorithm = ("eava", "insilicova")[number % 2]
        province = ("Nampula", "Sofala")[number // 2 % 2]
        lines.append(f"d{number},{algorithm},{causes[number % 4]},neonate,{province},2023,f")
    return "\n".join(lines) + "\n"
