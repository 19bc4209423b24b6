"""Checks of totals by common matrix draws: a direct fit of the deaths of the same strata, under the same draws.

For each total of a country and age group the deaths of its fitted strata are pooled and fitted as one: the nation
with a flat prior, any other total centred on the units that hold it and are more than it. The sum of the strata
that it is held against is weighted by the fit's own deaths, as the pooled deaths are.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks import results
from tasks.engine import Batch, Common, Pool, calibrate_batch
from tasks.results import ALL, ENSEMBLE, WITH_RESULT
from tasks.rollups import NATION
from tasks.run.baseline_jobs import fits_of
from tasks.run.baselines import with_baselines
from tasks.run.chunks import Chunk, even_ranges
from tasks.run.cost import chunk_size
from tasks.run.job import Job, Work, check_engine, give_back

_SHARE_UNIT = 2.0**30
"""Whole numbers per death and fraction: sums in any order are the same."""

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class CheckJob:
    """Totals of one country and age group to be fitted directly."""

    id: str
    name: str
    place: str
    batch: Batch
    """The totals in place of strata, with the deaths of their fitted strata."""
    fits: tuple[str, ...]
    """Those whose fits these deaths are; the others of the batch are not looked at."""
    levels: tuple[str, ...]
    groups: tuple[str, ...]
    """Level and key of each total."""
    sums: Whole
    """[totals, fits, causes] sums of strata, deaths x fraction x _SHARE_UNIT."""
    deaths: Whole
    """[totals, fits] deaths of the fit."""
    flat: bool
    """The prior is flat: it is the nation."""


def check_jobs(job: Job, done: Sequence[tuple[Chunk, str | None]]) -> list[CheckJob]:
    """What is to be fitted once the chunks are there; nothing without roll-ups or common matrix draws.

    Raises DamagedChunkError, StorageError.
    """
    if job.work.roll_ups is None or not job.baselines:
        return []
    groups = job.work.roll_ups.groups.to_pylist()
    members: dict[tuple[str, str], list[str]] = {}
    for row in job.work.roll_ups.members.select(["level", "group", "stratum"]).to_pylist():
        members.setdefault((row["level"], row["group"]), []).append(row["stratum"])
    jobs: list[CheckJob] = []
    for place, parts in groupby(done, key=lambda part: part[0].place):
        strata = _Strata.of(job, list(parts))
        if not strata.fitted.any():
            continue
        own = [group for group in groups if "/".join(group["group"].split("/")[:2]) == place]
        for flat in (True, False):
            some = [group for group in own if (group["level"] == NATION) == flat]
            if some:
                jobs += _of_groups(job, place, strata, some, members, flat)
    return jobs


@dataclass(frozen=True)
class _Strata:
    """The strata of a place: what was fitted, and how it came out."""

    batch: Batch
    at: Mapping[str, int]
    """Stratum -> its place in the arrays."""
    fitted: NDArray[np.bool_]
    """[strata, fits]"""
    deaths: Whole
    """[strata, fits] deaths of the fit, 0 where it is not fitted."""
    sums: Whole
    """[strata, fits, causes] deaths x fraction."""

    @classmethod
    def of(cls, job: Job, parts: Sequence[tuple[Chunk, str | None]]) -> _Strata:
        batch = parts[0][0].batch
        fits, causes = fits_of(batch), batch.causes
        keys = [key for chunk, _ in parts for key in chunk.batch.strata]
        at = {key: row for row, key in enumerate(keys)}
        fitted = np.zeros((len(keys), len(fits)), dtype=bool)
        counts = np.zeros((len(keys), len(fits), len(causes)), dtype=np.int64)
        means = np.zeros(counts.shape)
        for chunk, lost in parts:
            if lost is not None:
                continue
            for row in _rows(job, chunk, "strata", ("stratum", "algorithm", "status")):
                fitted[at[row[0]], fits.index(row[1])] = row[2] in WITH_RESULT
            for stratum, fit, cause, deaths, mean in _rows(
                job, chunk, "csmf", ("stratum", "algorithm", "cause", "deaths", "mean")
            ):
                place = at[stratum], fits.index(fit), causes.index(cause)
                counts[place], means[place] = deaths, 0.0 if mean is None else mean
        deaths = counts.sum(axis=2) * fitted
        sums = np.rint(means * deaths[:, :, None] * _SHARE_UNIT).astype(np.int64)
        whole = replace(batch, strata=tuple(keys), counts=np.concatenate([c.batch.counts for c, _ in parts]))
        return cls(whole, at, fitted, deaths, sums)


def _rows(job: Job, chunk: Chunk, table: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    part = results.read_chunk(job.work.root, job.run, chunk.id, table)
    return zip(*(part[name].to_pylist() for name in columns), strict=True)


def _of_groups(
    job: Job,
    place: str,
    strata: _Strata,
    groups: Sequence[Mapping[str, Any]],
    members: Mapping[tuple[str, str], Sequence[str]],
    flat: bool,
) -> Iterator[CheckJob]:
    fits = fits_of(strata.batch)
    rows = [np.array([strata.at[s] for s in members[g["level"], g["group"]]]) for g in groups]
    single = np.stack(
        [
            (strata.batch.counts[at] * strata.fitted[at, : len(strata.batch.algorithms), None]).sum(0)
            for at in rows
        ]
    )
    wanted = [(single, tuple(fits))]
    if ENSEMBLE in fits:  # an ensemble's strata may be fewer
        together = np.stack(
            [(strata.batch.counts[at] * strata.fitted[at, -1, None, None]).sum(axis=0) for at in rows]
        )
        if not np.array_equal(together, single):
            wanted = [(single, tuple(fits[:-1])), (together, (ENSEMBLE,))]
    for counts, own in wanted:
        batch = _totals(strata.batch, groups, counts, job.request.centre_used)
        batch = replace(batch, ensemble=ENSEMBLE in own)
        for part in even_ranges(len(groups), job.request.chunk_strata or chunk_size(batch)):
            at = rows[part]
            yield CheckJob(
                id="check-" + _digest(place, own, batch, part, [strata.fitted[r].tobytes() for r in at]),
                name=f"check of totals, {' '.join(p.partition('=')[2] for p in place.split('/'))}",
                place=place,
                batch=_slice(batch, part),
                fits=own,
                levels=tuple(group["level"] for group in groups[part]),
                groups=tuple(group["group"] for group in groups[part]),
                sums=np.stack([strata.sums[r].sum(axis=0) for r in at])[:, [fits.index(f) for f in own]],
                deaths=np.stack([strata.deaths[r].sum(axis=0) for r in at])[:, [fits.index(f) for f in own]],
                flat=flat,
            )


def _totals(
    batch: Batch, groups: Sequence[Mapping[str, Any]], counts: Whole, columns: Sequence[str]
) -> Batch:
    """The totals as the strata of a batch, each with the units that hold it and are more than it."""
    assert batch.common is not None
    units = []
    for group in groups:
        named = {name for name in columns if group[name] != ALL}
        itself = group["level"] in columns  # a total by one column is a unit
        units.append(tuple("" if name not in named or itself else group[name] for name in columns))
    common = replace(batch.common, units=tuple(units), concentration=1.0, borrow=False)
    names = tuple(f"total {group['level']} {group['group']}" for group in groups)
    return replace(batch, strata=names, counts=counts, common=common, keep_draws=False)


def _slice(batch: Batch, part: slice) -> Batch:
    assert batch.common is not None
    common = replace(batch.common, units=batch.common.units[part])
    return replace(batch, strata=batch.strata[part], counts=batch.counts[part], common=common)


def _digest(place: str, fits: Sequence[str], batch: Batch, part: slice, fitted: Sequence[bytes]) -> str:
    names = "\n".join([place, *fits, *batch.strata[part]]).encode()
    return hashlib.sha256(b"\n".join([names, batch.counts[part].tobytes(), *fitted])).hexdigest()[:12]


def keep_check(
    check: CheckJob,
    work: Work,
    *,
    log: logging.Logger | logging.LoggerAdapter[Any],
    pool: Pool | None,
    timeout: float | None,
) -> str:
    """Fit the totals directly, and keep the figures in the run's work area; returns the check's id.

    Raises what `calibrate_batch` raises, OtherEngineError, StorageError.
    """
    batch = with_baselines(check.batch, check.place, work)
    assert batch.common is not None
    if check.flat:
        batch = replace(batch, common=_with_flat_centre(batch.common))
    result = calibrate_batch(batch, log=log, progress=None, pool=pool, timeout=timeout)
    check_engine(work, result.engine_version)
    results.put_chunk(work.root, work.run, check.id, {"totals": _compared(check, result.estimates)})
    give_back()
    return check.id


def _with_flat_centre(common: Common) -> Common:
    """The baselines with a uniform centre in place of the country's fractions."""
    flat = (
        replace(one, country=np.full_like(one.country, 1 / len(one.causes))) if one.status == "drawn" else one
        for one in common.baselines
    )
    return replace(common, baselines=tuple(flat))


def _compared(check: CheckJob, estimates: pa.Table) -> pa.Table:
    """A row for each total, fit and cause with both figures."""
    at = {name: row for row, name in enumerate(check.batch.strata)}
    rows = []
    columns = ("stratum", "algorithm", "cause", "mean", "status")
    for name, fit, cause, mean, status in zip(*(estimates[c].to_pylist() for c in columns), strict=True):
        if fit not in check.fits or status == "no_result":
            continue
        total, own = at[name], check.fits.index(fit)
        if not check.deaths[total, own]:
            continue
        weight = float(check.deaths[total, own]) * _SHARE_UNIT
        rows.append(
            {
                "level": check.levels[total],
                "group": check.groups[total],
                "algorithm": fit,
                "cause": cause,
                "sum_of_strata": float(check.sums[total, own, check.batch.causes.index(cause)]) / weight,
                "direct_fit": mean,
            }
        )
    texts = [(name, pa.string()) for name in ("level", "group", "algorithm", "cause")]
    return pa.Table.from_pylist(
        rows, pa.schema([*texts, ("sum_of_strata", pa.float64()), ("direct_fit", pa.float64())])
    )
