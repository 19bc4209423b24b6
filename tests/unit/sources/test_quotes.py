"""Quotation marks: rows are never swallowed without a word, whatever parts the text comes in."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.sources.quotes import Quotes


def watched(text: str, columns: int = 3, part: int = 10**6) -> Quotes:
    quotes, data = Quotes(",", columns), text.encode()
    for start in range(0, len(data), part):
        quotes.feed(data[start : start + part])
    quotes.end()
    return quotes


@pytest.mark.parametrize("part", [1, 2, 3, 7, 10**6])
@pytest.mark.parametrize(
    ("text", "row", "line"),
    [
        ('a,b,c\n1,x,"mother said\n2,y,ok\n3,z,"no more\n4,u,v\n', 2, 4),
        ('a,b,c\n1,"x"y,z\n', 2, 2),
        ('a,b,c\n1,"two\nlines",z\n2,"she ""said"" so"?,z\n', 3, 4),
        ('a,b,c\n1,"said \\"no\\" twice",z\n', 2, 2),
        ('a,b,c\n1,x,"open\n2,y,z\n', 2, None),
    ],
)
def test_a_mark_that_does_not_end_its_cell_is_found_in_its_row(
    text: str, row: int, line: int | None, part: int
) -> None:
    broken = watched(text, part=part).broken
    assert broken is not None
    assert broken.startswith(f"row {row}: a quotation mark is not closed")
    assert line is None or f"in line {line}," in broken


@pytest.mark.parametrize("part", [1, 2, 3, 7, 10**6])
@pytest.mark.parametrize(
    "text",
    [
        'a,b,c\r\n"1","two\r\nlines",""\r\n"2","she ""said""",z',
        '\ufeff"a","b","c"\n1,2,3\n',
        'a,b,c\n1,5" nail,6""\n2,y,"quoted, with ""marks"""\n',
        'a,b,c\n1,"""",""""""\n',
    ],
)
def test_marks_in_their_places_are_in_order(text: str, part: int) -> None:
    quotes = watched(text, part=part)
    assert quotes.broken is None
    assert quotes.swallowed == []


def test_a_cell_of_several_lines_that_look_like_rows_is_noted() -> None:
    quotes = watched('a,b,c\n1,x,"mother said\n2,y,ok\n3,z,no more"\n4,u,v\n')
    assert quotes.broken is None
    assert quotes.swallowed == [2]


CELLS = st.text(st.sampled_from('ab",\n\r '), max_size=5)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=6), st.integers(1, 9), st.booleans())
def test_whatever_a_csv_writer_writes_is_in_order(
    rows: list[tuple[str, ...]], part: int, everything: bool
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL if everything else csv.QUOTE_MINIMAL).writerows(rows)
    assert watched(text.getvalue(), part=part).broken is None
