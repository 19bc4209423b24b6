"""Contrasts: differences between provinces, years or other values of a strata column, by posterior draw.

A difference is taken in each draw of two results of one level, such as a province's in 2022 and in 2021. In a
joint fit, and with common matrix draws, their draws belong together, so that its interval has the error that
they share only once; results that were calibrated separately are differences of draws that know nothing of
each other, and say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.errors import InputError
from tasks.results import (
    ALL,
    COMPARED,
    Reason,
    conform,
    quantile_name,
    reasons_from_json,
    reasons_to_json,
    split_flags,
)
from tasks.rollups.plan import Plan, level_name
from tasks.rollups.sums import Key
from tasks.terms import MISSING, words
from tasks.verdict import VerdictRules, reasons_in_words, worst

PAIRS = 5_000
"""Most comparisons of a run: more rows than anybody reads."""

BYTES = 2**30
"""Most that the draws of the results that are compared may take."""

NOT_JOINT = "difference_not_joint"
_OWN_FLAGS = ("estimate_is_noop", "rollup_interval_too_narrow")  # of one result; say nothing of a difference


class Wanted(Protocol):
    """A contrast as a request states it."""

    @property
    def between(self) -> str:
        """The strata column whose values are compared."""

    @property
    def level(self) -> tuple[str, ...]:
        """The strata columns of the results that are compared."""

    @property
    def pairs(self) -> str:
        """`successive`: each value with the one before; else every two."""


@dataclass(frozen=True)
class Pair:
    """Two results of one level, given by their groups in the plan."""

    level: str
    between: str
    """The strata column in which they differ."""
    reference: str
    compared: str
    """Their values of it."""
    groups: tuple[str, str]
    place: Mapping[str, str]
    """Age group, country and strata columns of both; `(compared)` where they differ."""
    joint: bool
    """Both are of one joint fit, or of common matrix draws."""


def compared_pairs(
    plan: Plan, contrasts: Iterable[Wanted], *, strata_columns: Sequence[str], fits_by: Sequence[str] | None
) -> list[Pair]:
    """All comparisons of these contrasts, in their order.

    fits_by: the columns of which each value has a joint fit of its own; None where the fits are not joint.
    Raises InputError where they are none, or more than can be held or read.
    """
    found: list[Pair] = []
    problems: list[str] = []
    groups = plan.groups.to_pylist()
    for index, contrast in enumerate(contrasts):
        level = level_name(contrast.level, strata_columns)
        members = [group for group in groups if group["level"] == level]
        own = list(_pairs(members, contrast, strata_columns, fits_by))
        if not own:
            problems.append(f"contrasts[{index}]: {contrast.between} never has two values to compare")
        found += own
    if len(found) > PAIRS:
        problems.append(
            f"contrasts: {len(found):,} comparisons are more than {PAIRS:,}; ask for pairs: successive, or "
            "for fewer columns in within"
        )
    if problems:
        raise InputError(problems)
    return list({(pair.level, pair.groups): pair for pair in found}.values())


def check_contrasts_size(wanted: Sequence[Pair], *, algorithms: int, causes: int, draws: int) -> None:
    """Raises InputError if the draws of all results that are compared take too much memory.

    algorithms: of each result, the ensemble among them.
    """
    units = len({(pair.level, group) for pair in wanted for group in pair.groups})
    size = 8 * units * algorithms * causes * draws
    if size > BYTES:
        raise InputError(
            f"contrasts: {draws:,} draws of {units:,} results take more than {BYTES // 2**20:,} MB; "
            f"ask for at most {int(draws * BYTES / size):,} draws, or for fewer columns in within"
        )


def contrasts_table(
    wanted: Sequence[Pair],
    csmf: pa.Table,
    draws: Mapping[Key, NDArray[np.float64]],
    *,
    rules: VerdictRules,
    strata_columns: Sequence[str],
    quantiles: Sequence[float],
    constants: Mapping[str, Any],
) -> pa.Table:
    """A row for each comparison, algorithm and cause; none where one of the two has no result.

    `csmf`: the judged rows of the results that are compared. `draws`: theirs, [causes, draws], the causes in
    the order of csmf.
    """
    estimates: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for row in csmf.to_pylist():
        unit = estimates.setdefault((row["level"], row["stratum"]), {})
        unit.setdefault(row["algorithm"], []).append(row)
    rows: list[dict[str, Any]] = []
    for pair in wanted:
        reference, compared = (estimates.get((pair.level, group), {}) for group in pair.groups)
        for algorithm in (name for name in reference if name in compared):
            first, second = (draws[pair.level, group, algorithm] for group in pair.groups)
            sides = zip(reference[algorithm], compared[algorithm], second - first, strict=True)
            rows += [_row(pair, *side, quantiles, rules) for side in sides]
    return conform(
        "contrasts",
        columns_of(rows),
        strata_columns=strata_columns,
        quantiles=quantiles,
        constants=constants,
    )


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The rows as columns, each made once; None where a row lacks a cell."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _row(
    pair: Pair,
    reference: Mapping[str, Any],
    compared: Mapping[str, Any],
    difference: NDArray[np.float64],
    quantiles: Sequence[float],
    rules: VerdictRules,
) -> dict[str, Any]:
    """One cause of one comparison, with the flags and reasons of both sides."""
    row: dict[str, Any] = {
        **pair.place,
        **{name: getattr(pair, name) for name in ("level", "between", "reference", "compared")},
        "algorithm": reference["algorithm"],
        "cause": reference["cause"],
        "reference_mean": reference["mean"],
        "compared_mean": compared["mean"],
        "difference": float(difference.mean()),
        "status": "calibrated",
        "sd": None,
        "probability_higher": None,
        **dict.fromkeys(map(quantile_name, quantiles)),
    }
    if "passed_through" in (reference["status"], compared["status"]):
        row["status"] = "passed_through"
    else:
        row["sd"] = float(difference.std(ddof=1))
        row["probability_higher"] = float((difference > 0).mean())
        bounds = np.quantile(difference, quantiles)
        row |= {quantile_name(q): float(bound) for q, bound in zip(quantiles, bounds, strict=True)}
    sides = (reference, compared)
    flags = {flag for side in sides for flag in split_flags(side["flags"])}.difference(_OWN_FLAGS)
    reasons = dict.fromkeys(reason for side in sides for reason in reasons_from_json(side["verdict_codes"]))
    verdicts = [side["verdict"] for side in sides]
    if not pair.joint:
        flags.add(NOT_JOINT)
        if rules.difference_not_joint != "ignore":  # says of the difference what this says of its totals
            reasons = {one: None for one in reasons if one.rule != "rollup_interval_too_narrow"}
            reasons[Reason(NOT_JOINT)] = None
            verdicts.append(rules.difference_not_joint)
    row["flags"] = sorted(flags)
    row["verdict"], row["verdict_codes"] = worst(verdicts), reasons_to_json(reasons)
    row["verdict_reasons"] = " ".join(reasons_in_words(row["verdict_codes"], words("en"))) or None
    return row


def _pairs(
    groups: Sequence[Mapping[str, Any]],
    contrast: Wanted,
    strata_columns: Sequence[str],
    fits_by: Sequence[str] | None,
) -> Iterator[Pair]:
    between = contrast.between
    same = ("age_group", "country", *strata_columns)
    places: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for group in groups:
        if group[between] != MISSING:
            place = {name: COMPARED if name == between else group[name] for name in same}
            places.setdefault(tuple(place.values()), []).append(group)
    for place_values, members in places.items():
        place = dict(zip(same, place_values, strict=True))
        one_fit = fits_by is not None and all(place[column] not in (ALL, COMPARED) for column in fits_by)
        parts = (part for part in members[0]["group"].split("/") if part.partition("=")[0] != between)
        key = "/".join(parts)
        ordered = sorted(members, key=lambda group: _order(group[between]))
        every: Iterable[tuple[Any, Any]] = combinations(ordered, 2)
        for first, second in pairwise(ordered) if contrast.pairs == "successive" else every:
            yield Pair(
                level=str(first["level"]),
                between=between,
                reference=first[between],
                compared=second[between],
                groups=(first["group"], second["group"]),
                place={"stratum": key, **place},
                joint=one_fit,
            )


def _order(value: str) -> tuple[int, float, str]:
    """Numbers by their size, before texts."""
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value
