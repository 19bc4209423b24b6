"""The places that a request may name: where its files are read, and where its results go.

An installation whose workers run what others submit lists them (VACAL_INPUT_ROOTS, VACAL_OUTPUT_ROOTS);
without a list every place is allowed. Links are resolved before a path is compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Literal

from tasks.errors import InputError
from tasks.settings import settings
from tasks.storage import filesystem

Use = Literal["input", "output"]


def require_allowed(address: str, use: Use) -> None:
    """Raises InputError where the installation does not let a request read (or write) at this address.

    The message holds the address as it was given, and nothing of what is there.
    """
    roots = _roots(use)
    if roots and not _inside(address, roots):
        what = "read files" if use == "input" else "write results"
        raise InputError(
            f"{address}: this installation does not {what} there; it does below {', '.join(roots)} "
            f"(setting VACAL_{use.upper()}_ROOTS, docs/operate.md)"
        )


def require_all_allowed(address: str, found: Iterable[str]) -> None:
    """The same of all that is read from a folder or pattern; the message does not name what it is."""
    roots = _roots("input")
    if roots and not all(_inside(one, roots) for one in found):
        raise InputError(
            f"{address}: leads to files outside the places where this installation reads files "
            f"({', '.join(roots)}; setting VACAL_INPUT_ROOTS, docs/operate.md)"
        )


def _roots(use: Use) -> list[str]:
    given = settings().input_roots if use == "input" else settings().output_roots
    return [root for part in given.split(",") if (root := part.strip())]


def _inside(address: str, roots: Iterable[str]) -> bool:
    if ".." in address.split("/") and ("://" in address or any(sign in address for sign in "*?[")):
        return False  # an object store takes it as a name, a pattern would step out of what it found
    place = _place(address)
    return any(place == root or place.startswith(root.rstrip("/") + "/") for root in map(_place, roots))


def _place(address: str) -> str:
    """The address as it is compared: a local path without links, or s3:// with each "/" once."""
    if address.startswith("s3://"):
        return "s3://" + "/".join(part for part in address.removeprefix("s3://").split("/") if part)
    return os.path.realpath(filesystem(address)[1])
