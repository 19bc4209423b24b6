"""The part of a request that the ingest needs."""

from __future__ import annotations

from tasks.ingest import ColumnNames, Part, Reading
from tasks.request import CalibrationRequest, ColumnRef
from tasks.terms import AGE_GROUPS


def reading_of(request: CalibrationRequest) -> Reading:
    """How the request's input is read."""
    columns, given = request.columns, request.input
    return Reading(
        age_group=_part(request.age_group),
        country=_part(request.country),
        algorithms=request.algorithms,
        uri=given.uri,
        counts=given.counts,
        format=given.format,
        layout=given.layout,
        columns=ColumnNames(columns.id, columns.cause, columns.algorithm, columns.count, columns.strata),
        study_cause_map=request.study_cause_map,
        cause_labels={age: request.cause_labels_of(age) for age in AGE_GROUPS},
        stillbirths=request.stillbirths,
        not_calibrated=_named_causes(request),
        aliases=request.aliases,
        bad_records=request.bad_records,
        unmapped_causes=request.unmapped_causes,
        undetermined_causes=request.undetermined_causes,
    )


def _part(value: str | ColumnRef) -> Part:
    return Part(column=value.column) if isinstance(value, ColumnRef) else Part(text=value)


def _named_causes(request: CalibrationRequest) -> tuple[str, ...] | None:
    """Causes that do_not_calibrate names, over all algorithms; None where it is left to its default."""
    if "do_not_calibrate" not in request.model_fields_set:
        return None
    given = request.do_not_calibrate
    lists = [given] if isinstance(given, tuple) else list(given.values())
    return tuple(sorted({name for names in lists for name in names}))
