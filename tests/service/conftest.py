"""A test of this folder that fails shows the last lines of what the installation's programs wrote."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from support.logs import LOGS

LINES = 40


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
