"""The last step of a run: its tables are put together and published, the manifest last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks import results, rollups
from tasks.ingest import check_records_add_up
from tasks.rollups import Key
from tasks.run.calibrate import judged
from tasks.run.chunks import Chunk
from tasks.run.job import Job, give_back
from tasks.run.manifest import describe, may_heal
from tasks.run.outcome import FIT_COLUMNS, RECORD_COLUMNS
from tasks.run.tables import failed_tables, published_once, unplaced_records
from tasks.verdict import add_verdicts

JOINT_TABLES = ("joint_fits", "misfit")
Done = Sequence[tuple[Chunk, str | None]]
"""Every chunk in the order of the strata, with the reason why R never finished it, None if it did."""


def publish(
    job: Job, done: Done, timings: Mapping[str, Any], *, replace: bool, checks: Sequence[str] = ()
) -> dict[str, Any]:
    """Write the run's tables and then its manifest, which makes it visible; returns the manifest.

    `checks`: ids of the checks of totals in the run's work area.

    Raises StorageError, DamagedChunkError, and RuntimeError if records do not add up or rows are missing.
    """
    _check_strata(job, done)
    # Of strata and records these columns are in memory for all strata; the others chunk by chunk.
    strata = pa.concat_tables(part.select(FIT_COLUMNS) for part in _parts(job, done, "strata"))
    of_records = ("stratum", "age_group", "country", *job.request.columns.strata, *RECORD_COLUMNS)
    records = pa.concat_tables(part.select(of_records) for part in _records(job, done))
    check_records_add_up(job.tabulation, records)
    totals = _roll_up(job, done, records, checks)
    tables: dict[str, Iterable[pa.Table]] = {
        "csmf": chain(_parts(job, done, "csmf"), totals.get("csmf", ())),
        "strata": _parts(job, done, "strata"),
        "records": _records(job, done),
        "matrices": published_once(_parts(job, done, "matrices")),
        **{name: totals[name] for name in ("rollups", "contrasts", "checks") if name in totals},
        **{name: _parts(job, done, name) for name in JOINT_TABLES if _is_joint(job)},
        **_of_baselines(job, done),
        **({"draws": _parts(job, done, "draws")} if job.work.keep_draws else {}),
    }
    description = describe(job, strata, records, totals["rollups"][0] if "rollups" in totals else None)
    manifest = results.publish(job.work.root, job.run, tables, description, timings, replace=replace)
    give_back()
    if not may_heal(manifest):  # else the next call of the request finds the finished chunks
        results.remove_work(job.work.root, job.run)
    return manifest


def _parts(job: Job, done: Done, table: str) -> Iterator[pa.Table]:
    """That table of every chunk, one at a time."""
    for chunk, reason in done:
        if reason is None:
            part = results.read_chunk(job.work.root, job.run, chunk.id, table)
        else:
            lost = failed_tables(chunk, reason, job.work.identity)
            part = judged(lost, job.work.of(chunk)).get(table)
        if table in ("strata", "csmf"):
            _check_rows(chunk, job.strata_per_algorithm, table, part)
        if part is not None:
            yield part


def _of_baselines(job: Job, done: Done) -> dict[str, Iterable[pa.Table]]:
    """The tables that only common matrix draws have; baselines that were never made are not there."""
    ids = [baseline.id for baseline in job.baselines]
    if not ids:
        return {}
    there = results.finished_chunks(job.work.root, job.run, among=ids)

    def made(table: str) -> Iterator[pa.Table]:
        return (results.read_chunk(job.work.root, job.run, one, table) for one in ids if one in there)

    return {
        "common_fits": made("common_fits"),
        "common_strata": _parts(job, done, "common_strata"),
        "baseline": made("baseline"),
    }


def _is_joint(job: Job) -> bool:
    return job.request.matrix_sharing_used == "joint"


def _check_strata(job: Job, done: Done) -> None:
    """Raises RuntimeError unless what is done are the strata of the job, each once and in their order."""
    keys = [key for chunk in job.chunks for key in chunk.batch.strata]
    if [key for chunk, _ in done for key in chunk.batch.strata] != keys:
        raise RuntimeError(f"{job.run}: the chunks to publish do not hold the strata of the run, each once")


def _check_rows(chunk: Chunk, algorithms: Iterable[str], table: str, rows: pa.Table) -> None:
    """Raises RuntimeError unless the chunk has the rows of all its fits (csmf: and causes), each once."""
    axes = {"stratum": chunk.batch.strata, "algorithm": algorithms}
    if table == "csmf":
        axes["cause"] = chunk.batch.causes
    expected = Counter(product(*axes.values()))
    found = Counter(zip(*(rows[name].to_pylist() for name in axes), strict=True))
    if found != expected:
        lacking, extra = (expected - found).total(), (found - expected).total()
        raise RuntimeError(f"chunk {chunk.id}: table {table} lacks {lacking} rows, and {extra} are too many")


def _records(job: Job, done: Done) -> Iterator[pa.Table]:
    """The records of every chunk, then those that are in none."""
    yield from _parts(job, done, "records")
    yield from _unplaced(job)


def _unplaced(job: Job) -> Iterator[pa.Table]:
    """Records without a known age group or country: in no chunk, and all of them rejected."""
    placed = [key for chunk in job.chunks for key in chunk.batch.strata]
    records = job.tabulation.records
    rest = records.filter(pc.invert(pc.is_in(records["stratum"], pa.array(placed, pa.string()))))
    if rest.num_rows:
        yield unplaced_records(rest, job.tabulation.strata, job.work.identity)


def _roll_up(job: Job, done: Done, records: pa.Table, checks: Sequence[str]) -> dict[str, list[pa.Table]]:
    """The roll-ups' rows of csmf, rollups, and contrasts; nothing that is not asked for."""
    if job.work.roll_ups is None:
        return {}
    compared = {(pair.level, group) for pair in job.contrasts for group in pair.groups}
    draws: dict[Key, NDArray[np.float64]] = {}

    def keep(key: Key, values: NDArray[np.float64]) -> None:
        if key[:2] in compared:
            draws[key] = values

    pairs = zip(_parts(job, done, "rollup_fits"), _parts(job, done, "rollup_sums"), strict=True)
    csmf, levels = rollups.combine(
        job.work.roll_ups,
        ({"rollup_fits": fits, "rollup_sums": sums} for fits, sums in pairs),
        algorithms=list(job.strata_per_algorithm),
        strata_columns=job.request.columns.strata,
        quantiles=job.request.quantiles,
        unreliable_share=job.request.unreliable_share,
        joint_groups=job.request.joint_groups,
        on_draws=keep,
        constants=job.work.identity.constants,
    )
    check: pa.Table | None = None
    if checks:
        csmf, levels, check = rollups.checked(
            csmf,
            levels,
            (results.read_chunk(job.work.root, job.run, one, "totals") for one in checks),
            strata_columns=job.request.columns.strata,
            quantiles=job.request.quantiles,
            constants=job.work.identity.constants,
        )
    with_verdicts = add_verdicts(
        {"csmf": csmf, "rollups": levels, "records": records}, job.request.verdict_rules, job.work.unplaced
    )
    named = [rollups.level_name(columns, job.request.columns.strata) for columns in job.request.roll_ups]
    of_levels = {name: with_verdicts[name] for name in ("csmf", "rollups")}
    if check is not None:
        of_levels["checks"] = check
    asked_for: dict[str, list[pa.Table]] = {
        name: [table.filter(pc.is_in(table["level"], pa.array(named, pa.string())))]
        for name, table in of_levels.items()
        if named
    }
    if job.contrasts:
        asked_for["contrasts"] = [
            rollups.contrasts_table(
                job.contrasts,
                with_verdicts["csmf"],
                draws,
                rules=job.request.verdict_rules,
                strata_columns=job.request.columns.strata,
                quantiles=job.request.quantiles,
                constants=job.work.identity.constants,
            )
        ]
    return asked_for
