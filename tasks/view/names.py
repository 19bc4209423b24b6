"""File names of pictures: readable, unique within a run, and the same whichever of its pictures are drawn."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

K = TypeVar("K")
_LONGEST = 120  # bytes: file systems take 255, and endings and kinds of pictures are added
_DIGITS = 8  # of a digest


def unique_names(parts: Mapping[K, Sequence[str]]) -> dict[K, str]:
    """A file name for each thing, from the texts that tell it apart.

    Small letters of any script, digits and dashes; Latin letters lose their accents. Names that would be
    equal, too long, or without one of their texts end in a digest of the texts.
    """
    plain = {key: [plain_name(text) for text in texts] for key, texts in parts.items()}
    joined = {key: "-".join(filter(None, texts)) for key, texts in plain.items()}
    whole = {key for key, name in joined.items() if all(plain[key]) and len(name.encode()) <= _LONGEST}
    often = Counter(joined[key] for key in whole)
    return {
        key: name if key in whole and often[name] == 1 else _with_digest(name, parts[key])
        for key, name in joined.items()
    }


def plain_name(text: str) -> str:
    """Small letters of any script, digits and dashes."""
    kept = "".join(map(_plain, unicodedata.normalize("NFC", text.casefold())))
    return "-".join(kept.split())


def _plain(sign: str) -> str:
    """Latin letters and digits without accents, other letters as they are, a space for all else."""
    latin = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode().casefold()
    if latin:
        return latin if latin.isalnum() else " "
    return sign if unicodedata.category(sign)[0] in "LMN" else " "


def _with_digest(name: str, texts: Sequence[str]) -> str:
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:_DIGITS]
    cut = name.encode()[: _LONGEST - _DIGITS - 1].decode(errors="ignore")
    return f"{cut.rstrip('-')}-{digest}".lstrip("-")
