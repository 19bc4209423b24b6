"""Simulated deaths, drawn block by block: the truth of each, and what each algorithm says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.simulate.plan import SimulationPlan
from tasks.simulate.world import Floats, World
from tasks.terms import UNDETERMINED

Codes = NDArray[np.int64]

BLOCK = 50_000
"""Deaths in a block; each block has random numbers of its own, so this size is part of what a seed gives."""


@dataclass
class Block:
    """The records of one block of deaths, and the true deaths by stratum and cause among them (S x C)."""

    records: pa.Table
    true_deaths: Codes


class Deaths:
    """Draws blocks of deaths from a world."""

    def __init__(self, plan: SimulationPlan, world: World) -> None:
        self.plan, self.world = plan, world
        self._stratum_steps = _steps(world.share)
        self._cause_steps = _steps(world.csmf)
        self._order, self._said_steps = _true_cause_first(world)
        self._labels, self._label_codes, self._label_steps = _label_tables(world)
        self._columns = _stratum_columns(world)

    def blocks(self) -> Iterator[Block]:
        """All blocks of the plan, in order, each reproducible on its own."""
        for number, first in enumerate(range(0, self.plan.deaths, BLOCK)):
            random = np.random.default_rng([self.plan.seed, 1, number])
            yield self._block(random, first, min(BLOCK, self.plan.deaths - first))

    def _block(self, random: np.random.Generator, first: int, size: int) -> Block:
        stratum = np.searchsorted(self._stratum_steps, random.random(size), side="right")
        cause = _pick(self._cause_steps[stratum], random.random(size))
        causes = self.world.csmf.shape[1]
        true_deaths = np.bincount(stratum * causes + cause, minlength=self.world.csmf.size)
        labels = self._say(random, self.world.age[stratum], cause)
        ids = pc.utf8_lpad(pc.cast(pa.array(np.arange(first, first + size) + 1), pa.string()), 9, "0")
        twice = np.flatnonzero(random.random(size) < self.plan.duplicates)
        rows = np.concatenate([np.arange(size), twice])
        records = self._table(random, ids.take(pa.array(rows)), stratum[rows], labels[rows])
        return Block(records, true_deaths.reshape(self.world.csmf.shape))

    def _say(self, random: np.random.Generator, age: Codes, cause: Codes) -> Codes:
        """Label codes, deaths x algorithms: what each algorithm says of deaths with these true causes.

        A share `correlation` of the deaths is as easy or hard for every algorithm: they are right together,
        or wrong together in much the same way. The rates of each algorithm hold all the same.
        """
        size, plan = len(cause), self.plan
        shared, is_shared = random.random(size), random.random(size) < plan.correlation
        said = np.empty((size, len(plan.algorithms)), dtype=np.int64)
        for k in range(len(plan.algorithms)):
            level = np.where(is_shared, shared, random.random(size))
            va_cause = self._order[cause, _pick(self._said_steps[age, k, cause], level)]
            which = _pick(self._label_steps[age, va_cause], random.random(size))
            said[:, k] = self._label_codes[age, va_cause, which]
            said[random.random(size) < plan.undetermined, k] = len(self._labels) - 1
        return said

    def _table(self, random: np.random.Generator, ids: pa.Array, stratum: Codes, labels: Codes) -> pa.Table:
        """One row a death and algorithm, deaths one after another."""
        deaths, algorithms = labels.shape
        row = np.repeat(np.arange(deaths), algorithms)
        columns = {"ID": ids.take(pa.array(row))}
        which = np.tile(np.arange(algorithms), deaths)
        columns["algorithm"] = _coded(which, list(self.plan.algorithms))
        blank = random.random(labels.size) < self.plan.blank_causes
        columns["cause"] = _coded(labels.ravel(), self._labels, blank)
        for name, (codes, values) in self._columns.items():
            may_miss = name != "age_group" and name not in self.plan.partition_by
            missing = np.less(random.random(deaths), may_miss * self.plan.missing_strata)
            columns[name] = _coded(codes[stratum][row], values, missing[row])
        return pa.table(columns)


def _steps(shares: Floats) -> Floats:
    """Cumulative shares along the last axis; the last is above 1, so that no rounding is left over."""
    steps = np.cumsum(shares, axis=-1)
    steps[steps > 1 - 1e-12] = 2.0
    return steps


def _pick(steps: Floats, level: Floats) -> Codes:
    """For each row, the position of the first step above the level."""
    return np.asarray((steps <= level[:, np.newaxis]).sum(axis=1))


def _true_cause_first(world: World) -> tuple[Codes, Floats]:
    """VA causes with the true one first (C x C), and the cumulative rates in that order (A x K x C x C)."""
    size = world.rates.shape[-1]
    order = np.array([[i, *(j for j in range(size) if j != i)] for i in range(size)])
    return order, _steps(world.rates[:, :, np.arange(size)[:, np.newaxis], order])


def _label_tables(world: World) -> tuple[list[str], Codes, Floats]:
    """All labels (the undetermined one last), their codes (A x C x L) and their cumulative shares."""
    names = sorted({label for causes in world.labels for labels in causes for label in labels})
    most = max(len(labels) for causes in world.labels for labels in causes)
    codes = np.zeros((len(world.labels), world.csmf.shape[1], most), dtype=np.int64)
    shares = np.zeros(codes.shape)
    for a, causes in enumerate(world.labels):
        for c, labels in enumerate(causes):
            codes[a, c, : len(labels)] = [names.index(label) for label in labels]
            weights = 1 / np.arange(1, len(labels) + 1)
            shares[a, c, : len(labels)] = weights / weights.sum()
    return [*names, UNDETERMINED[0]], codes, _steps(shares)


def _stratum_columns(world: World) -> dict[str, tuple[Codes, list[str] | list[int]]]:
    """For age group, province, year and sex: the code of each stratum, and what the codes mean."""
    columns: dict[str, tuple[Codes, list[str] | list[int]]] = {}
    for name, given in zip(
        ("age_group", "province", "year", "sex"), zip(*world.strata, strict=True), strict=True
    ):
        values = list(dict.fromkeys(given))
        columns[name] = (np.array([values.index(value) for value in given]), values)
    return columns


def _coded(codes: Codes, values: list[str] | list[int], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    indices = pa.array(codes.astype(np.int32), mask=missing)
    dictionary = pa.array(values, pa.string() if isinstance(values[0], str) else pa.int32())
    return pa.DictionaryArray.from_arrays(indices, dictionary)
