"""Numbers that are texts: read right, or not at all."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tasks.ingest.columns import BAD_COUNT, GROUPED_COUNT, VALID, whole_numbers
from tasks.sources import decimals


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("12", 12),
        ("12.0", 12),
        ("12.00", 12),
        ("+3", 3),
        ("1e+05", 100_000),
        ("1E3", 1000),
        ("0", 0),
        ("007", 7),
    ],
)
def test_counts_are_read_as_programs_write_them(text: str, count: int) -> None:
    numbers, bad = whole_numbers(pa.array([text]))
    assert (numbers.tolist(), bad.tolist()) == ([count], [VALID])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        *(
            (text, GROUPED_COUNT)
            for text in ("12.000", "12,000", "1.234.567", "12 000", "1\u202f200", "1'200")
        ),
        *(
            (text, BAD_COUNT)
            for text in ("1_0", "-3", "1.5", "12,5", "5%", "sNaN", "inf", "nan", "", "\u0663", "0x1")
        ),
        *(
            (text, BAD_COUNT)
            for text in ("1e99", "1e-1", "1 2", "1e", ".", "--1", "1e12", "twelve", "1e99999999")
        ),
        (None, BAD_COUNT),
    ],
)
def test_what_may_be_another_number_is_not_read(text: str | None, what: int) -> None:
    assert whole_numbers(pa.array([text], pa.string()))[1].tolist() == [what]


def test_a_number_that_was_a_number_in_its_file_is_not_in_doubt() -> None:
    numbers, bad = whole_numbers(pa.array(["12.000", "12"]), typed=True)
    assert (numbers.tolist(), bad.tolist()) == ([12, 12], [VALID, VALID])


@pytest.mark.parametrize(
    ("texts", "in_doubt"),
    [
        (["1.234", "987"], [True, False]),
        (["1.234", "0.5"], [False, False]),
        (["1.000", "0.000"], [False, False]),
        (["1.234", "12.25"], [False, False]),
        (["1.234.567", "0.5"], [True, False]),
        (["12,000", "0.5"], [True, False]),
    ],
)
def test_a_dot_before_three_digits_is_in_doubt_unless_the_column_says_what_dots_are(
    texts: list[str], in_doubt: list[bool]
) -> None:
    assert decimals(pa.array(texts))[1].tolist() == in_doubt
    assert not decimals(pa.array(texts), typed=True)[1].any()


def test_decimals_are_the_nearest_numbers_and_nothing_else() -> None:
    found, _ = decimals(pa.array(["0.1", "1e-3", "1_0", "sNaN", None, "3%"]))
    np.testing.assert_array_equal(found, [0.1, 0.001, np.nan, np.nan, np.nan, np.nan])
