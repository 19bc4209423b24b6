"""A whole installation as `script/up` starts it, seen by a client that knows nothing of it.

For tests/service, script/soak and script/service-faults.
"""

from __future__ import annotations

import http.server
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil
import s3fs

from support import ROOT

PATIENCE = 900
"""Seconds until that which would never end fails; nothing waits so long on a machine that works."""
FINAL = ("COMPLETED", "FAILED", "CANCELLED")
"""Types of states in which a run stays; a crashed one goes on."""


def until(what: Callable[[], Any], lives: Callable[[], bool] = lambda: True) -> Any:
    """What `what` returns as soon as it is true, as long as that which makes it true `lives`."""
    give_up = time.monotonic() + PATIENCE
    while not (seen := what()):
        assert lives(), "what it waits for has ended"
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.2)
    return seen


@dataclass
class Installation:
    """What an outsider knows: addresses, a password, and the process that runs it all."""

    env: dict[str, str]
    up: subprocess.Popen[bytes]
    state: Path
    alerts: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        login = self.env.get("PREFECT_API_AUTH_STRING")
        auth = httpx.BasicAuth(*login.split(":", 1)) if login else None
        self.api = httpx.Client(base_url=self.env["PREFECT_API_URL"] + "/", auth=auth, timeout=60)

    @cached_property
    def s3(self) -> s3fs.S3FileSystem:
        """The object store of `--production`."""
        return s3fs.S3FileSystem(
            key=self.env["AWS_ACCESS_KEY_ID"],
            secret=self.env["AWS_SECRET_ACCESS_KEY"],
            endpoint_url=self.env["AWS_ENDPOINT_URL"],
            skip_instance_cache=True,
            use_listings_cache=False,
        )

    def deployment(self, name: str = "calibrate/calibrate") -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"deployments/name/{name}").raise_for_status().json()
        return found

    def create(self, parameters: dict[str, Any], **body: Any) -> httpx.Response:
        path = f"deployments/{self.deployment()['id']}/create_flow_run"
        return self.api.post(path, json={"parameters": parameters, **body})

    def run(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"flow_runs/{run}").raise_for_status().json()
        return found

    def has_ended(self, run: str) -> bool:
        return self.run(run)["state"]["type"] in FINAL

    def ended(self, run: str) -> dict[str, Any]:
        until(lambda: self.has_ended(run))
        return self.run(run)

    def logs(self, run: str) -> list[dict[str, Any]]:
        wanted = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        found: list[dict[str, Any]] = self.api.post("logs/filter", json=wanted).json()
        return found

    def artifacts(self, run: str) -> dict[str, dict[str, Any]]:
        found = self.api.post("artifacts/filter", json={"artifacts": {"flow_run_id": {"any_": [run]}}}).json()
        return {artifact["key"]: artifact for artifact in found}

    def alert(self, kind: str, run: str) -> dict[str, Any]:
        """The call of the webhook for that run, as soon as it has come."""
        found: list[dict[str, Any]] = until(
            lambda: [one for one in self.alerts if (one["alert"], one["id"]) == (kind, run)]
        )
        return found[0]

    def processes(self) -> list[psutil.Process]:
        return processes_of(self.state)

    def r_processes(self) -> list[psutil.Process]:
        below = psutil.Process(self.up.pid).children(recursive=True)
        return [process for process in below if "tasks.engine.process" in " ".join(command(process))]

    def vacal(self, *arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
        command = [str(ROOT / ".venv" / "bin" / "vacal"), *arguments]
        return subprocess.run(command, cwd=folder, env=os.environ | self.env, capture_output=True, text=True)


def command(process: psutil.Process) -> list[str]:
    """A process's command line; empty if it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def installed(*options: str, state: Path | None = None, **settings: str) -> Iterator[Installation]:
    """Start `script/up` with these options and settings (environment) in a folder of its own; stop it at the end.

    `state`: the folder, if it is to be there before. Raises AssertionError if a process is left behind.
    """
    alerts: list[dict[str, Any]] = []
    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), webhook(alerts))
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    state = state or new_state()
    own = {
        "VACAL_PORT": str(free_ports(6)),
        "VACAL_STATE": str(state),
        "VACAL_HOME": str(state / "home"),
        "VACAL_ALERT_WEBHOOK": f"http://127.0.0.1:{hook.server_port}/",
        **settings,
    }
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "VACAL_ST", "AWS_"))
    }
    with (state / "up.log").open("wb") as log:
        up = subprocess.Popen(
            ["env", "--default-signal=INT", "script/up", *options],  # in the background it would be ignored
            cwd=ROOT,
            env=kept | own,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        # script/up ends by itself if one of its programs does: as long as it lives, the machine is only busy
        until(lambda: "Ctrl-C stops everything" in (state / "up.log").read_text(), lambda: up.poll() is None)
        exported = re.findall(r"^export (\w+)=(.*)$", (state / "client.env").read_text(), re.MULTILINE)
        yield Installation(own | dict(exported), up, state, alerts)
    except AssertionError:
        print("".join((state / "up.log").read_text().splitlines(keepends=True)[-20:]), file=sys.stderr)
        raise
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(PATIENCE)
        hook.shutdown()
        left = processes_of(state)
        shutil.rmtree(state, ignore_errors=True)
    assert not left, "the installation left processes behind"


def processes_of(state: Path) -> list[psutil.Process]:
    """Processes of the installation in this folder: by what they were given, or their command line."""
    return [
        process
        for process in psutil.process_iter()
        if environment(process).get("VACAL_STATE") == str(state) or str(state) in " ".join(command(process))
    ]


def environment(process: psutil.Process) -> Mapping[str, str]:
    """A process's environment; empty if it has ended."""
    try:
        given: Mapping[str, str] = process.environ()
    except (psutil.Error, OSError):
        return {}
    return given


def new_state() -> Path:
    """An empty folder for an installation."""
    state = Path(tempfile.mkdtemp(prefix="vacal-"))
    state.chmod(0o755)  # PostgreSQL runs as another user
    return state


def webhook(received: list[dict[str, Any]]) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    return Handler


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    for first in random.sample(range(20000, 30000, 10), 100):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")
