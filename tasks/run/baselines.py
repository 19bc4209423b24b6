"""Baselines of common matrix draws: made once for each fit of a country and age group, kept as tables, read back.

A baseline is kept in the run's work area like a chunk, so that a resumed run finds it; the chunks of its country and
age group read it there, wherever they are computed.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks import results
from tasks.engine import Baseline, Batch, Floats, Pool, make_baseline
from tasks.results import ALL, texts_from_json, texts_to_json
from tasks.run.baseline_jobs import BaselineJob, baseline_id, fits_of
from tasks.run.job import Work, check_engine, give_back

_TABLES = ("common_fits", "baseline")
COMMON_FIT_COLUMNS = (
    *(
        "strata",
        "status",
        "reason",
        "draws",
        "fit_members",
        "calibrated_causes",
        "matrices_from",
        "centre_units",
    ),
    *("concentration", "common_share", "rhat", "ess_bulk", "ess_tail", "divergences", "converged"),
)
"""Columns of common_fits that say what a baseline is."""


def keep_baseline(
    job: BaselineJob,
    work: Work,
    *,
    log: logging.Logger | logging.LoggerAdapter[Any],
    pool: Pool | None,
    timeout: float | None,
) -> str:
    """Make a baseline, or take it from the stored run that has it, and keep it in the run's work area.

    Returns its id. Raises what `make_baseline` raises, OtherEngineError, StateError, StorageError.
    """
    if job.stored is not None:
        log.info("%s: as in the run %s", job.name, job.stored)
        return _keep_stored(job, job.stored, work)
    made = make_baseline(job.batch, job.fit, log=log, pool=pool, timeout=timeout)
    check_engine(work, made.engine_version)
    place = {**dict.fromkeys(work.identity.strata_columns, ALL), **job.place}
    fit_row = work.identity.conform("common_fits", _fit_row(made, len(job.batch.strata), place))
    rows = work.identity.conform("baseline", _rows(made, place, job.batch.causes))
    results.put_chunk(work.root, work.run, job.id, {"common_fits": fit_row, "baseline": rows})
    give_back()
    return job.id


def _keep_stored(job: BaselineJob, run: str, work: Work) -> str:
    """The tables of a stored run's baseline as those of this one, its draws in lists again."""
    stored = results.open_results(work.root, run)
    where = (pc.field("stratum") == job.place["stratum"]) & (pc.field("algorithm") == job.fit)
    place = {**dict.fromkeys(work.identity.strata_columns, ALL), **job.place, "algorithm": job.fit}
    own = [column for column in COMMON_FIT_COLUMNS if column not in place]
    fit = stored.table("common_fits", ["stratum", *own, "algorithm"], where).select(own).to_pydict()
    fit |= {name: [value] for name, value in place.items()}
    long = stored.table("baseline", ["stratum", "algorithm", *_KEYS, "draw", "value"], where)
    starts = np.flatnonzero(long["draw"].to_numpy() == 1)
    ends = np.append(starts, long.num_rows).astype(np.int32)
    rows = {name: long[name].combine_chunks().take(pa.array(starts)) for name in _KEYS}
    rows |= {name: pa.repeat(pa.scalar(value), len(starts)) for name, value in place.items()}
    rows["values"] = pa.ListArray.from_arrays(pa.array(ends), pa.array(long["value"].to_numpy()))
    tables = {
        "common_fits": work.identity.conform("common_fits", fit),
        "baseline": work.identity.conform("baseline", pa.table(rows)),
    }
    results.put_chunk(work.root, work.run, job.id, tables)
    return job.id


def with_baselines(batch: Batch, place: str, work: Work) -> Batch:
    """The batch with the baselines of its place, read from the run's work area. Raises DamagedChunkError."""
    assert batch.common is not None
    found = tuple(_read(work, baseline_id(place, fit), batch.causes) for fit in fits_of(batch))
    return replace(batch, common=replace(batch.common, baselines=found))


def _read(work: Work, name: str, causes: Sequence[str]) -> Baseline:
    fit, rows = (results.read_chunk(work.root, work.run, name, table) for table in _TABLES)
    lists = rows["values"].combine_chunks()
    ends, flat = lists.offsets.to_numpy(), lists.values.to_numpy()
    keys = zip(*(rows[column].to_pylist() for column in _KEYS), strict=True)
    values = {key: flat[ends[row] : ends[row + 1]] for row, key in enumerate(keys)}
    return baseline_of(fit.to_pylist()[0], values, causes, work.engine)


_KEYS = ("kind", "centre_unit", "member", "champs_cause", "va_cause")
_Key = tuple[str | None, ...]


def _fit_row(made: Baseline, strata: int, place: Mapping[str, str]) -> dict[str, list[Any]]:
    row: dict[str, Any] = {**place, "algorithm": made.fit, "strata": strata, "status": made.status}
    row["reason"] = made.reason or None
    if made.status == "drawn":
        row |= {
            "draws": len(made.country),
            "fit_members": texts_to_json(made.algorithms),
            "calibrated_causes": texts_to_json(made.causes),
            "matrices_from": made.source,
            "centre_units": len(made.units),
            "concentration": made.concentration,
            "common_share": made.common_share,
            "converged": made.converged,
        }
    if made.status == "drawn" and not np.isnan(made.rhat):
        row |= {name: getattr(made, name) for name in ("rhat", "ess_bulk", "ess_tail", "divergences")}
    return {name: [value] for name, value in row.items()}


def _rows(made: Baseline, place: Mapping[str, str], causes: Sequence[str]) -> pa.Table:
    """The rows of a baseline, each with all its draws; none where nothing was drawn."""
    keys, values = [], []
    for key, numbers in _cells(made, causes) if made.status == "drawn" else ():
        keys.append(key)
        values.append(np.asarray(numbers, dtype=np.float64).ravel())
    columns = dict(zip(_KEYS, zip(*keys, strict=True) if keys else ((),) * len(_KEYS), strict=True))
    table = {name: pa.array(list(column), pa.string()) for name, column in columns.items()}
    table |= {name: pa.repeat(pa.scalar(value), len(keys)) for name, value in place.items()}
    table["algorithm"] = pa.repeat(pa.scalar(made.fit), len(keys))
    ends = np.cumsum([0, *map(len, values)], dtype=np.int32)
    flat = np.concatenate([np.empty(0), *values])
    table["values"] = pa.ListArray.from_arrays(pa.array(ends), pa.array(flat))
    return pa.table(table)


def _cells(made: Baseline, causes: Sequence[str]) -> Iterator[tuple[_Key, Any]]:
    own = range(len(made.causes))
    for k, algorithm in enumerate(made.algorithms):
        for i, j in product(own, own):
            if made.calibrated[k, i] and made.calibrated[k, j]:  # elsewhere it is the identity
                key = ("matrix", None, algorithm, made.causes[i], made.causes[j])
                yield key, made.matrices[:, k, i, j]
    for i, cause in enumerate(made.causes):
        yield ("country", None, None, cause, None), made.country[:, i]
        for u, unit in enumerate(made.units):
            yield ("unit", unit, None, cause, None), made.unit_p[u, :, i]
            yield ("unit_centre", unit, None, cause, None), made.unit_r[u, :, i]
    for (k, algorithm), (j, cause) in product(enumerate(made.algorithms), enumerate(made.causes)):
        yield ("country_counts", None, algorithm, None, cause), made.country_counts[k, j]
        for u, unit in enumerate(made.units):
            yield ("unit_counts", unit, algorithm, None, cause), made.unit_counts[u, k, j]
        for s, stratum in enumerate(made.large):
            yield ("large_counts", stratum, algorithm, None, cause), made.large_counts[s, k, j]
    for j, cause in enumerate(causes):
        yield ("pooled_counts", None, None, None, cause), made.pooled[j]
    for unit in made.known:
        yield ("known", unit, None, None, None), 1.0
    for unit, holding in zip(made.units, made.inside, strict=True):
        for other in holding:
            yield ("held_by", unit, other, None, None), 1.0
    for stratum in made.whole:
        yield ("whole", stratum, None, None, None), 1.0


def baseline_of(
    fit: Mapping[str, Any], values: Mapping[_Key, NDArray[np.float64]], causes: Sequence[str], engine: str
) -> Baseline:
    """A baseline from its row of common_fits and its rows of baseline; `causes`: those of the counts."""
    first = {"status": fit["status"], "reason": fit["reason"] or "", "engine_version": engine}
    if fit["status"] != "drawn":
        return Baseline(fit["algorithm"], **first)
    algorithms, own = texts_from_json(fit["fit_members"]), texts_from_json(fit["calibrated_causes"])
    named: dict[str, dict[str, None]] = defaultdict(dict)
    for kind, unit, *_ in values:
        if unit is not None:
            named[kind or ""][unit] = None
    units, large = tuple(named["unit"]), tuple(named["large_counts"])
    draws, n = fit["draws"], len(own)
    matrices = np.broadcast_to(np.eye(n), (draws, len(algorithms), n, n)).copy()
    calibrated = np.zeros((len(algorithms), n), dtype=bool)
    for (kind, _, member, true, said), numbers in values.items():
        if kind == "matrix":
            k, i, j = algorithms.index(member or ""), own.index(true or ""), own.index(said or "")
            matrices[:, k, i, j] = numbers
            calibrated[k, [i, j]] = True

    def fractions(kind: str, at: Iterable[str | None]) -> Floats:
        cells = [[values[kind, unit, None, cause, None] for cause in own] for unit in at]
        return np.array(cells).reshape(len(cells), n, draws).transpose(0, 2, 1)

    def counts(kind: str, at: Iterable[str | None]) -> Floats:
        cells = [[[values[kind, u, a, None, c][0] for c in own] for a in algorithms] for u in at]
        return np.array(cells, dtype=np.float64).reshape(len(cells), len(algorithms), n)

    return Baseline(
        fit["algorithm"],
        **first,
        algorithms=algorithms,
        causes=own,
        calibrated=calibrated,
        matrices=matrices,
        country=fractions("country", [None])[0],
        units=units,
        known=tuple(named["known"]),
        inside=tuple(tuple(key[2] or "" for key in values if key[:2] == ("held_by", unit)) for unit in units),
        unit_p=fractions("unit", units),
        unit_r=fractions("unit_centre", units),
        country_counts=counts("country_counts", [None])[0],
        unit_counts=counts("unit_counts", units),
        large=large,
        large_counts=counts("large_counts", large),
        whole=tuple(named["whole"]),
        pooled=np.array([values["pooled_counts", None, None, None, cause][0] for cause in causes]),
        common_share=fit["common_share"],
        concentration=fit["concentration"],
        source=fit["matrices_from"],
        rhat=float("nan") if fit["rhat"] is None else fit["rhat"],
        ess_bulk=float(draws) if fit["ess_bulk"] is None else fit["ess_bulk"],
        ess_tail=float(draws) if fit["ess_tail"] is None else fit["ess_tail"],
        divergences=fit["divergences"] or 0,
        converged=fit["converged"],
    )
