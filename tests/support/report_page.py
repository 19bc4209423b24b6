"""Reads a report back: its tables, headings and pictures, as a browser sees them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "input", "img", "hr"}


class Page(HTMLParser):
    """Tables (caption, head, rows), headings (level, text), SVG labels, references, ids, open elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[dict] = []
        self.headings: list[tuple[int, str]] = []
        self.labels: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.language = ""
        self.text: list[str] = []
        self._open: list[str] = []
        self._cell: list[str] | None = None
        self._heading: list[str] | None = None
        self.feed(html)
        self.unclosed = list(self._open)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag not in VOID:
            self._open.append(tag)
        self.ids += [named["id"]] if "id" in named else []
        self.references += [
            named[name] for name in ("href", "src", "action", "data", "srcset") if name in named
        ]
        if tag == "html":
            self.language = named.get("lang", "")
        if tag == "svg":
            self.labels.append(named.get("aria-label") or "")
        if tag == "table":
            self.tables.append({"caption": "", "head": [], "rows": [], "scopes": set()})
        if tag == "tr" and "tbody" in self._open:
            self.tables[-1]["rows"].append([])
        if tag in ("th", "td", "caption"):
            self._cell = []
            if tag == "th":
                self.tables[-1]["scopes"].add(named.get("scope"))
        if tag in ("h1", "h2", "h3", "h4"):
            self._heading = []

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_data(self, data):
        if not {"style", "script"} & set(self._open):
            self.text.append(data)
        for part in (self._cell, self._heading):
            if part is not None:
                part.append(data)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self._open.pop() == tag, f"</{tag}> closes another element"
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append((int(tag[1]), " ".join("".join(self._heading or []).split())))
            self._heading = None
        if tag in ("th", "td", "caption"):
            self._keep(tag, "".join(self._cell or []))

    def _keep(self, tag: str, text: str) -> None:
        self._cell = None
        table = self.tables[-1]
        if tag == "caption":
            table["caption"] = text
        elif "tbody" in self._open:
            table["rows"][-1].append(text)
        else:
            table["head"].append(text)

    def table(self, caption: str, columns: int | None = None) -> dict:
        """The table of that caption (and number of columns)."""
        found = [t for t in self.tables if t["caption"] == caption and columns in (None, len(t["head"]))]
        assert len(found) == 1, f"{len(found)} tables {caption!r}"
        return found[0]


def percent(cell: str) -> float:
    """`43.7%` as a fraction."""
    return float(cell.replace(",", ".").replace("\xa0", "").strip("%<")) / 100


def number(cell: str) -> int:
    """`1,234` as a number."""
    return int(re.sub(r"[,\s]", "", cell))
