"""The caveats that travel with a number: their names in tables and what each one means in words.

The sentences are messages (tasks/words/), so that pages and workbooks can say them in other languages;
tables say them in English. Sources: docs/method.md, sections "Path correction" and "Roll-ups".
"""

from __future__ import annotations

from collections.abc import Iterable

from tasks.words import words

FLAGS: dict[str, str] = words("en").section("flags")


def in_words(flags: Iterable[str]) -> list[str]:
    """One sentence for each flag, in the order of `FLAGS`; an unknown flag is a defect: KeyError."""
    return words("en").flags(flags)
