"""Fonts for letters that matplotlib's own font lacks, such as Ethiopic or Bengali, among those installed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from matplotlib import font_manager, get_data_path
from matplotlib.ft2font import FT2Font

FAMILIES = ["DejaVu Sans", "Verdana", "Arial"]
_OWN = Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")  # brought by matplotlib
_PREFERRED = ("NotoSans", "Noto")  # regular faces of few styles, one family per script


def fallback_families(text: str) -> list[str]:
    """The families that have what DejaVu Sans lacks of a text; none for most texts."""
    found = (_family_with(sign) for sign in _lacking(text))
    return list(dict.fromkeys(family for family in found if family))


def undrawable(texts: Iterable[str]) -> set[str]:
    """The characters of the texts that no installed font has."""
    return {sign for text in texts for sign in _lacking(text) if _family_with(sign) is None}


def _lacking(text: str) -> list[str]:
    return [sign for sign in text if ord(sign) not in _characters(_OWN) and not sign.isspace()]


@cache
def _family_with(sign: str) -> str | None:
    """The family of the first installed font that has the character; matplotlib knows it from then on."""
    for path in _installed():
        if ord(sign) in _characters(path):
            family = FT2Font(str(path)).family_name
            if family not in font_manager.fontManager.get_font_names():  # its list may be older than the font
                font_manager.fontManager.addfont(str(path))
            return family
    return None


@cache
def _installed() -> list[Path]:
    """Regular faces of the fonts of this machine, the preferred families first, then by name."""
    paths = (Path(path) for path in font_manager.findSystemFonts())
    faces = [path for path in paths if path.stem.endswith("-Regular") or "-" not in path.stem]
    return sorted(faces, key=lambda path: (_rank(path.stem), path.name, str(path)))


def _rank(stem: str) -> int:
    found = (place for place, start in enumerate(_PREFERRED) if stem.startswith(start))
    return next(found, len(_PREFERRED))


@cache
def _characters(path: Path) -> frozenset[int]:
    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError):  # a font that cannot be read
        return frozenset()
