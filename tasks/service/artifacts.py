"""Keys of progress artifacts: one for each algorithm, from which its name can be read back."""

from __future__ import annotations

import re

_PREFIX = "progress-"


def progress_key(algorithm: str) -> str:
    """The key of an algorithm's progress artifact; different names have different keys.

    Prefect takes lower-case letters, digits and dashes. So "-" becomes "--" and any other character its code
    between dashes: "my_coder" is progress-my-5f-coder and "my-coder" progress-my--coder.
    """
    return _PREFIX + re.sub("[^a-z0-9]", lambda found: f"-{_code(found[0])}-", algorithm)


def algorithm_of(key: str) -> str:
    """The algorithm of a progress artifact; a key that was not made here is its own name."""
    text = key.removeprefix(_PREFIX)
    plain, coded = text.split("-")[::2], text.split("-")[1::2]
    try:
        signs = [chr(int(code, 16)) if code else "-" for code in coded]
    except (ValueError, OverflowError):
        return text
    return "".join(part + sign for part, sign in zip(plain, [*signs, ""], strict=False))


def _code(sign: str) -> str:
    return "" if sign == "-" else f"{ord(sign):x}"
