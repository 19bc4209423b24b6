"""Calibrate causes of death from verbal autopsies: what people import, and the only module that they need.

    import vacal

    uri = vacal.calibrate(vacal.load_request("examples/records.yaml"))
    results = vacal.open_results(uri)
    results.csmf[["stratum", "algorithm", "cause", "raw", "mean", "q025", "q975", "verdict"]]

The command line (`vacal --help`) does the same and more: reports, pictures, exports, comparisons of runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.metadata import version as _version_of
from typing import Any

from tasks.request import CalibrationRequest, load_request, parse_request
from tasks.results import Results, open_results
from tasks.verdict import VerdictRules, add_verdicts

__all__ = [
    "Results",
    "VerdictRules",
    "add_verdicts",
    "calibrate",
    "load_request",
    "open_results",
    "parse_request",
    "version",
]

version: str = _version_of("vacal")
"""The version of this software, as in the manifest of each run."""


def calibrate(request: CalibrationRequest | Mapping[str, Any], *, recompute: bool = False) -> str:
    """Calibrate what the request names and publish it; returns the address of the run's folder.

    request: from `load_request` or `parse_request`, or its fields.
    recompute: calibrate again even if the store has the results of this request. Without it, a request that
    was calibrated before is recognised by its content, and the address of its stored results is returned.

    Warns when the run is published and its verdicts or missing records leave it short of what it was for.
    Raises InputError before any work if the request or its input is wrong, with every problem in `problems`;
    IncompleteError when more strata failed than the request allows and all else is published, at its `uri`;
    EngineError or another VacalError when there are no results.
    """
    known = request if isinstance(request, CalibrationRequest) else parse_request(request)
    from flows.calibrate import IncompleteError  # here, as it loads Prefect
    from flows.calibrate import calibrate as flow

    try:
        return flow(known, recompute=recompute)
    except IncompleteError as error:
        if error.state in ("Failed", "CompletedWithFailures"):
            raise
        warnings.warn(str(error), stacklevel=2)
        return error.uri
