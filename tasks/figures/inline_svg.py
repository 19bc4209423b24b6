"""A picture as part of a page: no document head, ids of its own, the page's width, a text for all readers."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from tasks.figures.style import Picture

_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL)
_OPENING = re.compile(r"<svg[^>]*?viewBox=\"([^\"]*)\"[^>]*>")
_ID = re.compile(r'\bid="([^"]+)"')
_REFERENCE = re.compile(r'(url\(#|href="#)([^")]+)')
_DECIMALS = re.compile(r"(\d+\.\d\d)\d+")


def inline(picture: Picture, prefix: str) -> Markup:
    """The SVG of a picture for HTML; `prefix` must differ from picture to picture of a page.

    Coordinates keep two decimals of a point; unused ids are dropped.
    """
    text = _METADATA.sub("", _HEAD.sub("", picture.svg().decode(), count=1))
    used = {reference for _, reference in _REFERENCE.findall(text)}
    text = _ID.sub(lambda found: f'id="{prefix}{found[1]}"' if found[1] in used else "", text)
    text = _REFERENCE.sub(rf"\g<1>{prefix}\g<2>", text).replace("xlink:href", "href")
    text = _DECIMALS.sub(r"\1", text)
    opening = rf'<svg viewBox="\g<1>" role="img" aria-label="{escape(picture.alt)}">'.replace(
        "\\", "\\\\"
    ).replace(r"\\g<1>", r"\g<1>")
    return Markup(_OPENING.sub(opening, text, count=1))
