"""Where the programs that a test started write what they do."""

from pathlib import Path

import pytest

LOGS = pytest.StashKey[Path]()
"""A folder of *.log files, in the stash of pytest's configuration; shown when a test fails."""
