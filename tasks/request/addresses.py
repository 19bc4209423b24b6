"""The addresses of what a request reads, in one list: for all that moves, looks up or compares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

NAMED_SOURCES = frozenset({"inventory", "illustrative"})
"""Values of `matrix.source` that name matrices and are not addresses."""

_FIELDS = ("roll_up_weights", "boundaries")

Change = Callable[[str], str]


def with_addresses(fields: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """A request's fields with every address that is read replaced by `change` of it; the rest as it stands.

    The fields need not be valid: what is not an address where one belongs stays as it is.
    """
    changed = dict(fields)
    if isinstance(given := fields.get("input"), Mapping) and "uri" in given:
        changed["input"] = {**given, "uri": _each(given["uri"], change)}
    matrix = fields.get("matrix")
    if isinstance(matrix, Mapping) and str(matrix.get("source", "inventory")) not in NAMED_SOURCES:
        changed["matrix"] = {**matrix, "source": _each(matrix["source"], change)}
    for name in _FIELDS:
        if name in fields:
            changed[name] = _each(fields[name], change)
    return changed


def addresses_beside_input(fields: Mapping[str, Any]) -> list[str]:
    """Every address that a request reads beside its deaths: matrices, weights, boundaries."""
    found: list[str] = []

    def note(uri: str) -> str:
        found.append(uri)
        return uri

    with_addresses({name: value for name, value in fields.items() if name != "input"}, note)
    return found


def _each(uri: Any, change: Change) -> Any:
    if isinstance(uri, Mapping):
        return {algorithm: _each(one, change) for algorithm, one in uri.items()}
    if isinstance(uri, list):
        return [_each(one, change) for one in uri]
    return change(uri) if isinstance(uri, str) and uri else uri
