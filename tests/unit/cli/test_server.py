"""The Prefect server that `vacal run` uses: one that runs already, else a temporary one that ends with it."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT
from support.installation import until

from flows.cli.server import answers, running_server


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No server in the environment, in a profile, in this folder, nor of script/up."""
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("VACAL_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def address() -> Iterator[str]:
    """Address of something that answers as a healthy server does."""

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()


def up(state: Path, address: str) -> None:
    """What script/up leaves for other terminals."""
    state.mkdir(exist_ok=True)
    lines = (
        f"export PREFECT_API_URL={address}",
        "export PREFECT_API_AUTH_STRING=vacal:secret",
        "export VACAL_STORE=x",
    )
    (state / "client.env").write_text("\n".join(lines))


def test_without_any_there_is_none() -> None:
    assert running_server() is None


def test_that_of_the_environment_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    up(tmp_path / "state", address)
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    assert running_server() == ("http://elsewhere/api", "PREFECT_API_URL")


@pytest.mark.parametrize("file", ["prefect/profiles.toml", ".env"])
def test_one_in_prefects_own_settings_is_left_to_prefect(tmp_path: Path, address: str, file: str) -> None:
    up(tmp_path / "state", address)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text('PREFECT_API_URL = "http://elsewhere/api"\n')
    found = running_server()
    assert found is not None
    assert found[0] == ""
    assert found[1].endswith(file)
    assert "PREFECT_API_URL" not in os.environ


def test_that_of_script_up_is_used_with_its_password_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):  # so that they are taken back in the end
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("VACAL_STORE", raising=False)
    up(tmp_path / "state", address)
    assert running_server() == (address, f"script/up, {tmp_path / 'state'}")
    assert os.environ["PREFECT_API_AUTH_STRING"] == "vacal:secret"
    assert "VACAL_STORE" not in os.environ


def test_one_of_script_up_that_has_ended_is_not_used(tmp_path: Path) -> None:
    up(tmp_path / "state", "http://127.0.0.1:9/api")
    assert running_server() is None


def test_an_address_that_is_none_does_not_answer() -> None:
    assert not answers("no address")


@pytest.mark.slow
def test_a_temporary_server_answers_and_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "from flows.cli.server import TemporaryServer\n"
        "server = TemporaryServer()\nserver.wait()\nprint(server._process.pid, server.url)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    pid, url = done.stdout.split()
    assert not Path(f"/proc/{pid}").exists()
    assert not answers(url)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_a_temporary_server_ends_with_a_process_that_is_killed(sign: signal.Signals) -> None:
    program = (
        "import time\nfrom flows.cli.server import TemporaryServer\n"
        "server = TemporaryServer()\nserver.wait()\nprint(server.url, flush=True)\ntime.sleep(3600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert answers(url)
        process.send_signal(sign)
    until(lambda: not answers(url))


def test_the_help_loads_neither_prefect_nor_pandas_nor_pictures() -> None:
    heavy = ("prefect", "pandas", "pyarrow", "numpy", "matplotlib", "httpx", "duckdb", "pydantic")
    program = f"import sys, flows.cli.main; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_check_loads_neither_prefect_nor_pictures() -> None:
    heavy = ("prefect", "matplotlib")
    program = f"import sys, flows.cli.dry_run; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout == "[]\n"
