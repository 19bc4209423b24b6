"""Runs on a server, as far as it can be told without one."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args, get_type_hints
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.schemas.objects import FlowRun
from prefect.server.utilities.user_templates import render_user_template
from prefect.states import (
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Late,
    Pending,
    Running,
    Scheduled,
    State,
)
from pydantic import BaseModel
from support import ROOT

from tasks.errors import InputError
from tasks.request.model import CalibrationRequest, parse_request
from tasks.request.values import Uri
from tasks.service import automations
from tasks.service.artifacts import algorithm_of, progress_key
from tasks.service.automations import GIVEN_UP, GOES_ON
from tasks.service.client import (
    ENDED,
    LOST_STRATA_LABEL,
    NEWER_INVENTORY,
    PAGE,
    RESULTS_LABEL,
    WITHOUT_REPORT,
    describe,
    status_word,
    submission_key,
)
from tasks.service.content import absolute, changed_at, input_content
from tasks.service.doctor import examine
from tasks.service.follow import OVERLAP, AlgorithmProgress, Line, follow
from tasks.service.retention import (
    StoredRun,
    expired_runs,
    remove_expired_inputs,
    remove_expired_runs,
    with_newest_input,
)

COUNTS = {"eava": {"pneumonia": 5, "ipre": 7, "prematurity": 3}}
NOW = datetime(2026, 3, 1, tzinfo=UTC)
DONE: dict[str, str | bool] = {RESULTS_LABEL: "s3://b/a b/runs/moz-1", LOST_STRATA_LABEL: False}


def request(**fields: object) -> CalibrationRequest:
    return parse_request(
        {
            "name": "moz",
            "input": {"counts": COUNTS},
            "age_group": "neonate",
            "country": "Mozambique",
            "algorithms": ["eava"],
            "matrix": {"source": "illustrative"},
        }
        | fields
    )


def deaths(path: Path, text: str = "ID,cause\n1,pneumonia\n") -> Path:
    path.write_text(text)
    return path


class TestStatus:
    @pytest.mark.parametrize(
        ("state", "word"),
        [
            (Scheduled(), "scheduled"),
            (Late(), "waiting for its turn"),
            (Pending(), "starting"),
            (Running(), "running"),
            (Cancelling(), "cancelling"),
            (Cancelled(), "cancelled"),
            (Completed(), "complete"),
            (Failed(), "failed"),
            (Failed(name="BadInput"), "refused"),
            (Failed(name="TimedOut"), "timed out"),
            (Failed(name="CompletedWithFailures"), "complete with failures"),
            (Crashed(), "crashed"),
            (Scheduled(name="Resuming"), "waiting to go on"),
        ],
    )
    def test_every_state_has_a_word_of_its_own(self, state: State[None], word: str) -> None:
        assert status_word(state) == word

    def test_the_final_states_are_those_that_prefect_calls_final_save_that_a_crashed_run_goes_on(
        self,
    ) -> None:
        for state in (
            Completed(),
            Failed(),
            Crashed(),
            Cancelled(),
            Running(),
            Pending(),
            Scheduled(),
            Cancelling(),
        ):
            assert (status_word(state) in ENDED) == (state.is_final() and not state.is_crashed())

    def test_results_are_the_address_in_the_labels_whatever_the_message(self) -> None:
        state: State[None] = Completed(message="x; results: elsewhere")
        assert describe(flow_run(state, DONE), {}).results == "s3://b/a b/runs/moz-1"
        assert describe(flow_run(state), {}).results is None

    @pytest.mark.parametrize("state", [Failed(), Crashed(), Cancelled(), Running()])
    def test_a_run_that_is_not_complete_has_no_results_whatever_it_recorded(self, state: State[None]) -> None:
        assert describe(flow_run(state, DONE), {}).results is None

    @pytest.mark.parametrize(
        ("state", "labels", "again"),
        [
            (Running(), {}, False),
            (Completed(), DONE, False),
            (Completed(), {}, True),
            (Failed(name="CompletedWithFailures"), DONE, False),
            (Failed(name="CompletedWithFailures"), DONE | {LOST_STRATA_LABEL: True}, True),
            (Failed(), {}, True),
            (Failed(name="BadInput"), {}, True),
            (Cancelled(), DONE, True),
            (Crashed(), DONE, False),
        ],
    )
    def test_a_request_is_run_again_where_that_may_help(
        self, state: State[None], labels: dict[str, str | bool], again: bool
    ) -> None:
        assert describe(flow_run(state, labels), {}).may_be_submitted_again is again


def flow_run(state: State[None], labels: dict[str, str | bool] | None = None) -> FlowRun:
    return FlowRun(
        flow_id=uuid4(),
        name="moz",
        state=state,
        parameters={"request": {"name": "moz"}},
        labels=dict(labels or {}),
    )


class TestSubmissionKey:
    def test_the_same_request_and_content_have_the_same_key(self) -> None:
        assert submission_key(request(), "abc", 1) == submission_key(request(), "abc", 1)

    @pytest.mark.parametrize(
        "other", [(request(seed=2), "abc", 1), (request(), "abd", 1), (request(), "abc", 2)]
    )
    def test_another_option_content_or_attempt_has_another_key(
        self, other: tuple[CalibrationRequest, str, int]
    ) -> None:
        assert submission_key(*other) != submission_key(request(), "abc", 1)


class TestContent:
    def test_changed_bytes_of_a_file_are_noticed_and_a_new_date_is_not(self, tmp_path: Path) -> None:
        file = deaths(tmp_path / "a.csv")
        asked = request(input={"uri": str(file)})
        before = input_content(asked)
        file.touch()
        assert input_content(asked) == before
        deaths(file, "ID,cause\n1,ipre\n")
        assert input_content(asked) != before

    def test_a_new_file_that_fits_the_pattern_is_noticed(self, tmp_path: Path) -> None:
        deaths(tmp_path / "a.csv")
        asked = request(input={"uri": str(tmp_path / "*.csv")})
        before = input_content(asked)
        deaths(tmp_path / "b.csv")
        assert input_content(asked) != before

    def test_the_users_own_matrices_and_weights_count_as_content(self, tmp_path: Path) -> None:
        weights = deaths(tmp_path / "w.csv", "province,deaths\nA,1\n")
        asked = request(
            input={"uri": str(deaths(tmp_path / "a.csv"))},
            columns={"strata": ["province"]},
            roll_ups=[[]],
            roll_up_weights=str(weights),
        )
        before = input_content(asked)
        deaths(weights, "province,deaths\nA,2\n")
        assert input_content(asked) != before

    def test_the_boundaries_of_the_map_count_as_content(self, tmp_path: Path) -> None:
        asked = request(boundaries=str(deaths(tmp_path / "map.geojson", "{}")))
        before = input_content(asked)
        deaths(tmp_path / "map.geojson", '{"type": "FeatureCollection"}')
        assert input_content(asked) != before

    def test_input_that_is_not_there_is_refused_before_submission(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="there is no such file"):
            input_content(request(input={"uri": str(tmp_path / "a.csv")}))

    def test_local_addresses_become_absolute_and_others_stay(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        asked = absolute(request(input={"uri": {"eava": ["a.csv", "s3://b/c.csv"]}}, output="out"))
        assert asked.input.uri == {"eava": (f"{tmp_path}/a.csv", "s3://b/c.csv")}
        assert asked.output == f"{tmp_path}/out"
        assert asked.matrix.source == "illustrative"

    def test_no_address_that_a_worker_reads_stays_relative(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        everything = dict.fromkeys(addresses_of(CalibrationRequest), "x.file") | {
            "input": {"uri": ["a.csv", "b.csv"]},
            "matrix": {"source": "champs-2025.csv"},
            "columns": {"strata": ["province"]},
            "roll_ups": [[]],
        }
        asked = absolute(request(**everything))
        assert {"boundaries", "roll_up_weights", "output"} <= everything.keys()
        assert asked.input.uri == (f"{tmp_path}/a.csv", f"{tmp_path}/b.csv")
        assert asked.matrix.source == f"{tmp_path}/champs-2025.csv"
        assert {getattr(asked, field) for field in addresses_of(CalibrationRequest)} == {f"{tmp_path}/x.file"}


def addresses_of(model: type[BaseModel]) -> list[str]:
    """The fields of a model that hold one address."""
    hints = get_type_hints(model, include_extras=True)
    return [name for name, hint in hints.items() if Uri in (hint, *get_args(hint))]


class FakeSource:
    """A run whose lines reach the server out of order: each poll finds those that have arrived by then."""

    def __init__(self, arrivals: list[tuple[int, Line]]) -> None:
        self.arrivals = arrivals
        self.polls = 0
        self.last = max((poll for poll, _ in arrivals), default=0)

    def has_ended(self) -> bool:
        self.polls += 1
        return self.polls > self.last

    def lines(self, after: datetime | None, offset: int) -> list[Line]:
        there = (line for poll, line in self.arrivals if poll <= self.polls)
        wanted = sorted(
            (line for line in there if after is None or line.time >= after), key=lambda line: line.time
        )
        return wanted[offset : offset + PAGE]

    def progress(self) -> dict[str, float]:
        return {"eava": [10.0, 50.0, 40.0, 100.0][min(self.polls, 4) - 1]}


def line(second: float) -> Line:
    return Line(uuid4(), NOW + timedelta(seconds=second), "INFO", f"at {second}")


def everything(source: FakeSource) -> Iterator[Line | AlgorithmProgress]:
    return follow(source, pause=lambda _: None)


class TestFollow:
    @given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 60)), max_size=40))
    def test_every_line_comes_once_however_late_it_arrives(self, arrivals: list[tuple[int, int]]) -> None:
        source = FakeSource([(poll, line(second)) for poll, second in arrivals])
        shown = [event.id for event in everything(source) if isinstance(event, Line)]
        assert sorted(shown) == sorted(line.id for _, line in source.arrivals)

    def test_a_late_joiner_gets_the_lines_in_their_order_over_many_pages(self) -> None:
        source = FakeSource([(0, line(second)) for second in range(3 * PAGE + 1)])
        shown = [event for event in everything(source) if isinstance(event, Line)]
        assert shown == [line for _, line in source.arrivals]

    def test_a_line_that_is_overtaken_by_another_is_shown_while_the_run_goes_on(self) -> None:
        overtaken = line(OVERLAP.total_seconds() - 1)
        source = FakeSource([(1, line(OVERLAP.total_seconds())), (2, overtaken), (9, line(60))])
        for event in everything(source):
            if event == overtaken:
                break
        assert source.polls == 2

    def test_progress_never_goes_backwards(self) -> None:
        source = FakeSource([(5, line(1))])
        shown = [event.percent for event in everything(source) if isinstance(event, AlgorithmProgress)]
        assert shown == [10.0, 50.0, 100.0]


class TestProgressKeys:
    @given(st.sets(st.text(min_size=1), max_size=5))
    def test_every_algorithm_has_a_key_of_its_own_that_gives_its_name_back(self, names: set[str]) -> None:
        keys = [progress_key(name) for name in names]
        assert len(set(keys)) == len(names)
        assert all(re.fullmatch("[a-z0-9-]+", key) for key in keys)
        assert {algorithm_of(key) for key in keys} == names

    def test_names_that_differ_in_a_sign_only_do_not_share_a_key(self) -> None:
        assert progress_key("eava") == "progress-eava"
        assert progress_key("my_coder") == "progress-my-5f-coder"
        assert progress_key("my-coder") == "progress-my--coder"

    @pytest.mark.parametrize("key", ["progress-my-coder", "progress", "progress--ffffffff-"])
    def test_a_key_that_was_made_otherwise_is_still_a_name(self, key: str) -> None:
        assert algorithm_of(key) == key.removeprefix("progress-")


class TestRetention:
    def test_the_newest_run_of_each_name_stays_however_old(self) -> None:
        runs = [
            StoredRun("a-1", "a", NOW - timedelta(days=90)),
            StoredRun("a-2", "a", NOW - timedelta(days=60)),
            StoredRun("b-1", "b", NOW - timedelta(days=90)),
            StoredRun("c-1", "c", NOW - timedelta(days=40)),
            StoredRun("c-2", "c", NOW),
        ]
        assert expired_runs(runs, timedelta(days=30), NOW) == ["a-1", "c-1"]

    def test_an_empty_store_has_nothing_to_remove(self, tmp_path: Path) -> None:
        assert remove_expired_runs(str(tmp_path), timedelta(days=1)) == []

    def test_old_inputs_are_removed_and_new_ones_stay(self, tmp_path: Path) -> None:
        files = [deaths(tmp_path / "old.csv"), deaths(tmp_path / "new.csv")]
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        os.utime(files[0], (0, 0))
        assert remove_expired_inputs(str(tmp_path), timedelta(days=2), tomorrow) == [str(files[0])]
        assert [file.exists() for file in files] == [False, True]

    @pytest.mark.parametrize(
        "name", [".upload.csv", "_partial.csv", "_old/a.csv", ".sync/b.parquet", "notes"]
    )
    def test_old_files_that_no_run_reads_are_removed_too(self, name: str, tmp_path: Path) -> None:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        os.utime(deaths(file), (0, 0))
        assert remove_expired_inputs(str(tmp_path), timedelta(days=2)) == [str(file)]
        assert not file.exists()

    def test_an_inbox_that_is_not_there_is_no_error(self, tmp_path: Path) -> None:
        assert remove_expired_inputs(str(tmp_path / "none"), timedelta(0)) == []


class TestNewestInput:
    def test_the_file_that_was_changed_last_is_taken(self, tmp_path: Path) -> None:
        for day, name in enumerate(["c.csv", "a.csv", "b.csv"]):
            os.utime(deaths(tmp_path / name), (day * 86400, day * 86400))
        newest = with_newest_input(request(input={"uri": str(tmp_path / "*")}))
        assert newest.input.uri == str(tmp_path / "b.csv")
        assert changed_at(str(tmp_path / "b.csv")) == datetime(1970, 1, 3, tzinfo=UTC)

    def test_an_empty_inbox_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no file fits"):
            with_newest_input(request(input={"uri": str(tmp_path / "*.csv")}))


class TestAutomations:
    def test_failed_late_and_stuck_runs_and_newer_matrices_call_the_webhook(self) -> None:
        wanted = automations.alerts(UUID(int=1), timedelta(hours=6), timedelta(minutes=10))
        names = [one.name for one in wanted]
        assert [name.removeprefix("vacal: a run ") for name in names] == [
            "has failed",
            "is late",
            "is stuck",
            "found newer matrices",
        ]
        assert {one.actions[0].type for one in wanted} == {"call-webhook"}

    def test_every_state_in_which_a_run_stays_and_that_is_not_a_success_raises_the_alarm(self) -> None:
        failed = automations.alerts(UUID(int=1), timedelta(hours=6), timedelta(minutes=10))[0]
        for state in (Failed(), Failed(name="BadInput"), Failed(name="CompletedWithFailures")):
            assert f"prefect.flow-run.{state.name}" in failed.trigger.expect  # type: ignore[union-attr]
        assert "prefect.flow-run.Crashed" not in failed.trigger.expect  # type: ignore[union-attr]

    def test_a_crashed_run_goes_on_or_is_given_up_and_never_both(self) -> None:
        _, go_on, give_up, _ = automations.recovery(UUID(int=1))
        counts = [set(one.trigger.match["prefect.run-count"]) for one in (go_on, give_up)]  # type: ignore[union-attr]
        assert counts[0] == {str(count) for count in range(automations.TRIES + 1)}
        assert not counts[0] & counts[1]

    @pytest.mark.parametrize("message", ["Process exited with status code: -9", 'a "quoted"\nline', None])
    def test_the_state_after_a_crash_names_the_cause_and_keeps_the_place_in_the_queue(
        self, message: str | None
    ) -> None:
        due = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        run = flow_run(Crashed(message=message)).model_copy(update={"expected_start_time": due})
        _, go_on, give_up, never = automations.recovery(UUID(int=1))
        said = [json.loads(render(one.actions[0].payload, run)) for one in (go_on, give_up, never)]  # type: ignore[union-attr]
        for body, begins in zip(said, (GOES_ON, GIVEN_UP, GIVEN_UP), strict=True):
            assert body["flow_runs"] == {"id": {"any_": [str(run.id)]}}
            assert body["state"]["message"] == begins + (message or "")
        assert datetime.fromisoformat(said[0]["state"]["state_details"]["scheduled_time"]) == due
        assert [body["state"]["name"] for body in said] == ["Resuming", "Failed", "Failed"]

    def test_a_run_that_is_given_up_names_the_cause_once(self) -> None:
        run = flow_run(Scheduled(name="Resuming", message=f"{GOES_ON}it is broken"))
        never = automations.recovery(UUID(int=1))[3]
        body = json.loads(render(never.actions[0].payload, run))  # type: ignore[union-attr]
        assert body["state"]["message"] == f"{GIVEN_UP}it is broken"

    @pytest.mark.parametrize("name", ["Completed", WITHOUT_REPORT, NEWER_INVENTORY, "Failed", "BadInput"])
    def test_a_run_that_has_ended_is_neither_stuck_nor_lost(self, name: str) -> None:
        for automation in (
            automations.alerts(UUID(int=1), timedelta(hours=6), timedelta(minutes=10))[2],
            automations.lost_runs(),
        ):
            assert f"prefect.flow-run.{name}" in automation.trigger.expect  # type: ignore[union-attr]

    def test_a_run_is_lost_after_several_heartbeats_and_not_while_it_waits_for_its_server(self) -> None:
        lines = (ROOT / "deployments" / "prefect.env").read_text().splitlines()
        given = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
        beat, tries = (
            int(given[name]) for name in ("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "PREFECT_CLIENT_MAX_RETRIES")
        )
        waits = sum(2**number for number in range(1, tries + 1))
        assert timedelta(seconds=max(3 * beat, waits + beat)) <= automations.HEARTBEAT_LOST


def render(template: str, run: FlowRun) -> str:
    """The template as the server fills it in."""
    return asyncio.run(render_user_template(template, {"flow_run": run}))


@pytest.mark.slow
class TestModes:
    @pytest.mark.parametrize(
        ("mode", "arguments"), [("run", ["x.yaml"]), ("submit", ["x.yaml"]), ("follow", ["moz"])]
    )
    def test_a_mode_that_is_turned_off_says_so(self, mode: str, arguments: list[str], tmp_path: Path) -> None:
        done = vacal(mode, *arguments, cwd=tmp_path, env={f"VACAL_ALLOW_{mode.upper()}": "false"})
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: vacal {mode} is turned off in this installation")

    def test_without_a_server_the_commands_say_how_to_get_one(self, tmp_path: Path) -> None:
        done = vacal("list", cwd=tmp_path, env={"PREFECT_HOME": str(tmp_path)})
        assert done.returncode == 1
        assert "no Prefect server is configured: set PREFECT_API_URL" in done.stderr

    def test_a_server_that_is_down_is_named(self, tmp_path: Path) -> None:
        env = {"PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
        done = vacal("status", "moz", cwd=tmp_path, env=env)
        assert done.returncode == 1
        assert "the Prefect server http://127.0.0.1:9/api does not answer" in done.stderr


def vacal(*arguments: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli.main", *arguments]
    return subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), **env},
        capture_output=True,
        text=True,
    )


def test_an_r_that_does_not_start_is_found_missing_and_not_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "R"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = (check for check in examine() if check.name == "R")
    assert not check.ok
    assert check.found == f"{program} does not start"
