"""What a batch is expected to cost: how strata are dealt into chunks, and when R is taken to hang."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.engine import Batch, threads

CHUNK_SECONDS = 10.0
"""Expected work of a chunk, one core: about a hundred times what Prefect and the store cost for it."""

DRAWS_BYTES = 256 * 2**20
"""Most that the posterior draws of a chunk may take, where they are wanted."""

JOINT_SECONDS = 0.004
"""Of a joint fit for each stratum, algorithm, pair of causes and 1,000 effective draws."""

JOINT_SHARED = 10
"""Strata that cost as much as what all of a joint fit share."""

COMMON_SECONDS = 3e-4
"""By common matrix draws of a stratum, for each algorithm of each fit, pair of causes and 1,000 draws."""

BASELINE_SECONDS = 0.03
"""Of a baseline, for the same: its chains, its units and what it learns."""

START_SECONDS = {"vacal": 1.0, "vacalibration": 40.0}
"""Until a fresh R process computes, by engine: the published one compiles its model in each."""

TIMEOUT_FACTOR = 10.0
"""How much slower than expected a machine may be before its R process is taken to hang."""


def expected_seconds(batch: Batch) -> float:
    """Expected work of a batch on one core, in seconds, once its R process is ready (`START_SECONDS`).

    Engine vacal: fitted to processor seconds of R on one machine for K = 1, 2, 3, C = 6 and 9, 1,000 and
    4,000 draws (by hand; the greatest error was a third). Engine vacalibration: by the times measured of the
    published package at 5,000 draws after 5,000 of warm-up: 4.3 s for one algorithm (C = 6), 29 s for three
    and the ensemble, 57 s for the same with C = 9. Good enough to deal strata; other machines differ.
    The joint model: processor seconds of its threads together, in proportion to strata, algorithms of each
    fit and effective draws, by figures for ensembles of 3 algorithms and 1,000 effective draws (55 strata,
    C = 5: 14 s, C = 8: 59 s; 220 strata: 64 s and 268 s, script/bench_joint.R); hard posteriors take many
    times that. Common matrix draws: 40 strata of 100 deaths, three algorithms and the ensemble, C = 9, 2,000
    draws: 0.27 s a stratum, and once 29 s for the baselines.
    """
    strata, algorithms, causes = batch.counts.shape
    if batch.matrix_sharing == "joint":
        fitted = algorithms * (1 + batch.ensemble) * (strata + JOINT_SHARED)
        return float(JOINT_SECONDS * fitted * causes**2 * max(batch.effective_draws, 500) / 1000)
    if batch.matrix_sharing == "common":
        fitted = algorithms * (1 + batch.ensemble) * strata
        return float(COMMON_SECONDS * fitted * causes**2 * batch.draws / 1000)
    if batch.engine == "vacalibration":
        seconds = (4.3 + 5.4 * batch.ensemble) * algorithms * (batch.draws + 5000) / 10_000
        return float(strata * seconds * (causes / 6) ** (5 / 3))
    draws = max(batch.draws, batch.effective_draws)
    seconds = algorithms * (1e-4 + 1.4e-7 * draws)
    if batch.ensemble:
        seconds += 2.5e-4 + 2.5e-7 * algorithms * draws
    return float(strata * seconds * causes**2)


def baseline_seconds(batch: Batch, algorithms: int) -> float:
    """Expected work of a baseline of a fit with so many algorithms, on one core, in seconds."""
    causes = batch.counts.shape[2]
    return float(BASELINE_SECONDS * algorithms * causes**2 * batch.draws / 1000)


def run_seconds(batches: Sequence[Batch], workers: int, before: Sequence[float] = ()) -> float:
    """Expected time of a run on so many cores: the start of R in each process, and the work.

    `before`: seconds of each task that must be done first.
    """
    if before:
        return max(sum(before) / workers, *before) + run_seconds(batches, workers)
    if not batches:
        return 0.0
    at_a_time = sum(threads(batch, workers) for batch in batches)
    whole = sum(expected_seconds(batch) for batch in batches) / min(workers, at_a_time)
    longest = max(expected_seconds(batch) / threads(batch, workers) for batch in batches)
    return START_SECONDS[batches[0].engine] + max(whole, longest)


def time_limit(batch: Batch, floor: float, before: float = 0.0) -> float:
    """Seconds after which the R process of a batch is taken to hang: a multiple of the expected ones.

    `floor`: the least, whatever is expected (VACAL_R_TIMEOUT). `before`: expected besides the batch.
    """
    return max(floor, TIMEOUT_FACTOR * (START_SECONDS[batch.engine] + expected_seconds(batch) + before))


def chunk_size(batch: Batch) -> int:
    """Strata in a chunk, from the expected cost of one and the memory of its draws."""
    strata, algorithms, causes = batch.counts.shape
    size = CHUNK_SECONDS * strata / expected_seconds(batch)
    if batch.keep_draws or batch.common is not None:  # whose priors R holds by draw
        size = min(size, DRAWS_BYTES / (8 * (algorithms + 1) * batch.draws * causes))
    return max(1, int(size))
