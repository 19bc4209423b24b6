"""The request: one model for the command line, Python, the Prefect deployment and its form in the UI.

A request holds no secrets and no individual records: Prefect keeps the parameters of its runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from tasks.errors import InputError
from tasks.request.fields import RequestFields
from tasks.request.file import read_fields
from tasks.request.problems import plain_problem, plain_problems
from tasks.request.rules import cross_field_problems, raise_if_any


class CalibrationRequest(RequestFields):
    """What to calibrate, from which deaths, and how."""

    @model_validator(mode="after")
    def _fields_agree(self) -> CalibrationRequest:
        raise_if_any(cross_field_problems(self))
        return self


def parse_request(fields: Mapping[str, Any]) -> CalibrationRequest:
    """The request of these fields.

    Raises InputError with every problem, each beginning with the field's path.
    """
    try:
        return CalibrationRequest.model_validate(dict(fields))
    except ValidationError as error:
        found = plain_problems(error, CalibrationRequest)
        invalid = frozenset(str(detail["loc"][0]) for detail in error.errors() if detail["loc"])
        raise InputError([*found, *_disagreements(fields, invalid)]) from None


def _disagreements(fields: Mapping[str, Any], invalid: frozenset[str]) -> list[str]:
    """What the rules between valid fields find where other fields are invalid, to tell all at once."""
    stand_in = {
        "name": "x",
        "input": {"counts": {"x": {}}},
        "age_group": "neonate",
        "country": "other",
        "algorithms": ["x"],
    }
    valid = {key: value for key, value in fields.items() if key not in invalid}
    try:
        rest = RequestFields.model_validate({**stand_in, **valid})
    except ValidationError:
        return []
    return [plain_problem(loc, sentence) for loc, sentence in cross_field_problems(rest, invalid)]


def load_request(
    path: str | Path, *, matrix_source: str | None = None, output: str | None = None
) -> CalibrationRequest:
    """The request in a YAML or JSON file, with other matrices or another store where they are given.

    Raises InputError with every problem, each beginning with the file.
    """
    fields = read_fields(path)
    if matrix_source is not None and isinstance(matrix := fields.get("matrix", {}), dict):
        fields["matrix"] = {**matrix, "source": matrix_source}
    if output is not None:
        fields["output"] = output
    try:
        return parse_request(fields)
    except InputError as error:
        raise InputError([f"{path}: {problem}" for problem in error.problems]) from None
