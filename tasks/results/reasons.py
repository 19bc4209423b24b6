"""What columns of JSON hold: the reasons of a verdict, and the algorithms and causes that do not fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from pydantic import TypeAdapter

_T = TypeVar("_T")


@dataclass(frozen=True)
class Named:
    """An algorithm, with the causes that are meant; without causes the algorithm as a whole."""

    algorithm: str
    causes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reason:
    """Why a verdict is not `publishable`: the rule or flag, and what it is about.

    `limit` and `value`: the limit of the rule and the figure that crossed it, in the unit of the rule
    (null: a figure that is not finite, or a rule without a limit).
    `because`: code of the cause of it, as in the column `reason` of the table strata.
    """

    rule: str
    limit: int | float | None = None
    value: int | float | None = None
    because: str | None = None
    causes: tuple[str, ...] = ()
    algorithms: tuple[Named, ...] = ()


_REASONS = TypeAdapter(tuple[Reason, ...])
_NAMED = TypeAdapter(tuple[Named, ...])
_TEXTS = TypeAdapter(tuple[str, ...])


def reasons_to_json(reasons: Iterable[Reason]) -> str:
    """A cell of the column `verdict_codes`: a list of objects, each without the fields that are empty."""
    return _json(_REASONS, reasons)


@lru_cache(maxsize=10_000)
def reasons_from_json(cell: str | None) -> tuple[Reason, ...]:
    """The reasons in a cell of the column `verdict_codes`; none in an empty one.

    Raises ValueError if the cell is something else.
    """
    return _REASONS.validate_json(cell) if cell else ()


def named_to_json(named: Iterable[Named]) -> str:
    """A cell of the column `misfit_of`: a list of objects."""
    return _json(_NAMED, named)


def named_from_json(cell: str | None) -> tuple[Named, ...]:
    """The algorithms, with causes, in a cell of the column `misfit_of`; none in an empty one."""
    return _NAMED.validate_json(cell) if cell else ()


def texts_to_json(texts: Iterable[str]) -> str:
    """A cell such as that of the column `causes` of the table misfit: a list of names."""
    return _json(_TEXTS, texts)


def texts_from_json(cell: str | None) -> tuple[str, ...]:
    """The names in such a cell; none in an empty one."""
    return _TEXTS.validate_json(cell) if cell else ()


def _json(adapter: TypeAdapter[tuple[_T, ...]], values: Iterable[_T]) -> str:
    return adapter.dump_json(tuple(values), exclude_defaults=True).decode()
