"""Names of algorithms: compared in lower case, with other spellings of the published inventory's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

ALIASES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("interva4", "interva5", "interva-4", "interva-5", "interva 4", "interva 5"), "interva")
)
"""Spelling in lower case -> the algorithm whose matrices are used; whoever uses one is told so."""


def one_name(spelling: str) -> str:
    """The name of an algorithm, however it is spelled."""
    name = spelling.strip().lower()
    return ALIASES.get(name, name)


def alias_note(spelling: str) -> str:
    """What a reader must know of an alias that was used."""
    name = one_name(spelling)
    return f"algorithm {spelling.strip().lower()} is read as {name}: the matrices of {name} are used"


def aliases_among(spellings: Iterable[object]) -> set[str]:
    """The aliases among names as spelled, in lower case."""
    return {text for name in spellings if isinstance(name, str) and (text := name.strip().lower()) in ALIASES}
