"""Quotation marks of a CSV text, watched as it streams past the parser, which forgives what must not be.

A quoted cell begins right after a delimiter or a line's end, and its closing mark stands right before one
(a mark within it is written twice). A mark that is not closed so takes the next rows into its cell: the
parser sees one long cell where a reader sees rows. A mark in the middle of a cell that is not quoted is text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PART = 1 << 19
"""Bytes that are looked at at once: few enough for the processor's cache."""

QUOTE, BOM = 34, b"\xef\xbb\xbf"
OPEN_QUOTE = "a quotation mark is not closed, so that rows run into each other; correct the file"
Positions = NDArray[np.int64]


class Quotes:
    """Fed with a text in parts. `broken` says what is wrong, `swallowed` in which rows cells look like rows.

    columns: how many cells a row has. line_end: the byte that ends a line. Rows are counted from 1, a cell of
    several lines being part of one row, as in a spreadsheet.
    """

    def __init__(self, delimiter: str, columns: int, line_end: bytes = b"\n") -> None:
        self.broken: str | None = None
        self.swallowed: list[int] = []
        self._delimiter, self._columns, self._line_end = ord(delimiter), columns, line_end[0]
        self._ends = np.zeros(256, dtype=bool)
        self._ends[[self._delimiter, 10, 13, QUOTE]] = True
        self._row = self._line = 1
        self._started = self._inside = self._closed = False
        self._last = 10
        self._opened = 1

    def feed(self, data: bytes) -> None:
        """Looks at the next part of the text."""
        if not self._started:
            self._started, data = True, data.removeprefix(BOM)
        for start in range(0, len(data), PART):
            self._feed(data[start : start + PART])

    def _feed(self, data: bytes) -> None:
        if self.broken:
            return
        if self._closed and not self._ends[data[0]]:
            self._break(self._opened, self._line)
        elif self._inside or b'"' in data:
            self._look(np.frombuffer(data, dtype=np.uint8))
        else:
            lines = data.count(self._line_end)
            self._row, self._line = self._row + lines, self._line + lines
            self._closed = False
        self._last = data[-1]

    def end(self) -> None:
        """The text is over."""
        if self._inside and not self.broken:
            self._break(self._opened)

    def _look(self, text: NDArray[np.uint8]) -> None:
        marks = np.flatnonzero(text == QUOTE)
        before = self._before(text, marks[int(self._inside) :: 2])  # every other one opens a cell
        if not self._ends[before].all():
            marks = self._without_text(marks, self._before(text, marks))
        lines = np.flatnonzero(text == self._line_end)
        cell = np.searchsorted(marks, lines)  # how many marks stand before a line's end
        within = (cell + self._inside) % 2 == 1
        rows = lines[~within]
        self._check_closing(text, marks, lines, rows)
        if within.any():
            self._note_swallowed(text, marks, lines, within, rows)
        self._move_on(text, marks, lines, rows)

    def _before(self, text: NDArray[np.uint8], marks: Positions) -> NDArray[np.uint8]:
        """The bytes before the marks; a mark in the former part that did not close a cell is a letter."""
        before: NDArray[np.uint8] = text[marks - 1]
        if len(marks) and marks[0] == 0:
            before[0] = 0 if self._last == QUOTE and not self._closed else self._last
        return before

    def _without_text(self, marks: Positions, before: NDArray[np.uint8]) -> Positions:
        """The marks without those in the middle of cells that are not quoted."""
        kept: list[int] = []
        inside = self._inside
        closed = -1 if self._closed else -2  # position of the mark that closed last
        for mark, previous in zip(marks.tolist(), before.tolist(), strict=True):
            if inside:
                closed = mark
            elif mark - 1 != closed and (previous == QUOTE or not self._ends[previous]):
                continue
            kept.append(mark)
            inside = not inside
        return np.array(kept, dtype=np.int64)

    def _check_closing(
        self, text: NDArray[np.uint8], marks: Positions, lines: Positions, rows: Positions
    ) -> None:
        closing = marks[1 - int(self._inside) :: 2]
        if len(closing) and closing[-1] == len(text) - 1:
            closing = closing[:-1]
        ends = self._ends[text[closing + 1]]
        if not ends.all():
            first = 2 * int(ends.argmin()) + 1 - int(self._inside)
            line = self._line + int(np.searchsorted(lines, marks[first]))
            self._break(self._row_of(marks, first - 1, rows), line)

    def _row_of(self, marks: Positions, opening: int, rows: Positions) -> int:
        """The row of the cell that the mark opens, or opens again after a doubled mark."""
        while opening >= 1 and marks[opening] == marks[opening - 1] + 1:
            opening -= 2
        if opening < 0 or (opening == 0 and marks[0] == 0 and self._closed):
            return self._opened
        return self._row + int(np.searchsorted(rows, marks[opening]))

    def _note_swallowed(
        self,
        text: NDArray[np.uint8],
        marks: Positions,
        lines: Positions,
        within: NDArray[np.bool_],
        rows: Positions,
    ) -> None:
        """Rows with a cell one of whose lines has as many delimiters as a row."""
        if self._columns < 2:
            return
        stops = np.sort(np.concatenate([lines, marks, [len(text)]]))
        starts = lines[within]
        after = stops[np.searchsorted(stops, starts, side="right")]
        delimiters = np.flatnonzero(text == self._delimiter)
        number = np.searchsorted(delimiters, after) - np.searchsorted(delimiters, starts)
        found = starts[(number == self._columns - 1) & (after < len(text))]
        numbers = self._row + np.searchsorted(rows, found)
        self.swallowed += [n for n in np.unique(numbers).tolist() if n not in self.swallowed[-1:]]

    def _move_on(self, text: NDArray[np.uint8], marks: Positions, lines: Positions, rows: Positions) -> None:
        inside = bool((len(marks) + self._inside) % 2)
        if len(marks):
            last = len(marks) - 1 if inside else len(marks) - 2
            self._opened = self._row_of(marks, last, rows)
        self._closed = bool(len(marks)) and not inside and marks[-1] == len(text) - 1
        self._inside = inside
        self._row += len(rows)
        self._line += len(lines)

    def _break(self, row: int, line: int | None = None) -> None:
        where = f" (the next one, in line {line}, ends no cell)" if line else ""
        self.broken = self.broken or f"row {row}: {OPEN_QUOTE.replace(' closed', f' closed{where}', 1)}"
