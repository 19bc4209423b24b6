"""When two spellings of a strata column's value are one value, and how it is written.

2023, 2023.0 and 02023 are one number; 2023-04-01 and 2023-04-01 00:00:00 one date; texts that differ in their
Unicode form or in white space are one text. Case, accents, hyphens and apostrophes tell values apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(?:Z|[+-]00:?00)?", re.ASCII)
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))


def value_key(text: str) -> str:
    """The one form that all spellings of a value share."""
    plain = _plain(text)
    if number := _NUMBER.fullmatch(plain):
        sign, whole, fraction = number[1], number[2].lstrip("0") or "0", (number[3] or "").rstrip("0")
        return f"{sign}{whole}" + (f".{fraction}" if fraction else "")
    return (_midnight(plain) or plain) if _TIME.fullmatch(plain) else plain


def one_form(labels: Iterable[str]) -> Mapping[str, str]:
    """How each spelling in a column is written, decided over all of them.

    Numbers lose a fraction of zeros where all numbers of the column are whole, and leading zeros where some
    number is there with and without them. Times of day are dropped where all of them are midnight.
    """
    known = list(dict.fromkeys(labels))
    spelled: dict[str, set[str]] = {}
    for label in known:
        spelled.setdefault(value_key(label), set()).add(_plain(label))
    numbers = [key for key in spelled if _NUMBER.fullmatch(key)]
    whole = all("." not in key for key in numbers)
    mixed = any(len({_whole(one) for one in spelled[key]}) > 1 for key in numbers)
    dates = all(_midnight(one) for own in spelled.values() for one in own if _TIME.fullmatch(one))

    def written(label: str) -> str:
        key, plain = value_key(label), _plain(label)
        if len(spelled[key]) > 1 and not (_NUMBER.fullmatch(key) and whole and not mixed):
            return key
        if _NUMBER.fullmatch(plain):
            return key if mixed else _whole(plain) if whole else plain
        return key if dates else plain

    return {label: written(label) for label in known}


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text.translate(_UNSEEN)).split())


def _whole(number: str) -> str:
    """The number without a fraction of zeros."""
    return re.sub(r"\.0+$", "", number)


def _midnight(text: str) -> str | None:
    """The date of a time stamp at midnight, in no time zone or UTC; None for other texts."""
    found = _TIME.fullmatch(text)
    return found[1] if found and not found[2].strip("0:.") else None
