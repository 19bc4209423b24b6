"""What the manifest of a run says: its status, its versions, its warnings and failures."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.engine import engine_versions
from tasks.results import ENSEMBLE, WITH_RESULT
from tasks.run.calibrate import R_PROCESS_LOST, TIMED_OUT
from tasks.run.job import Job, resolved
from tasks.run.outcome import Outcome, outcome, shortfalls
from tasks.terms import in_words

PROVISIONAL = "Common matrix draws: their intervals have been tested by simulations of moderate size only."
STATUSES = ("failed", "calibrated", "not_calibrated", "not_fitted", "no_result")
"""Of a stratum, the one that says most of it first."""
COMPLETE, WITH_FAILURES, FAILED = "complete", "complete_with_failures", "failed"


def describe(job: Job, strata: pa.Table, records: pa.Table, totals: pa.Table | None) -> dict[str, Any]:
    """What the manifest says of the run, see docs/outputs.md; totals: the table `rollups`."""
    found = outcome(strata, records, totals, job.request.algorithms)
    statuses = Counter(status for _, status in stratum_statuses(strata))
    inventory = {
        name: getattr(job.inventory, name)
        for name in ("id", "version", "checksum", "source", "illustrative", "verified")
    }
    return {
        "name": job.request.name,
        "status": run_status(statuses, some_result=bool({*WITH_RESULT} & {*strata["status"].to_pylist()})),
        "request": resolved(job.request),
        "input": {"checksum": job.tabulation.checksum, "sources": job.tabulation.sources},
        "versions": versions(),
        "inventory": inventory,
        "seed": job.request.seed,
        "strata": dict(sorted(statuses.items())),
        "records": _total(records),
        "warnings": [*_warnings(job), *_shortfalls(job, found)],
        "outcome": found.as_json(),
        "failures": _failures(strata),
        "verdict_rules": job.request.verdict_rules.model_dump(),
    }


def stratum_statuses(strata: pa.Table) -> Iterator[tuple[str, str]]:
    """Each stratum with the one status that says most of it: failed if anything in it is."""
    found: dict[str, set[str]] = {}
    for stratum, status in zip(strata["stratum"].to_pylist(), strata["status"].to_pylist(), strict=True):
        found.setdefault(stratum, set()).add(status)
    return ((stratum, next(s for s in STATUSES if s in statuses)) for stratum, statuses in found.items())


def in_order(statuses: Mapping[str, int]) -> list[tuple[str, int]]:
    """How many strata have each status, the calibrated first and the failed last."""
    return [(status, statuses[status]) for status in (*STATUSES[1:], STATUSES[0]) if statuses.get(status)]


def run_status(statuses: Mapping[str, int], *, some_result: bool) -> str:
    """Complete, complete with failures, or failed: nothing but failures, and no fit of any has a result."""
    if not statuses.get("failed"):
        return COMPLETE
    return FAILED if set(statuses) <= {"failed"} and not some_result else WITH_FAILURES


def may_heal(manifest: Mapping[str, Any]) -> bool:
    """Whether strata of a published run were lost with their R process: another try may succeed.

    A stratum that fails by its numbers, or by an error of R, would fail again.
    """
    return any(failure["reason"] in (R_PROCESS_LOST, TIMED_OUT) for failure in manifest.get("failures", ()))


def versions() -> dict[str, str]:
    """Versions of all that takes part in a run."""
    packages = {name: version(name) for name in ("vacal", "prefect", "rpy2", "numpy", "pyarrow", "duckdb")}
    return {**packages, "python": platform.python_version(), **engine_versions()}


def _total(records: pa.Table) -> dict[str, int]:
    sums = records.group_by("disposition").aggregate([("records", "sum")])
    pairs = zip(sums["disposition"].to_pylist(), sums["records_sum"].to_pylist(), strict=True)
    return dict(sorted(pairs))


def _failures(strata: pa.Table) -> list[dict[str, str]]:
    failed = strata.filter(pc.equal(strata["status"], "failed"))
    return list(failed.select(["stratum", "algorithm", "reason"]).to_pylist())


def _shortfalls(job: Job, found: Outcome) -> list[str]:
    limits = {name: getattr(job.request, name) for name in ("unfitted_share", "left_out_share")}
    return [f"{sentence[0].upper()}{sentence[1:]}." for _, sentence in shortfalls(found, **limits)]


def _warnings(job: Job) -> Iterator[str]:
    """What a reader of the results must know, one sentence each."""
    yield from job.tabulation.notes
    yield from job.warnings
    if job.baselines:
        yield PROVISIONAL
    made_up = ["illustrative"] if job.inventory.illustrative else []
    yield from in_words([*made_up, *job.work.identity.constants.get("flags", [])])
    for (age_group, algorithm), flags in job.work.identity.constants.get("flags_of", {}).items():
        if algorithm != ENSEMBLE:
            yield f"age group {age_group}, {algorithm}: {' '.join(in_words(flags))}"
    for country in dict.fromkeys(c.strata["country"][0].as_py() for c in job.chunks if c.served_by_other):
        yield f"{country}: {in_words(['country_served_by_other'])[0]}"
