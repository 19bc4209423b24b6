"""What all tests share. Other fixtures stand in the files that use them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support import ROOT

os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), str(ROOT / "tests")]
)  # for the programs that tests start
os.environ["DO_NOT_TRACK"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["VACAL_RETRY_DELAY"] = "0"
pytest.register_assert_rewrite("support.flow_made")


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server with a database of its own, for all flows of the session."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield
