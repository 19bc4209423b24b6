"""The Prefect server of `vacal run`: one that runs already, else a temporary one that starts beside the imports.

Prefect starts a temporary server by itself, but only when a flow begins, after some seconds of imports; these
and the server's own start take as long as all the rest of a small run. This module loads no Prefect.
"""

from __future__ import annotations

import atexit
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

API, LOGIN = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"
PATIENCE = 180.0
"""Seconds until a temporary server that does not answer ends the run: a first start migrates its database."""

_INSTALLATIONS = (Path("/var/lib/vacal"), Path.home() / ".vacal" / "server")
"""Where script/up keeps its state, see there."""


class TemporaryServer:
    """A Prefect server of this process alone, on Prefect's usual database, without a UI and schedules.

    It ends with this process, however that ends (`flows.launch`).
    """

    def __init__(self) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        app = ["--factory", "prefect.server.api.server:create_app", "--lifespan", "on"]
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "error"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.launch", "uvicorn", *app, *where],
            env=os.environ | {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"},
            start_new_session=True,  # Ctrl-C ends the run first, which then tells the server
        )
        atexit.register(self.stop)

    def wait(self) -> None:
        """Return as soon as it answers. Raises ServiceError if it ended, or does not answer for long."""
        from tasks.errors import ServiceError

        give_up = time.monotonic() + PATIENCE
        while not answers(self.url):
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise ServiceError(
                    "the temporary Prefect server did not start; see why: .venv/bin/prefect server start"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """End it; safe to call again."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def running_server() -> tuple[str, str] | None:
    """Address of a server to use that runs already, and who says so; None where there is none.

    One that Prefect's own settings name comes first (environment, profile, .env, prefect.toml): Prefect reads
    them by itself, so its address is empty here unless the environment has it. Then that of script/up.
    """
    if url := os.environ.get(API):
        return url, API
    if file := next(_prefect_files_with_address(), None):
        return "", str(file)
    for folder in _installations():
        if (found := _exported(folder / "client.env")).get(API) and answers(found[API]):
            os.environ.update(found)
            return found[API], f"script/up, {folder}"
    return None


def use_server() -> tuple[str, TemporaryServer | None]:
    """Choose the server of this process, before Prefect is imported; what is to be said of it, and what to wait for."""
    if "prefect" in sys.modules:  # its settings are read, and no import is left to start a server beside
        return "Prefect server: as configured", None
    if found := running_server():
        url, by = found
        return f"Prefect server: {url or 'as configured'} ({by})", None
    server = TemporaryServer()
    os.environ[API] = server.url
    return "Prefect server: a temporary one; script/up starts one that stays", server


def answers(url: str) -> bool:
    """Whether a server answers there."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _installations() -> list[Path]:
    chosen = os.environ.get("VACAL_STATE")
    return [Path(chosen)] if chosen else list(_INSTALLATIONS)


def _exported(file: Path) -> dict[str, str]:
    """Address and password of the server in the file that script/up writes for other terminals."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return {}
    found = re.findall(rf"^export ({API}|{LOGIN})=(\S+)$", text, re.MULTILINE)
    return {name: value.replace("\\", "") for name, value in found}


def _prefect_files_with_address() -> Iterator[Path]:
    home = Path(os.environ.get("PREFECT_HOME", Path.home() / ".prefect"))
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml"))
    for file in (profiles, Path(".env"), Path("prefect.toml"), Path("pyproject.toml")):
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if re.search(r"PREFECT_API_URL|^\s*\[.*api\]", text, re.MULTILINE):
            yield file


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
