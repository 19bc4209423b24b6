"""The truth behind simulated deaths: size and cause fractions of each stratum, and the matrices.

Everything here follows from the plan, its seed and the matrices; no death is drawn yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from tasks.matrices import Inventory, mean_matrix
from tasks.simulate.plan import SimulationPlan
from tasks.terms import BROAD_CAUSES, cause_map

Floats = NDArray[np.float64]

LABELS_A_CAUSE = 4
SEX_SHARE = {"female": 0.48, "male": 0.52}
AGE_SHARE = {"neonate": 0.45, "child": 0.55}
SIZE_SPREAD = 0.7
"""Standard deviation of the log of a province's number of deaths."""

# Invented national cause fractions of the first year, in percent, causes in the order of BROAD_CAUSES.
_BASE = {"neonate": (8, 10, 25, 30, 5, 22), "child": (25, 15, 12, 8, 6, 7, 8, 12, 7)}


@dataclass(frozen=True)
class World:
    """S strata, A age groups, K algorithms, C causes (of the age group with the most; the other is padded).

    strata: one row each, (age_group, province, year, sex). age: S, position of its age group. share: S,
    expected share of all deaths. csmf: S x C, true cause fractions, padded with 0. rates: A x K x C x C,
    probability of each VA cause given the true cause. causes: by age group. labels: by age group and cause.
    """

    strata: Sequence[tuple[str, str, int, str]]
    age: NDArray[np.int64]
    share: Floats
    csmf: Floats
    rates: Floats
    causes: list[list[str]]
    labels: list[list[list[str]]]


def build_world(plan: SimulationPlan, inventory: Inventory) -> World:
    """The truth of a plan. Raises InputError where the inventory lacks a matrix that the plan needs."""
    random = np.random.default_rng([plan.seed, 0])
    entries = [
        [inventory.matrices(age_group, algorithm, plan.country, "prior") for algorithm in plan.algorithms]
        for age_group in plan.age_groups
    ]
    causes = [by_algorithm[0].causes for by_algorithm in entries]
    most = max(map(len, causes))
    rates = np.zeros((len(causes), len(plan.algorithms), most, most))
    for a, by_algorithm in enumerate(entries):
        for k, entry in enumerate(by_algorithm):
            size = len(entry.causes)
            rates[a, k, :size, :size] = _rates(entry.values, plan.matrices, random)
    strata = list(product(plan.age_groups, plan.provinces, plan.years, plan.sexes))
    age = np.array([plan.age_groups.index(row[0]) for row in strata])
    return World(
        strata=strata,
        age=age,
        share=_shares(plan, random),
        csmf=np.concatenate([_fractions(plan, a, names, most, random) for a, names in enumerate(causes)]),
        rates=rates,
        causes=causes,
        labels=[_labels(group, names, plan) for group, names in zip(plan.age_groups, causes, strict=True)],
    )


def _rates(alphas: Floats, matrices: str, random: np.random.Generator) -> Floats:
    """The mean matrix, or one drawn from the rows' Dirichlets."""
    if matrices == "mean":
        return mean_matrix(alphas)
    drawn = random.gamma(alphas)
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))


def _shares(plan: SimulationPlan, random: np.random.Generator) -> Floats:
    provinces = np.exp(SIZE_SPREAD * random.standard_normal(len(plan.provinces)))
    years = np.exp(plan.growth * np.arange(len(plan.years)))
    ages = np.array([AGE_SHARE[name] for name in plan.age_groups])
    sexes = np.array([SEX_SHARE[name] for name in plan.sexes])
    share = np.einsum("a,p,y,s->apys", ages, provinces, years, sexes).ravel()
    return np.asarray(share / share.sum())


def _fractions(
    plan: SimulationPlan, a: int, causes: list[str], most: int, random: np.random.Generator
) -> Floats:
    """True cause fractions of an age group's strata; on the log scale: base + province + sex + drift."""
    group, size = plan.age_groups[a], len(causes)
    known = tuple(causes) == tuple(BROAD_CAUSES[group])
    base = np.log(np.array(_BASE[group], dtype=float)) if known else np.zeros(size)
    province = plan.province_spread * random.standard_normal((len(plan.provinces), 1, 1, size))
    sex = plan.province_spread / 3 * random.standard_normal((1, 1, len(plan.sexes), size))
    slope = plan.drift * random.standard_normal(size)
    elapsed = np.arange(len(plan.years)).reshape(1, -1, 1, 1)
    fractions = np.exp(base + province + sex + slope * elapsed).reshape(-1, size)
    padded = np.zeros((len(fractions), most))
    padded[:, :size] = fractions / fractions.sum(axis=1, keepdims=True)
    return padded


def _labels(age_group: str, causes: list[str], plan: SimulationPlan) -> list[list[str]]:
    """The labels that stand for each cause in the records: specific causes as openVA and EAVA name them."""
    if plan.cause_names == "broad" or tuple(causes) != tuple(BROAD_CAUSES[age_group]):
        return [[cause] for cause in causes]
    specific = {
        cause: [name for name, broad in cause_map(age_group).items() if broad == cause] for cause in causes
    }
    return [
        [name for name in specific[cause] if name != cause][:LABELS_A_CAUSE] or [cause] for cause in causes
    ]
