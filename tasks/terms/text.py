"""How a message shows a label of the input: short, on one line, with nothing invisible in it."""

from __future__ import annotations

MAX_LENGTH = 60
MAX_LABELS = 20
MISSING = "(missing)"
"""Value of a strata column where the input has none."""


def visible(text: str) -> str:
    """The text with control and other unprintable characters as escapes, cut to 60 characters."""
    cut = text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def show(text: str) -> str:
    """The text as `visible`, in quotes."""
    return f"'{visible(text)}'"


def amount(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: '1 row', '2 rows'."""
    return f"{number} {one if number == 1 else many or one + 's'}"
