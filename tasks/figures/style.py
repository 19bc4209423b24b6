"""One style for all pictures: safe for the colour-blind, legible in greyscale, the same bytes each time."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from tasks.figures.fonts import FAMILIES, fallback_families, undrawable
from tasks.terms import Words
from tasks.view import View, trusts_interval, warning

INK, GREY, LIGHT, PAPER = "#1a1a1a", "#5f6368", "#d5d8dc", "#ffffff"
BAND = "#f3f4f6"
WARNING = "#8c1d18"
PALETTE = ("#0072b2", "#b35900", "#00734f", "#8a4a77", "#4d4d4d", "#7a6a00")  # after Okabe and Ito, darkened
MARKERS = ("o", "s", "^", "v", "P", "X")
SEQUENTIAL = "YlGnBu"  # its lightness falls evenly, so it reads in greyscale
WIDTH = 7.4  # inches
LEGEND = 0.3  # inches that a legend takes below the title
_LEGEND_AT_MOST, _MARK = 120, 6  # letters in a row of a legend, and as many as a mark takes the room of
BROKEN = (0, (1.6, 1.1))  # line style of an interval that is too narrow

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": FAMILIES,
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "figure.facecolor": PAPER,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "text.parse_math": False,  # names may hold dollar signs
    "svg.fonttype": "none",  # text stays text: small files that can be searched
    "svg.hashsalt": "vacal",
}


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's settings while pictures are drawn and written."""
    with mpl.rc_context(_STYLE):
        yield


@dataclass(frozen=True)
class Picture:
    """A figure with its file name (without ending), its title, and its text for those who do not see it."""

    name: str
    title: str
    alt: str
    figure: Figure

    def svg(self) -> bytes:
        """The picture as SVG."""
        return self._written("svg", {"Date": None, "Creator": None})

    def png(self, dots_per_inch: int = 160) -> bytes:
        """The picture as PNG."""
        return self._written("png", {"Software": None}, dpi=dots_per_inch)

    @property
    def undrawable(self) -> str:
        """The characters that no installed font has; a PNG shows boxes for them."""
        return "".join(sorted(undrawable(text.get_text() for text in self._texts())))

    def _texts(self) -> list[Text]:
        return [text for text in self.figure.findobj(Text) if isinstance(text, Text)]

    def _written(self, kind: str, metadata: dict[str, None], **options: Any) -> bytes:
        buffer = io.BytesIO()
        with style(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")  # `undrawable` names them
            for text in self._texts():
                if further := fallback_families(text.get_text()):
                    text.set_fontfamily([FAMILIES[0], *further])  # the others may not be installed
            self.figure.savefig(buffer, format=kind, metadata=metadata, **options)
        return buffer.getvalue()


class Sheet:
    """An empty figure with a title above and lines of caveats below; axes go into the area between."""

    def __init__(self, view: View, title: str, subtitle: str, footer: list[str], height: float) -> None:
        """`height`: inches of the area. `footer`: its first text is bold.

        An illustrative run has a red line above and a word across the picture.
        """
        self.say, sentence, word = view.say, *warning(view)
        lines = [(line, text is footer[0]) for text in footer for line in textwrap.wrap(text, 104)]
        heads = [line for line in (sentence, subtitle) if line]
        above = 0.34 + 0.2 * len(heads)
        below = 0.1 + 0.155 * len(lines)
        self.inches = above + height + below
        self.figure = Figure(figsize=(WIDTH, self.inches))
        self.bottom, self.top = below / self.inches, 1 - above / self.inches
        self._write(title, 0.1, size=10.5, weight="bold")
        for row, line in enumerate(heads):
            colour, weight = (WARNING, "bold") if line is sentence else (GREY, "normal")
            self._write(line, 0.34 + 0.2 * row, size=8.5, color=colour, weight=weight)
        for row, (line, bold) in enumerate(lines):
            y = (below - 0.06 - 0.155 * row) / self.inches
            look: dict[str, Any] = {"color": INK, "weight": "bold"} if bold else {"color": GREY}
            self.figure.text(0.012, y, line, size=7.5, va="top", **look)
        self.figure.text(
            0.5, 0.5, word, size=50, color=WARNING, alpha=0.09, rotation=28, ha="center", va="center"
        )

    def _write(self, text: str, below_top: float, **options: Any) -> None:
        self.figure.text(0.012, 1 - below_top / self.inches, text, va="top", **options)

    def legend(self, handles: Sequence[Artist]) -> None:
        """Explain the marks in a row below the title, or in two if they are too many words for one.

        Takes the uppermost LEGEND inches of the area.
        """
        long = sum(len(str(handle.get_label())) + _MARK for handle in handles) > _LEGEND_AT_MOST
        self.figure.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(0.0, self.top + 0.05 / self.inches),
            ncols=3 if long else 5, fontsize=7.4, handletextpad=0.5, columnspacing=1.3, borderpad=0.2,
            labelspacing=0.25,
        )  # fmt: skip

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """Axes at fractions of the area between title and caveats (left and width: of the figure)."""
        room = self.top - self.bottom
        return self.figure.add_axes((left, self.bottom + bottom * room, width, height * room))

    def fraction(self, inches: float) -> float:
        """Inches as a fraction of the height of the area."""
        return inches / ((self.top - self.bottom) * self.inches)


def estimate_marks(
    rows: Collection[Mapping[str, Any]], say: Words, *, raw: str, calibrated: str, colour: str = INK,
    star: str = "",
) -> list[Line2D]:  # fmt: skip
    """The legend of a picture of estimates: what is drawn of these rows of `csmf`, and no more.

    raw, calibrated: the markers. star: what stands behind shares whose interval is too narrow, if anything.
    """
    drawn = [row for row in rows if row["status"] == "calibrated" and row["q025"] is not None]
    trusted = {trusts_interval(row) for row in drawn}
    refused = {row["verdict"] == "do_not_publish" for row in drawn}
    entries = [mark(say("figures.raw"), raw, colour=GREY, hollow=True)]
    if True in trusted:
        hollow = refused == {True}
        entries.append(mark(say("figures.calibrated"), calibrated, colour=colour, line="-", hollow=hollow))
    if False in trusted:
        text = say("figures.too_narrow" if True in trusted else "figures.all_too_narrow")
        text += f" ({star})" if star else ""
        hollow = refused == {True}
        entries.append(mark(text, calibrated, colour=colour, line=BROKEN, hollow=hollow))
    if True in refused:
        entries.append(mark(say("figures.refused"), calibrated, colour=colour, hollow=True))
    if any(row["status"] == "passed_through" for row in rows):
        entries.append(mark(say("figures.passed_through"), "x", colour=GREY))
    return entries


def wrap(text: str, width: int) -> str:
    """The text on several lines of at most that many characters."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=True)) or text


def percent_ceiling(share: float) -> float:
    """A round end, in percent, for an axis that must show `share`."""
    steps = (5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100)
    return float(next((step for step in steps if step >= 100 * share), 100))


def luminance(colour: Any) -> float:
    """Relative luminance of a colour, from 0 (black) to 1 (white), as WCAG's contrast ratio takes it."""
    channels = mpl.colors.to_rgb(colour)
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def mark(label: str, marker: str, *, colour: str = INK, hollow: bool = False, line: Any = "none") -> Line2D:
    """An entry of a legend: a marker, filled or hollow, on a line of that style."""
    face = PAPER if hollow else colour
    return Line2D(
        [],
        [],
        marker=marker,
        ms=4.6,
        mfc=face,
        mec=colour,
        mew=1.1,
        color=colour,
        lw=1.5,
        ls=line,
        label=label,
    )
