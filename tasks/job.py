"""A run, step by step and without Prefect: prepare it, calibrate each of its chunks, publish it."""

from __future__ import annotations

import dataclasses
import logging
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import chain, product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks import contrasts, rollup_plan, rollup_weights, rollups, store
from tasks.boundaries import read_boundaries
from tasks.chunks import Chunk, split
from tasks.engine import Progress, calibrate_batch, engine_versions
from tasks.errors import EngineError, InputError, StorageError
from tasks.flags import in_words
from tasks.ingest import Tabulation, check_records_add_up, tabulate
from tasks.inventory import load_inventory
from tasks.matrices import Inventory
from tasks.r_process import Pool, ProcessLostError, TimedOutError
from tasks.report import render_report
from tasks.request import CalibrationRequest
from tasks.rollup_sums import Key, partial_sums
from tasks.schema import ENSEMBLE
from tasks.storage import Storage, errors, filesystem
from tasks.tables import Identity, chunk_tables, failed_tables, unplaced_records
from tasks.verdict import VerdictRules, add_verdicts
from tasks.view import View

MADE_UP = ("illustrative", "inventory")  # sources of matrices whose causes are the standard ones
STATUSES = ("failed", "calibrated", "not_calibrated", "not_fitted", "no_result")
"""Of a stratum, the one that says most of it first."""
RESULT = ("calibrated", "not_calibrated")
"""Statuses of a fit that has estimates."""
JOINT_TABLES = ("joint_fits", "misfit")
COMPLETE, WITH_FAILURES, FAILED = "complete", "complete_with_failures", "failed"
R_PROCESS_LOST, TIMED_OUT, ENGINE_ERROR = "r_process_lost", "timed_out", "engine_error"


class OtherEngineError(EngineError):
    """A chunk was computed by another version of the R package than the run is known by."""


@dataclass(frozen=True)
class Work:
    """What a task must know besides its chunk: small enough to be sent along with each."""

    root: str
    """Root of the results store, absolute: a task may run in another working directory."""
    run: str
    engine: str
    """Version of the R package vacal that the run is known by: every chunk must be computed by it."""
    identity: Identity
    keep_draws: bool
    verdict_rules: VerdictRules
    roll_ups: rollup_plan.Plan | None

    def of(self, chunk: Chunk) -> Work:
        """The same with no more of the roll-ups than the chunk needs."""
        if self.roll_ups is None:
            return self
        part = self.roll_ups.only(chunk.batch.strata)
        return dataclasses.replace(self, roll_ups=part)


@dataclass(frozen=True)
class Job:
    """A run that is ready to be computed: input read and checked, strata dealt into chunks."""

    request: CalibrationRequest
    inventory: Inventory
    tabulation: Tabulation
    chunks: Sequence[Chunk]
    work: Work
    boundaries: str | None
    """Text of the GeoJSON file for the report's maps."""
    contrasts: Sequence[contrasts.Pair] = ()

    @property
    def run(self) -> str:
        """The run's id, see `store.run_id`."""
        return self.work.run

    @property
    def uri(self) -> str:
        """Address of the run's folder, in the words of the request."""
        return Storage(self.request.output).uri(f"runs/{self.run}")

    @cached_property
    def strata_per_algorithm(self) -> dict[str, int]:
        """Fits to be done of each algorithm and of the ensemble."""
        names = [*self.request.algorithms, *([ENSEMBLE] if self.request.ensemble_used else [])]
        return dict.fromkeys(names, sum(len(chunk.batch.strata) for chunk in self.chunks))


# --- before any work ------------------------------------------------------------------------------


def prepare(request: CalibrationRequest) -> Job:
    """Read the inventory, the input and the boundaries, and deal the strata into chunks.

    Raises InputError with every problem, InventoryError, StorageError; nothing is written.
    """
    inventory = load_inventory(request.matrix.source)
    tabulation = tabulate(request, None if request.matrix.source in MADE_UP else inventory.broad_causes())
    chunks = split(tabulation, inventory, request)
    boundaries = read_boundaries_of(request, tabulation)
    columns, weights_uri = request.columns.strata, request.roll_up_weights
    weights = rollup_weights.read_weights(weights_uri, columns) if weights_uri else None
    engine = engine_versions()["engine"]
    run = _run_id(request, inventory, tabulation, weights, engine)
    plan = rollup_plan.plan(tabulation.strata, columns, request.levels, weights) if request.levels else None
    _give_back()
    pairs = contrasts.pairs(plan, request) if plan and request.contrasts else []
    contrasts.check_size(pairs, request, max((len(chunk.batch.causes) for chunk in chunks), default=0))
    work = Work(
        absolute_root(request.output),
        run,
        engine,
        Identity.of(run, request, inventory),
        request.keep_draws,
        request.verdict_rules,
        plan,
    )
    return Job(request, inventory, tabulation, chunks, work, boundaries, pairs)


def absolute_root(output: str) -> str:
    """The root of the results store, wherever the process that asks for it has its working directory."""
    return output if "://" in output else filesystem(output)[1]


def read_boundaries_of(request: CalibrationRequest, tabulation: Tabulation) -> str | None:
    """The text of the boundaries that the request names. Raises InputError if no map can be made of them."""
    uri, columns = request.boundaries, request.columns.strata
    if uri is None:
        return None
    try:
        text = _text(uri)
    except StorageError as error:
        raise InputError(f"boundaries: {error}") from None
    mapped = [column for column in columns if (column,) in request.roll_ups or columns == (column,)]
    if not mapped:
        raise InputError(
            "boundaries: a map needs one result for each place: name the strata column that holds the "
            "places, and add its roll-up where there are other strata columns (roll_ups: [[province]])"
        )
    values = {str(value) for column in mapped for value in tabulation.strata[column].to_pylist()}
    read_boundaries(text, values, f"boundaries {uri}")
    return text


def resolved(request: CalibrationRequest) -> dict[str, Any]:
    """The request as it is run, in JSON values: every default that depends on another field filled in."""
    used: dict[str, Any] = {
        "matrix_sharing": request.matrix_sharing_used,
        "path_correction": request.path_correction_used,
        "effective_draws": request.effective_draws_used,
        "ensemble": request.ensemble_used,
    }
    if request.matrix_sharing_used == "per_stratum":
        used["shrinkage"] = request.shrinkage_used
    return request.model_dump(mode="json") | used


def _run_id(
    request: CalibrationRequest,
    inventory: Inventory,
    tabulation: Tabulation,
    weights: pa.Table | None,
    engine: str,
) -> str:
    options = resolved(request)
    if weights is not None:
        options["roll_up_weights_checksum"] = rollup_weights.checksum(weights)
    versions = {"vacal": version("vacal"), "engine": engine}
    known = {"id": inventory.id, "version": inventory.version, "checksum": inventory.checksum}
    return store.run_id(request.name, options, tabulation.checksum, versions, known)


# --- a chunk --------------------------------------------------------------------------------------


def calibrate_chunk(
    chunk: Chunk,
    work: Work,
    *,
    log: logging.Logger | logging.LoggerAdapter[Any],
    progress: Progress | None,
    pool: Pool | None,
    timeout: float | None,
) -> str:
    """Calibrate a chunk's strata and keep their tables in the store; returns the chunk's address there.

    Raises what `calibrate_batch` raises, OtherEngineError, StorageError.
    """
    result = calibrate_batch(chunk.batch, log=log, progress=progress, pool=pool, timeout=timeout)
    if result.engine_version != work.engine:
        raise OtherEngineError(
            f"{platform.node()} computes with the R package vacal {result.engine_version}, but this run was "
            f"prepared for {work.engine}: install the same version wherever chunks run (script/bootstrap)"
        )
    tables = _judged(chunk_tables(chunk, result, work.identity), work)
    store.put_chunk(work.root, work.run, chunk.id, tables)
    del result, tables
    _give_back()
    return Storage(work.root).uri(f"work/{work.run}/{chunk.id}")


def _give_back() -> None:
    """Give memory that is free again back to the system: what each thread keeps of it would add up."""
    pa.default_memory_pool().release_unused()


def _judged(tables: dict[str, pa.Table], work: Work) -> dict[str, pa.Table]:
    """With verdicts and shares of the roll-ups; the draws only where they are kept."""
    judged = {name: table for name, table in tables.items() if name != "draws"}
    judged |= add_verdicts({name: tables[name] for name in ("csmf", "strata", "records")}, work.verdict_rules)
    if work.roll_ups is not None:
        judged |= partial_sums(work.roll_ups, tables["strata"], tables["csmf"], tables["draws"])
    if work.keep_draws:
        judged["draws"] = tables["draws"]
    return judged


# --- publication ----------------------------------------------------------------------------------

Done = Sequence[tuple[Chunk, str | None]]
"""Every chunk in the order of the strata, with the reason why R never finished it, None if it did."""

_OF_FITS = ("stratum", "algorithm", "status", "reason")
_OF_RECORDS = ("algorithm", "disposition", "records")
"""Columns of strata and of records that are in memory for all strata; the others chunk by chunk."""


def publish(job: Job, done: Done, timings: Mapping[str, Any], *, replace: bool) -> dict[str, Any]:
    """Write the run's tables and then its manifest, which makes it visible; returns the manifest.

    Raises StorageError, DamagedChunkError, and RuntimeError if records do not add up or rows are missing.
    """
    _check_strata(job, done)
    strata = pa.concat_tables(part.select(_OF_FITS) for part in _parts(job, done, "strata"))
    of_records = ("stratum", "age_group", "country", *job.request.columns.strata, *_OF_RECORDS)
    records = pa.concat_tables(part.select(of_records) for part in _records(job, done))
    check_records_add_up(job.tabulation, records)
    totals = _roll_up(job, done, records)
    tables: dict[str, Iterable[pa.Table]] = {
        "csmf": chain(_parts(job, done, "csmf"), totals.get("csmf", ())),
        "strata": _parts(job, done, "strata"),
        "records": _records(job, done),
        "matrices": _parts(job, done, "matrices"),
        **{name: totals[name] for name in ("rollups", "contrasts") if name in totals},
        **{name: _parts(job, done, name) for name in JOINT_TABLES if _is_joint(job)},
        **({"draws": _parts(job, done, "draws")} if job.work.keep_draws else {}),
    }
    description = describe(job, strata, records)
    manifest = store.publish(job.work.root, job.run, tables, description, timings, replace=replace)
    _give_back()
    if not may_heal(manifest):  # else the next call of the request finds the finished chunks
        store.remove_work(job.work.root, job.run)
    return manifest


def reason_lost(error: EngineError) -> str:
    """Why R never finished a chunk, as the tables say it; the whole story is in the log."""
    if isinstance(error, TimedOutError):
        return TIMED_OUT
    return R_PROCESS_LOST if isinstance(error, ProcessLostError) else ENGINE_ERROR


def may_heal(manifest: Mapping[str, Any]) -> bool:
    """Whether strata of a published run were lost with their R process: another try may succeed.

    A stratum that fails by its numbers, or by an error of R, would fail again.
    """
    return any(failure["reason"] in (R_PROCESS_LOST, TIMED_OUT) for failure in manifest.get("failures", ()))


def write_report(job: Job, view: View) -> str:
    """Write the page that people read into the folder of the published run; returns its address.

    `view`: of that run. The page is made from the published tables and the boundaries alone and is not among
    the manifest's files. Raises StorageError.
    """
    language = job.request.report_language
    path = f"runs/{job.run}/report-{language}.html"
    page = render_report(view, language, job.boundaries)
    Storage(job.work.root).write(path, page.encode())
    return Storage(job.request.output).uri(path)


def _text(uri: str) -> str:
    fs, path = filesystem(uri)
    with errors(uri), fs.open(path, "rt", encoding="utf-8") as file:
        return str(file.read())


def describe(job: Job, strata: pa.Table, records: pa.Table) -> dict[str, Any]:
    """What the manifest says of the run, see docs/outputs.md."""
    statuses = Counter(status for _, status in stratum_statuses(strata))
    inventory = {
        name: getattr(job.inventory, name)
        for name in ("id", "version", "checksum", "source", "illustrative", "verified")
    }
    return {
        "name": job.request.name,
        "status": run_status(statuses, some_result=bool({*RESULT} & {*strata["status"].to_pylist()})),
        "request": resolved(job.request),
        "input": {"checksum": job.tabulation.checksum, "sources": job.tabulation.sources},
        "versions": versions(),
        "inventory": inventory,
        "seed": job.request.seed,
        "strata": dict(sorted(statuses.items())),
        "records": _total(records),
        "warnings": list(_warnings(job)),
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


def versions() -> dict[str, str]:
    """Versions of all that takes part in a run."""
    packages = {name: version(name) for name in ("vacal", "prefect", "rpy2", "numpy", "pyarrow", "duckdb")}
    return {**packages, "python": platform.python_version(), **engine_versions()}


def _parts(job: Job, done: Done, table: str) -> Iterator[pa.Table]:
    """That table of every chunk, one at a time."""
    for chunk, reason in done:
        if reason is None:
            part = store.read_chunk(job.work.root, job.run, chunk.id, table)
        else:
            lost = failed_tables(chunk, reason, job.work.identity)
            part = _judged(lost, job.work.of(chunk)).get(table)
        if table in ("strata", "csmf"):
            _check_rows(chunk, job.strata_per_algorithm, table, part)
        if part is not None:
            yield part


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


def _roll_up(job: Job, done: Done, records: pa.Table) -> dict[str, list[pa.Table]]:
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
    judged = add_verdicts({"csmf": csmf, "rollups": levels, "records": records}, job.request.verdict_rules)
    named = [rollup_plan.level_name(columns, job.request.columns.strata) for columns in job.request.roll_ups]
    asked_for: dict[str, list[pa.Table]] = {
        name: [judged[name].filter(pc.is_in(judged[name]["level"], pa.array(named, pa.string())))]
        for name in ("csmf", "rollups")
        if named
    }
    if job.contrasts:
        asked_for["contrasts"] = [
            contrasts.table(
                job.contrasts,
                judged["csmf"],
                draws,
                rules=job.request.verdict_rules,
                strata_columns=job.request.columns.strata,
                quantiles=job.request.quantiles,
                constants=job.work.identity.constants,
            )
        ]
    return asked_for


def _total(records: pa.Table) -> dict[str, int]:
    sums = records.group_by("disposition").aggregate([("records", "sum")])
    pairs = zip(sums["disposition"].to_pylist(), sums["records_sum"].to_pylist(), strict=True)
    return dict(sorted(pairs))


def _failures(strata: pa.Table) -> list[dict[str, str]]:
    failed = strata.filter(pc.equal(strata["status"], "failed"))
    return list(failed.select(["stratum", "algorithm", "reason"]).to_pylist())


def _warnings(job: Job) -> Iterator[str]:
    """What a reader of the results must know, one sentence each."""
    yield from job.tabulation.notes
    made_up = ["illustrative"] if job.inventory.illustrative else []
    yield from in_words([*made_up, *job.work.identity.constants.get("flags", [])])
    for country in dict.fromkeys(c.strata["country"][0].as_py() for c in job.chunks if c.served_by_other):
        yield f"{country}: {in_words(['country_served_by_other'])[0]}"
