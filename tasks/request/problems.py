"""What pydantic found wrong with a request, in plain words, each beginning with the field's path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from tasks.request.values import what_it_is
from tasks.terms import nearest

_SENTENCES = {
    "missing": "is required",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long: at most {max_length} characters",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "too_short": "must have at least {min_length} entry",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a map, such as {{key: value}}",
    "model_type": "must be a map of its fields",
    "literal_error": "must be {expected}",
}


def plain_problems(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One sentence for each problem, in the order of the request's fields."""
    details = error.errors(include_url=False, include_context=True)
    inside = {detail["loc"][:-1] for detail in details}
    return [
        plain_problem(detail["loc"], _sentence(dict(detail), model))
        for detail in details
        if not (detail["type"] == "too_short" and detail["loc"] in inside)  # short of its invalid entries
    ]


def plain_problem(loc: Sequence[str | int], sentence: str) -> str:
    """The sentence after the field's path; entries of a list are counted from 1."""
    return f"{_path(loc)}: {sentence}"


def _path(loc: Sequence[str | int]) -> str:
    parts = [f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in loc if part != "[key]"]
    return "".join(parts).removeprefix(".") or "request"


def _sentence(detail: dict[str, Any], model: type[BaseModel]) -> str:
    kind, context, value = detail["type"], detail.get("ctx") or {}, detail.get("input")
    if kind == "plain":
        return str(detail["msg"])
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    if kind == "extra_forbidden":
        return _unknown_field(detail["loc"], model)
    sentence = _SENTENCES[kind].format(**context) if kind in _SENTENCES else str(detail["msg"])
    if kind == "missing":
        return sentence + _meaning(detail["loc"], model)
    if kind == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{sentence}; {value} is a number: put it in quotes"
    return sentence + what_it_is(value)


def _part(loc: Sequence[str | int], model: type[BaseModel]) -> type[BaseModel] | None:
    """The model that holds the last element of the path."""
    for name in loc[:-1]:
        field = model.model_fields.get(str(name))
        if field is None or not (
            isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        ):
            return None
        model = field.annotation
    return model


def _unknown_field(loc: Sequence[str | int], model: type[BaseModel]) -> str:
    part = _part(loc, model)
    known = list(part.model_fields) if part else []
    near = nearest(str(loc[-1]), known, limit=1)
    hint = f"did you mean {near[0]}?" if near else f"known fields: {', '.join(known)}"
    return f"is not a field of a request; {hint}"


def _meaning(loc: Sequence[str | int], model: type[BaseModel]) -> str:
    part = _part(loc, model)
    field = part.model_fields.get(str(loc[-1])) if part else None
    return f": {field.description}" if field and field.description else ""
