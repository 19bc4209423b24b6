"""What all tests share: markers by folder, and the Prefect server. Other fixtures stand where they are used.

A folder says what its tests need: unit/ nothing but Python; r/ the R package; flow/ the R package and a
Prefect server, which the fixture `prefect_server` starts; service/ a whole installation. The few exceptions
are marked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from support import ROOT
from xdist.scheduler import LoadScopeScheduling

os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), str(ROOT / "tests")]
)  # for the programs that tests start
os.environ["DO_NOT_TRACK"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["VACAL_RETRY_DELAY"] = "0"
pytest.register_assert_rewrite("support.flow_made")

# How long an example takes says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile(
    "project", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("project")

NEEDS = {"unit": (), "r": ("r",), "flow": ("r", "server"), "service": ("r", "server", "s3")}
"""The markers of all tests in a folder."""

FIXTURES = {"prefect_server": "server", "s3_server": "s3"}
"""The marker of a test that uses a fixture."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with what it needs, by its folder and its fixtures."""
    for item in items:
        folder = Path(item.path).relative_to(ROOT / "tests").parts[0]
        used = getattr(item, "fixturenames", ())
        for marker in (*NEEDS[folder], *(name for fixture, name in FIXTURES.items() if fixture in used)):
            item.add_marker(marker)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """With several processes (`-n`) the tests of a file run in one, and those of service/ in one: one installation.

    Not by --dist loadgroup, whose groups pytest 9.2 does not pass on.
    """

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "service" if nodeid.startswith("tests/service/") else nodeid.partition("::")[0]

    return ByFile(config, log)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server with a database of its own, for all flows of the session."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=900):  # no measure of anything: a busy machine needs it
        yield
