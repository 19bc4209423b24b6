"""One installation for all tests of this folder; a test that fails shows the last lines of what its programs wrote."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.installation import Installation, installed, new_state
from support.logs import LOGS

LINES = 40
STUCK_AFTER = LATE_AFTER = 10  # seconds, the least that may be set


@pytest.fixture(scope="session")
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Server, PostgreSQL, worker and S3 store as `script/up --production` starts them."""
    if os.geteuid() != 0 and not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("PostgreSQL is not installed, and only root may install it")
    state = new_state()
    request.config.stash[LOGS] = state
    settings = {
        "VACAL_STUCK_AFTER": str(STUCK_AFTER),
        "VACAL_LATE_AFTER": str(LATE_AFTER),
        "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "5",
    }
    with installed("--production", state=state, **settings) as started:
        yield started


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Add the logs to the report of a failed test, or of a fixture that failed."""
    report = yield
    folder = item.config.stash.get(LOGS, None)
    if report.failed and folder is not None:
        for log in sorted(folder.glob("*.log")):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            report.sections.append((f"the end of {log}", "\n".join(lines[-LINES:])))
    return report
