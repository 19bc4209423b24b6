"""Printing: texts exactly as they are, and tables that lose nothing on a narrow terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding, PaddingDimensions
from rich.table import Table
from rich.text import Text

_TEXT_WIDTH = 10  # characters: a column of texts is not folded to fewer


def console(**options: Any) -> Console:
    """A terminal for labels of the input: brackets are no markup, and `:warning:` is no sign."""
    return Console(markup=False, emoji=False, highlight=False, **options)


class Listing:
    """A table of texts; where the terminal is too narrow for its columns, each row is a list of its cells.

    The cells of `numeric` columns are kept whole, at the right, and their heads wrapped; columns of texts are
    folded only where there is no room for them, the widest first. `bold`: rows to stress.
    """

    def __init__(
        self,
        heads: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        title: str = "",
        title_style: str = "italic",
        numeric: Collection[int] = (),
        bold: Collection[int] = (),
        padding: PaddingDimensions = (0, 1),
        edge: bool = False,
    ) -> None:
        self.heads, self.rows = list(heads), [list(row) for row in rows]
        self.title, self.numeric, self.bold = Text(title, style=title_style), numeric, bold
        self.padding, self.edge = padding, edge

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        _, right, _, left = Padding.unpack(self.padding)
        between = left + right + 1  # characters between two columns
        needed = sum(self._least(place) + between for place in range(len(self.heads)))
        if needed <= options.max_width:
            yield self._table(self._whole(options.max_width - needed))
        else:
            yield from self._list()

    def _least(self, place: int) -> int:
        """Characters that a column needs: its longest word for a numeric one."""
        full = self._full(place)
        return full if place in self.numeric else min(full, _TEXT_WIDTH)

    def _full(self, place: int) -> int:
        """Characters of a column's longest cell, or of the longest word of its head."""
        longest = max((cell_len(row[place]) for row in self.rows), default=0)
        return max(longest, max(map(cell_len, self.heads[place].split()), default=0))

    def _whole(self, room: int) -> set[int]:
        """The columns of texts that are not folded: the narrowest, as far as `room` goes beyond what is needed."""
        whole: set[int] = set()
        for place in sorted(set(range(len(self.heads))).difference(self.numeric), key=self._full):
            room -= self._full(place) - self._least(place)
            if room < 0:
                break
            whole.add(place)
        return whole

    def _table(self, whole: Collection[int]) -> Table:
        table = Table(
            title=self.title if self.title.plain else None,
            title_justify="left",
            pad_edge=self.edge,
            box=SIMPLE_HEAD,
            padding=self.padding,
        )
        for place, head in enumerate(self.heads):
            right = place in self.numeric
            table.add_column(
                Text(head),
                justify="right" if right else "left",
                overflow="fold",
                min_width=self._least(place),
                no_wrap=place in whole,
            )
        for place, row in enumerate(self.rows):
            table.add_row(*map(Text, row), style="bold" if place in self.bold else None)
        return table

    def _list(self) -> Iterator[Text]:
        if self.title.plain:
            yield self.title
        for row in self.rows:
            for head, cell in zip(self.heads, row, strict=True):
                yield Text(f"{head}: {cell}" if head else cell, overflow="fold")
            yield Text("")
