"""Fixtures with a real S3-compatible server (script/s3-server). In a test module: pytest_plugins = ["support.s3"]."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pytest

from support import ROOT

SCRIPT = ROOT / "script" / "s3-server"


@dataclass(frozen=True)
class Server:
    """A server and how to reach it."""

    folder: Path
    port: int
    environment: dict[str, str]

    def call(self, command: str) -> subprocess.CompletedProcess[str]:
        """start, stop or kill it."""
        words = [sys.executable, str(SCRIPT), command, str(self.folder), str(self.port)]
        # its own processes must not hold this one's pipes open
        with (self.folder.parent / "call.log").open("w+") as log:
            done = subprocess.run(words, stdout=log, stderr=log, text=True, check=False)
            log.seek(0)
            return subprocess.CompletedProcess(words, done.returncode, log.read(), "")

    def forget_connections(self) -> None:
        """Make the next use of S3 read the environment anew."""
        fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("s3") / "server"
    port = _free_ports(4)
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test:s3",
        "AWS_SECRET_ACCESS_KEY": "test-secret-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server = Server(folder, port, environment)
    started = server.call("start")
    if started.returncode and "could not install" in started.stdout and not os.environ.get("CI"):
        pytest.skip(f"no S3-compatible server here: {started.stdout[:300]}")
    assert started.returncode == 0, started.stdout
    yield server
    server.call("stop")


@pytest.fixture
def s3(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, with the environment that reaches it and no connection left from another test."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    s3_server.forget_connections()
    yield s3_server
    s3_server.forget_connections()


@pytest.fixture
def s3_root(s3: Server) -> str:
    """URI of a new, empty bucket's folder."""
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    fsspec.filesystem("s3").mkdir(bucket)
    return f"s3://{bucket}/results"


def _free_ports(count: int) -> int:
    """First of that many free ports in a row, which no other process of tests tries, nor an installation."""
    for first in range(10_000 + count * (os.getpid() % 2_000), 20_000, count):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for number, one in enumerate(sockets):
                one.bind(("127.0.0.1", first + number))
        except OSError:
            continue
        else:
            return first
        finally:
            for one in sockets:
                one.close()
    raise OSError("there are no free ports")
