"""A small request of common matrix draws: the strata of the joint one, with provinces and years as centres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support import ALL_MAY_BE_PUBLISHED
from support.joint_made import joint_request
from tasks.request.model import CalibrationRequest


def common_request(folder: Path, **changes: Any) -> CalibrationRequest:
    """Six strata, two algorithms, two calibrated causes, three provinces and two years."""
    fields: dict[str, Any] = {
        "name": "common",
        "matrix_sharing": "common",
        "effective_draws": None,
        "roll_ups": [[], ["province"], ["year"]],
        "verdict_rules": ALL_MAY_BE_PUBLISHED,
    }
    return joint_request(folder, **(fields | changes))
