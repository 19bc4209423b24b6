"""One chunk of a run: calibrated, judged and kept in the store, or lost with its reason."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pyarrow as pa

from tasks import results
from tasks.engine import OnProgress, Pool, ProcessLostError, TimedOutError, calibrate_batch
from tasks.errors import EngineError
from tasks.rollups import partial_sums
from tasks.run.baselines import with_baselines
from tasks.run.chunks import Chunk
from tasks.run.job import Work, check_engine, give_back
from tasks.run.tables import chunk_tables
from tasks.storage import Storage
from tasks.verdict import add_verdicts

R_PROCESS_LOST, TIMED_OUT, ENGINE_ERROR = "r_process_lost", "timed_out", "engine_error"


def calibrate_chunk(
    chunk: Chunk,
    work: Work,
    *,
    log: logging.Logger | logging.LoggerAdapter[Any],
    progress: OnProgress | None,
    pool: Pool | None,
    timeout: float | None,
) -> str:
    """Calibrate a chunk's strata and keep their tables in the store; returns the chunk's address there.

    Raises what `calibrate_batch` raises, OtherEngineError, StorageError.
    """
    batch = chunk.batch if chunk.batch.common is None else with_baselines(chunk.batch, chunk.place, work)
    result = calibrate_batch(batch, log=log, progress=progress, pool=pool, timeout=timeout)
    check_engine(work, result.engine_version)
    tables = judged(chunk_tables(replace(chunk, batch=batch), result, work.identity), work)
    results.put_chunk(work.root, work.run, chunk.id, tables)
    del result, tables
    give_back()
    return Storage(work.root).uri(f"work/{work.run}/{chunk.id}")


def judged(tables: dict[str, pa.Table], work: Work) -> dict[str, pa.Table]:
    """With verdicts and shares of the roll-ups; the draws only where they are kept."""
    out = {name: table for name, table in tables.items() if name != "draws"}
    of_fits = {name: tables[name] for name in ("csmf", "strata", "records")}
    out |= add_verdicts(of_fits, work.verdict_rules, work.unplaced)
    if work.roll_ups is not None:
        out |= partial_sums(work.roll_ups, tables["strata"], tables["csmf"], tables["draws"])
    if work.keep_draws:
        out["draws"] = tables["draws"]
    return out


def reason_lost(error: EngineError) -> str:
    """Why R never finished a chunk, as the tables say it; the whole story is in the log."""
    if isinstance(error, TimedOutError):
        return TIMED_OUT
    return R_PROCESS_LOST if isinstance(error, ProcessLostError) else ENGINE_ERROR
