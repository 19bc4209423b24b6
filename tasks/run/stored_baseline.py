"""A request that names a stored run as its baseline: may it, and what does it take from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks.errors import InputError, StateError
from tasks.matrices import Inventory
from tasks.request import CalibrationRequest
from tasks.results import Results, open_results
from tasks.run.baseline_jobs import BaselineJob
from tasks.run.job import resolved

_MUST_AGREE = (
    "algorithms",
    "ensemble",
    "matrix",
    "study_cause_map",
    "do_not_calibrate",
    "do_not_calibrate_rule",
    "threshold",
    "centre",
    "draws",
    "seed",
)


def find_baseline(
    request: CalibrationRequest, inventory: Inventory, engine: str, root: str
) -> Results | None:
    """The run that the request names as its baseline; None if it names none.

    Raises InputError where there is no such run, or it was computed otherwise than this one would be.
    """
    if request.baseline is None:
        return None
    try:
        stored = open_results(root, request.baseline)
    except StateError as error:
        raise InputError(f"baseline: {error}") from None
    if problems := list(_differences(request, inventory, engine, stored.manifest)):
        raise InputError(problems)
    return stored


def _differences(
    request: CalibrationRequest, inventory: Inventory, engine: str, manifest: Mapping[str, Any]
) -> Iterator[str]:
    run, before, now = manifest["run"], manifest["request"], resolved(request)
    if before.get("matrix_sharing") != "common":
        yield f"baseline: the run {run} has none: it was not computed with matrix_sharing: common"
        return
    if manifest["versions"]["engine"] != engine:
        yield (
            f"baseline: the run {run} was computed by engine {manifest['versions']['engine']}, and this is {engine}: "
            "leave baseline out, which makes a new one"
        )
    if manifest["inventory"]["checksum"] != inventory.checksum:
        yield f"baseline: the run {run} used other matrices: leave baseline out, or name its matrices"
    for field in _MUST_AGREE:
        mine, theirs = now[field], before.get(field)
        if field == "matrix":  # the checksum stands for where it is read
            mine, theirs = mine["type"], theirs["type"]
        if mine != theirs:
            yield f"baseline: {field} is {mine}, and in the run {run} {theirs}: set it so, or leave baseline out"


def taken_from(stored: Results | None, jobs: Sequence[BaselineJob]) -> list[BaselineJob]:
    """The baselines that the stored run has are taken from it; those of new countries and age groups are made."""
    if stored is None:
        return list(jobs)
    there = set(stored.table("common_fits", ["stratum"])["stratum"].to_pylist())
    run = stored.manifest["run"]
    return [replace(job, stored=run) if job.place["stratum"] in there else job for job in jobs]


def note_on(stored: Results, jobs: Sequence[BaselineJob]) -> str:
    """What a reader must know of it: how many of the deaths came since."""
    rows = stored.table("baseline", ["stratum", "algorithm", "kind", "value"]).to_pandas()
    counted = rows[rows["kind"] == "pooled_counts"].groupby(["stratum", "algorithm"])["value"].sum()
    before = now = 0.0
    for job in (job for job in jobs if job.fit in job.batch.algorithms):
        at = job.batch.algorithms.index(job.fit)
        now += float(job.batch.counts[:, at].sum())
        before += float(counted.get((job.place["stratum"], job.fit), 0.0))
    share = max(0.0, 1 - before / now) if now else 0.0
    half = "; make a new one (leave baseline out)" if share > 0.5 else ""
    return (
        f"baseline: matrices and totals are the draws of the run {stored.manifest['run']}; {share:.0%} of the deaths "
        f"are more than it had{half}"
    )
