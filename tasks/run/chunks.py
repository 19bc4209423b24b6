"""Deals strata into chunks, each the work of one task: one age group, one country, a contiguous range.

A chunk is large enough that orchestration hardly counts and small enough that little is lost with it. How
strata are dealt never changes a result; common matrix draws need a baseline of all strata first
(tasks/run/baselines.py). In the joint model the strata of an age group and country, or of each
of the groups that the request names, are one fit and so one chunk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from math import ceil
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.engine import Batch, Common
from tasks.errors import InputError
from tasks.ingest import Tabulation
from tasks.matrices import Inventory, MatrixEntry
from tasks.request import CalibrationRequest
from tasks.run.cost import chunk_size
from tasks.terms import AGE_GROUPS, MOST_CAUSES, normal, show

JOINT_SIZE = 20_000
"""Most strata x causes of a joint fit, as in the R package."""

JOINT_DRAWS_BYTES = 2**30
"""Most that the kept draws of a joint fit's strata may take: R and Python hold a few copies of them."""

Counts = Mapping[tuple[str, str], int]
"""Deaths of a stratum by algorithm and cause."""


@dataclass(frozen=True)
class Chunk:
    """The work of one task. S strata, K algorithms, C causes as in `Batch`."""

    id: str
    """12 hexadecimal digits over the strata's keys."""
    name: str
    """Its first and last stratum, as in "neonate Mozambique Nampula 2023 .. Tete 2024"."""
    batch: Batch
    deaths: NDArray[np.int64]
    """[S, K, C] deaths by VA cause; `batch.counts` has 0 where an algorithm has fewer than the minimum."""
    strata: pa.Table
    """The rows of `Tabulation.strata`: the identity columns and deaths received, S rows."""
    records: pa.Table
    """The rows of `Tabulation.records` of its strata."""
    matrix_countries: tuple[str, ...]
    """For each algorithm the entry of the inventory that was used."""
    served_by_other: bool
    """The country has no entry of its own in the inventory."""

    @property
    def too_few(self) -> NDArray[np.bool_]:
        """[S, K] where an algorithm has deaths, but fewer than the request's minimum: it is not fitted."""
        return np.asarray((self.deaths != self.batch.counts).any(axis=2))

    @property
    def joint(self) -> bool:
        """Its strata are one fit, and cannot be tried one by one."""
        return self.batch.matrix_sharing == "joint"

    @property
    def place(self) -> str:
        """Key of its age group and country."""
        return "/".join(self.batch.strata[0].split("/")[:2])

    def singles(self) -> list[Chunk]:
        """A chunk for each of its strata."""
        return [_chunk(self, np.array([i])) for i in range(len(self.batch.strata))]


def split(tabulation: Tabulation, inventory: Inventory, request: CalibrationRequest) -> list[Chunk]:
    """Chunks in the order of the strata, each stratum in exactly one.

    Strata of unknown age group or country hold rejected records only and are in none.
    Raises InputError with every problem, where the inventory does not serve the request.
    """
    problems: list[str] = []
    chunks: list[Chunk] = []
    for whole in _groups(tabulation, inventory, request, problems):
        if whole.joint:
            fits = _joint_fits(whole, request.joint_groups)
            problems += [text for fit in fits for text in _too_large(fit, request)]
            chunks += fits
        else:
            rows = np.arange(len(whole.batch.strata))
            size = request.chunk_strata or chunk_size(whole.batch)
            chunks += [_chunk(whole, rows[part]) for part in even_ranges(len(rows), size)]
    if problems:
        raise InputError(list(dict.fromkeys(problems)))
    return chunks


def even_ranges(total: int, size: int) -> Iterator[slice]:
    """Contiguous ranges over `total`, none larger than `size`, their sizes at most one apart."""
    count = ceil(total / size)
    ends = [total * i // count for i in range(count + 1)]
    return (slice(start, end) for start, end in pairwise(ends))


def stratum_words(row: Mapping[str, Any]) -> list[str]:
    """The values of a stratum: age group, country, and those of the strata columns."""
    return [str(value) for name, value in row.items() if name not in ("stratum", "deaths")]


def _groups(
    tabulation: Tabulation, inventory: Inventory, request: CalibrationRequest, problems: list[str]
) -> Iterator[Chunk]:
    """One chunk for each age group and country with all its strata; what is wrong is added to `problems`."""
    counts = _counts_by_stratum(tabulation.counts)
    rows = tabulation.strata.to_pylist()
    first = 0
    for (age_group, country), members in groupby(rows, key=lambda row: (row["age_group"], row["country"])):
        part = slice(first, first + len(list(members)))
        first = part.stop
        if age_group not in AGE_GROUPS or country.startswith("("):
            continue
        try:
            entries = [
                inventory.matrices(age_group, a, country, request.matrix.type) for a in request.algorithms
            ]
            deaths = [counts.get(row["stratum"], {}) for row in rows[part]]
            strata = tabulation.strata.slice(part.start, len(deaths))
            yield _group(request, strata, tabulation.records, deaths, entries)
        except InputError as error:
            problems += error.problems


def _group(
    request: CalibrationRequest,
    strata: pa.Table,
    records: pa.Table,
    counts: Sequence[Counts],
    entries: Sequence[MatrixEntry],
) -> Chunk:
    broad = tuple(entries[0].causes)
    study = _study_causes(request.study_cause_map, broad)
    causes = broad if study is None else tuple(study)
    if len(broad) > MOST_CAUSES:
        raise InputError(
            f"the misclassification matrices have {len(broad)} causes; "
            f"at most {MOST_CAUSES} can be calibrated: merge some"
        )
    deaths = _array(counts, request.algorithms, causes)
    received = deaths.sum(axis=2, keepdims=True)
    batch = Batch(
        strata=tuple(strata["stratum"].to_pylist()),
        algorithms=request.algorithms,
        causes=causes,
        counts=np.where(received < request.minimum_deaths, 0, deaths),
        broad_causes=broad,
        matrices=tuple(_in_order(entry, broad) for entry in entries),
        matrix_type=request.matrix.type,
        study_causes=None if study is None else tuple(study.values()),
        do_not_calibrate=tuple(_left_out(request, algorithm) for algorithm in request.algorithms),
        rule=request.do_not_calibrate_rule,
        threshold=request.threshold,
        path_correction=request.path_correction_used,
        shrinkage=request.shrinkage_used,
        ensemble=request.ensemble_used,
        draws=request.draws_used,
        effective_draws=request.effective_draws_used,
        seed=request.seed,
        quantiles=request.quantiles,
        keep_draws=request.keep_draws or bool(request.levels),
        engine=request.engine,
        matrix_sharing=request.matrix_sharing_used,
        common=_common(request, strata) if request.matrix_sharing_used == "common" else None,
    )
    return Chunk(
        id="",
        name="",
        batch=batch,
        deaths=deaths,
        strata=strata,
        records=_of_strata(records, batch.strata),
        matrix_countries=tuple(entry.country_used for entry in entries),
        served_by_other=any(entry.by_other for entry in entries),
    )


def _common(request: CalibrationRequest, strata: pa.Table) -> Common:
    """What common matrix draws centre these strata on; weights of one's own reach strata without deaths."""
    columns = request.centre_used
    rows = strata.select(list(columns)).to_pylist() if columns else [{}] * strata.num_rows
    return Common(
        columns=columns,
        units=tuple(tuple(row[name] for name in columns) for row in rows),
        place="/".join(strata["stratum"][0].as_py().split("/")[:2]),
        borrow=request.roll_up_weights is not None,
    )


def _joint_fits(whole: Chunk, groups: Sequence[str]) -> list[Chunk]:
    """A chunk for each value of the group columns, with random numbers of its own; else one in all."""
    if not groups:
        return [_chunk(whole, np.arange(len(whole.batch.strata)))]
    members: dict[tuple[str, ...], list[int]] = {}
    for index, row in enumerate(whole.strata.select(list(groups)).to_pylist()):
        members.setdefault(tuple(row.values()), []).append(index)
    fits = [_chunk(whole, np.array(rows)) for rows in members.values()]
    seeds = [hashlib.sha256(f"{whole.batch.seed} {fit.id}".encode()).hexdigest()[:7] for fit in fits]
    return [
        replace(fit, batch=replace(fit.batch, seed=int(seed, 16)))
        for fit, seed in zip(fits, seeds, strict=True)
    ]


def _too_large(fit: Chunk, request: CalibrationRequest) -> Iterator[str]:
    """What a joint fit has too much of, each with what to do."""
    strata, algorithms, causes = fit.batch.counts.shape
    place = " ".join(stratum_words(fit.strata.slice(0, 1).to_pylist()[0])[:2])
    further = "further columns" if request.joint_groups else "columns, such as region,"
    split_up = (
        f"name {further} in joint_groups (a fit for each of their values; docs/joint.md says what that does "
        "to intervals), or fewer columns in columns.strata"
    )
    if strata * causes > JOINT_SIZE:
        yield (
            f"matrix_sharing: a joint fit of {place} would hold {strata:,} strata of {causes} causes, and "
            f"takes at most {JOINT_SIZE:,} strata x causes; {split_up}"
        )
    each = 8 * strata * (algorithms + fit.batch.ensemble) * causes
    if fit.batch.keep_draws and each * fit.batch.draws > JOINT_DRAWS_BYTES:
        yield (
            f"draws: {fit.batch.draws:,} draws of {strata:,} strata of {place} take more memory than the "
            f"{JOINT_DRAWS_BYTES // 2**20:,} MB of a joint fit; ask for at most "
            f"{JOINT_DRAWS_BYTES // each:,}, or {split_up}"
        )


def _of_strata(records: pa.Table, strata: Sequence[str]) -> pa.Table:
    return records.filter(pc.is_in(records["stratum"], pa.array(strata, pa.string())))


def _chunk(whole: Chunk, rows: NDArray[np.int64]) -> Chunk:
    """The part of a chunk with the strata at these rows."""
    keys = tuple(whole.batch.strata[row] for row in rows)
    strata = whole.strata.take(pa.array(rows))
    first, last = (stratum_words(row) for row in strata.take([0, len(keys) - 1]).to_pylist())
    return replace(
        whole,
        id=hashlib.sha256("\n".join(keys).encode()).hexdigest()[:12],
        name=" ".join(first if len(keys) == 1 else [*first, "..", *last[2:]]),
        batch=_part(whole.batch, keys, rows),
        deaths=whole.deaths[rows],
        strata=strata,
        records=_of_strata(whole.records, keys),
    )


def _part(batch: Batch, keys: tuple[str, ...], rows: NDArray[np.int64]) -> Batch:
    common = batch.common and replace(batch.common, units=tuple(batch.common.units[row] for row in rows))
    return replace(batch, strata=keys, counts=batch.counts[rows], common=common)


def _counts_by_stratum(counts: pa.Table) -> Mapping[str, Counts]:
    found: dict[str, dict[tuple[str, str], int]] = {}
    columns = (counts[name].to_pylist() for name in ("stratum", "algorithm", "cause", "deaths"))
    for stratum, algorithm, cause, deaths in zip(*columns, strict=True):
        found.setdefault(stratum, {})[algorithm, cause] = deaths
    return found


def _array(counts: Sequence[Counts], algorithms: Sequence[str], causes: Sequence[str]) -> NDArray[np.int64]:
    if foreign := sorted({cause for of_one in counts for _, cause in of_one} - set(causes)):
        raise InputError(
            f"the misclassification matrices have no {', '.join(map(show, foreign))}, "
            f"which the deaths have; the matrices' causes: {', '.join(causes)}"
        )
    cells = [[[of_one.get((a, c), 0) for c in causes] for a in algorithms] for of_one in counts]
    return np.array(cells, dtype=np.int64)


def _in_order(entry: MatrixEntry, causes: tuple[str, ...]) -> NDArray[np.float64]:
    """The matrix with its rows and columns in the order of `causes`."""
    if set(entry.causes) != set(causes):
        raise InputError(
            f"the matrices of the algorithms have different causes: {', '.join(causes)}; "
            f"and {', '.join(entry.causes)}"
        )
    order = [entry.causes.index(cause) for cause in causes]
    return entry.values[..., order, :][..., :, order]


def _study_causes(study_map: Mapping[str, str] | None, broad: Sequence[str]) -> dict[str, str] | None:
    """Study cause -> broad cause in the matrices' own spelling, in the order of the map."""
    if study_map is None:
        return None
    spelled = {normal(cause): cause for cause in broad}
    problems = [
        f"study_cause_map: {show(study)} is mapped to {show(cause)}, which the misclassification matrices do "
        f"not have; they have: {', '.join(broad)}"
        for study, cause in study_map.items()
        if normal(cause) not in spelled
    ]
    if problems:
        raise InputError(problems)
    return {study.strip(): spelled[normal(cause)] for study, cause in study_map.items()}


def _left_out(request: CalibrationRequest, algorithm: str) -> tuple[str, ...]:
    """The causes that the request says not to calibrate; an algorithm that its map does not name has none."""
    named = request.do_not_calibrate
    return tuple(named.get(algorithm, ())) if isinstance(named, dict) else tuple(named)
