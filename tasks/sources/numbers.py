"""Numbers that are written as text: read right, or not at all.

A number is plain ASCII digits with at most one dot and an exponent: 12, 12.0, 1e+05. No commas, spaces,
underscores, percent signs nor other digits. 12.000 may be twelve thousand, where a dot divides thousands, or
twelve: which of them is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow.compute as pc

_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([., '\u2019\u00a0\u2009\u202f]\d{3})+", re.ASCII)

THOUSANDS = "could be thousands or a decimal fraction: write plain digits, such as 12000 or 12"
"""What is wrong with a number such as 12.000."""


def number(text: str | None) -> Decimal | None:
    """The number that a text is; None if it is not one."""
    return Decimal(text) if text is not None and _PLAIN.fullmatch(text) else None


def is_grouped(text: str | None) -> bool:
    """Whether a text looks like digits in groups of three, which may stand for thousands."""
    return text is not None and bool(_GROUPED.fullmatch(text))


def decimals(array: Any, *, typed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a text array (NaN where there is none), and which of them may be thousands.

    typed: they were numbers in the file, as in Parquet, so that 1.234 can mean one thing only. In text, it
    means a fraction where another number of the column is one without doubt, such as 0.5 or 12.25.
    """

    def value(text: str | None) -> float:
        found = number(text)
        return float("nan") if found is None else float(found)

    numbers = by_value(array, value, np.float64)
    if typed:
        return numbers, np.zeros(len(numbers), dtype=bool)
    grouped = by_value(array, is_grouped, np.bool_)
    fractions = by_value(array, lambda t: number(t) is not None and "." in (t or ""), np.bool_) & ~grouped
    return numbers, grouped & (np.isnan(numbers) | ~fractions.any())


def by_value(array: Any, function: Callable[[str | None], Any], dtype: Any) -> np.ndarray:
    """The function's results for a text array, each text looked at once."""
    if not len(array):
        return np.zeros(0, dtype)
    coded = pc.dictionary_encode(array, null_encoding="encode")
    coded = coded.combine_chunks() if hasattr(coded, "combine_chunks") else coded
    values = np.array([function(text) for text in coded.dictionary.to_pylist()], dtype=dtype)
    found: np.ndarray = values[coded.indices.to_numpy(zero_copy_only=False)]
    return found
