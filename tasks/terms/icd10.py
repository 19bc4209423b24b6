"""Codes and ranges of codes of ICD-10, such as P36.9 and A00-B99: what a range holds, which overlap."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

_CODE = r"[A-Z]\d\d(?:\.?\d{1,2})?"
_RANGE = re.compile(rf"({_CODE})(?:\s*[-\N{{EN DASH}}]\s*({_CODE}))?", re.IGNORECASE)
_AFTER_DIGITS = "~"


@dataclass(frozen=True)
class CodeRange:
    """Codes from `first` to `last`, without points and in capitals; a code holds its subdivisions."""

    first: str
    last: str

    def holds(self, other: CodeRange) -> bool:
        """Whether every code of the other range is one of this."""
        return self.first <= other.first and other._end <= self._end

    def overlaps(self, other: CodeRange) -> bool:
        """Whether a code is in both."""
        return self.first < other._end and other.first < self._end

    @property
    def _end(self) -> str:
        return self.last + _AFTER_DIGITS


def code_range(text: str) -> CodeRange | None:
    """The range that a text means, of one code or of many; None if it is neither a code nor a range.

    A range that ends before it begins is returned as it is written (`first` after `last`).
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        return None
    first, last = (code.replace(".", "").upper() for code in (found[1], found[2] or found[1]))
    return CodeRange(first, last)


def overlapping(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of the texts that are codes or ranges and have a code in common."""
    ranges = [(text, found) for text in texts if (found := code_range(text))]
    return ((one, two) for (one, a), (two, b) in combinations(ranges, 2) if a.overlaps(b))
