"""Rules of a request about fields that must agree with each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from tasks.request.fields import RequestFields
from tasks.request.values import refuse
from tasks.results import check_strata_columns
from tasks.terms import MOST_CAUSES, code_range, normal, overlapping, show

Problem = tuple[tuple[str | int, ...], str]
"""Where a field stands in the request, and what is wrong with it."""


def _input_rules(request: RequestFields) -> Iterator[Problem]:
    given = request.input
    if (given.counts is None) == (given.uri is None):
        which = "both are given" if given.uri is not None else "neither is"
        yield ("input",), f"give either counts or uri; {which}"
    if given.counts is not None and given.format is not None:
        yield ("input", "format"), "says how files are read; counts in the request have none"
    if isinstance(given.uri, dict):
        if request.columns.algorithm is not None:
            yield (
                ("columns", "algorithm"),
                "not needed: input.uri already says which file is which algorithm's",
            )
        yield from _same_algorithms(("input", "uri"), given.uri, request)
    if given.counts is not None:
        yield from _same_algorithms(("input", "counts"), given.counts, request)
        for field in ("age_group", "country"):
            if not isinstance(getattr(request, field), str):
                yield (
                    (field,),
                    "cannot be read from a column: the deaths are counts in the request, which have none",
                )


def _same_algorithms(
    loc: tuple[str, ...], given: dict[str, Any], request: RequestFields
) -> Iterator[Problem]:
    for algorithm in request.algorithms:
        if algorithm not in given:
            yield loc, f"has nothing for algorithm {show(algorithm)}, which the request names"
    for algorithm in given:
        if algorithm not in request.algorithms:
            yield (*loc, algorithm), "is not among the request's algorithms: add it there, or remove it here"


def _column_rules(request: RequestFields) -> Iterator[Problem]:
    columns, strata = request.columns, request.columns.strata
    taken = {"columns.cause": columns.cause, "columns.algorithm": columns.algorithm}
    taken |= (
        {"columns.id": columns.id} if request.input.layout != "counts" else {"columns.count": columns.count}
    )
    for field in ("age_group", "country"):
        value = getattr(request, field)
        taken[field] = None if isinstance(value, str) else value.column
    if request.input.counts is not None and strata:
        yield ("columns", "strata"), "needs an input with columns; counts in the request are one stratum"
    for problem in check_strata_columns(strata):
        yield ("columns", "strata"), problem
    for index, column in enumerate(strata):
        if used := [field for field, other in taken.items() if other and other.lower() == column.lower()]:
            always = used[0] in ("age_group", "country")
            also = ", which always makes strata: remove it here" if always else ""
            yield ("columns", "strata", index), f"{show(column)} is {used[0]}{also}"


def _algorithm_rules(request: RequestFields) -> Iterator[Problem]:
    names = request.algorithms
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ("algorithms", index), f"{show(name)} is named more than once"
    if isinstance(request.do_not_calibrate, dict):
        for name in sorted(set(request.do_not_calibrate) - set(names)):
            yield ("do_not_calibrate", name), f"{show(name)} is not among the request's algorithms"


_MODELS = ("joint", "common")
"""Models in which strata share their matrices."""


def _model_rules(request: RequestFields) -> Iterator[Problem]:
    sharing = request.matrix_sharing_used
    if sharing in _MODELS and request.shrinkage is not None:
        place = "in the joint model" if sharing == "joint" else "with common matrix draws"
        yield (
            ("shrinkage",),
            f"does not exist {place}: remove it, or set matrix_sharing: per_stratum",
        )
    elif (request.shrinkage or 0) > 0 and request.path_correction_used:
        yield (
            ("shrinkage",),
            "cannot be above 0 with path correction: set path_correction: false, or remove it",
        )
    if sharing in _MODELS and request.engine == "vacalibration":
        has = "has no joint model" if sharing == "joint" else "has no common matrix draws"
        yield ("engine",), f"vacalibration {has}: use vacal, or set matrix_sharing: per_stratum"
    if sharing == "common":
        yield from _common_rules(request)
    else:
        for field in ("centre", "baseline"):
            if getattr(request, field):
                yield (field,), "has a meaning with matrix_sharing: common only: set it, or remove this"
    if request.joint_groups and sharing != "joint":
        yield ("joint_groups",), "has a meaning with matrix_sharing: joint only: set it, or remove this"
        return
    yield from _strata_columns(request, "joint_groups")


def _common_rules(request: RequestFields) -> Iterator[Problem]:
    if request.path_correction:
        yield (
            ("path_correction",),
            "does not exist with common matrix draws: remove it, or set matrix_sharing: per_stratum or joint",
        )
    if request.effective_draws is not None:
        yield (
            ("effective_draws",),
            "does not exist with common matrix draws, each of which is worth one: remove it, and set draws",
        )
    if request.matrix.type == "samples":
        yield (
            ("matrix", "type"),
            "common matrix draws do not take samples yet: give Dirichlet parameters (prior) or rates (fixed), "
            "or set matrix_sharing: joint",
        )
    yield from _strata_columns(request, "centre")


def _strata_columns(request: RequestFields, field: str) -> Iterator[Problem]:
    """What is wrong with a field that names strata columns."""
    named: tuple[str, ...] = getattr(request, field)
    for index, column in enumerate(named):
        if column not in request.columns.strata:
            known = ", ".join(request.columns.strata) or "none"
            yield (field, index), f"{show(column)} is no strata column (those that are: {known})"
        elif column in named[:index]:
            yield (field, index), f"{show(column)} is named more than once"


def _study_rules(request: RequestFields) -> Iterator[Problem]:
    if request.study_cause_map is None:
        return
    if not request.study_cause_map:
        yield ("study_cause_map",), "is empty: leave it out, or name the study's causes"
    if len(request.study_cause_map) > MOST_CAUSES:
        given = f"names {len(request.study_cause_map)} causes"
        yield ("study_cause_map",), f"{given}; at most {MOST_CAUSES} can be calibrated: merge some"
    keys = [key.strip().casefold() for key in request.study_cause_map]
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield ("study_cause_map",), f"{show(key)} is given more than once (upper and lower case are the same)"
    if not isinstance(request.age_group, str):
        yield ("study_cause_map",), "needs one age group: make a request for each, with its own map"


def _label_rules(request: RequestFields) -> Iterator[Problem]:
    given = request.cause_labels
    if given is None:
        return
    if request.study_cause_map is not None:
        why = "a study's causes are calibrated as they are; give one of the two"
        yield ("cause_labels",), f"cannot be given together with study_cause_map: {why}"
    by_age_group = any(isinstance(value, dict) for value in given.values())
    for age_group, labels in given.items() if by_age_group else (("", given),):
        loc = ("cause_labels", *([age_group] if age_group else []))
        if age_group and isinstance(request.age_group, str) and request.age_group != age_group:
            yield loc, f"is never used: the request's age group is {request.age_group}"
        yield from ((loc, problem) for problem in _label_problems([str(label) for label in labels]))


def _label_problems(labels: list[str]) -> Iterator[str]:
    """What is wrong with the labels of a map, whatever they mean."""
    if not labels:
        yield "is empty: leave it out, or name the labels"
    keys = [normal(label) for label in labels]
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"{show(key)} is given more than once (upper and lower case are the same)"
    for label in labels:
        if not normal(label):
            yield "an empty label is a missing cause, and cannot mean one"
        elif (codes := code_range(label)) and codes.first > codes.last:
            yield f"{show(label)} ends before it begins"
    for one, two in overlapping(labels):
        if normal(one) != normal(two):
            yield f"{show(one)} and {show(two)} have codes in common: each code must mean one cause"


def _roll_up_rules(request: RequestFields) -> Iterator[Problem]:
    allowed = [*request.columns.strata]
    allowed += [field for field in ("age_group", "country") if not isinstance(getattr(request, field), str)]
    seen: list[frozenset[str]] = []
    for index, level in enumerate(request.roll_ups):
        for column in level:
            if column not in allowed:
                known = ", ".join(allowed) or "none"
                yield (
                    ("roll_ups", index),
                    f"{show(column)} does not make strata here (those that do: {known})",
                )
        if len(set(level)) < len(level):
            yield ("roll_ups", index), "names a column more than once"
        summed_by = frozenset(level) - {"age_group", "country"}
        if summed_by in seen:
            yield (
                ("roll_ups", index),
                "is the same level as an earlier one (every level stays within one age group and country)",
            )
        seen.append(summed_by)
    if request.roll_up_weights is not None and not request.levels:
        yield ("roll_up_weights",), "has nothing to weight: name the levels in roll_ups"


def _contrast_rules(request: RequestFields) -> Iterator[Problem]:
    strata = request.columns.strata
    for index, contrast in enumerate(request.contrasts):
        for field, named in (("between", (contrast.between,)), ("within", contrast.within)):
            for column in named:
                if column not in strata:
                    known = ", ".join(strata) or "none"
                    yield (
                        ("contrasts", index, field),
                        f"{show(column)} is no strata column (those that are: {known})",
                    )
        if len(set(contrast.level)) < len(contrast.level):
            yield ("contrasts", index), "names a column more than once"


_RULES: tuple[tuple[frozenset[str], Callable[[RequestFields], Iterator[Problem]]], ...] = (
    (frozenset({"input", "columns", "algorithms", "age_group", "country"}), _input_rules),
    (frozenset({"input", "columns", "age_group", "country"}), _column_rules),
    (frozenset({"algorithms", "do_not_calibrate"}), _algorithm_rules),
    (
        frozenset(
            {
                *("matrix_sharing", "shrinkage", "path_correction", "engine", "joint_groups", "columns"),
                *("centre", "baseline", "effective_draws", "matrix", "roll_ups"),
            }
        ),
        _model_rules,
    ),
    (frozenset({"study_cause_map", "age_group"}), _study_rules),
    (frozenset({"cause_labels", "study_cause_map", "age_group"}), _label_rules),
    (
        frozenset({"columns", "age_group", "country", "roll_ups", "roll_up_weights", "contrasts"}),
        _roll_up_rules,
    ),
    (frozenset({"columns", "contrasts"}), _contrast_rules),
)
"""Each rule with the fields that it reads."""


def cross_field_problems(request: RequestFields, invalid: frozenset[str] = frozenset()) -> list[Problem]:
    """What does not agree among the fields, with its place; rules that read an invalid field are left out."""
    return [problem for fields, rule in _RULES if not fields & invalid for problem in rule(request)]


def raise_if_any(problems: list[Problem]) -> None:
    """Raises the problems as one ValidationError, each at its place."""
    if problems:
        raise ValidationError.from_exception_data(
            "CalibrationRequest",
            [InitErrorDetails(type=refuse(sentence), loc=loc, input=None) for loc, sentence in problems],
        )
