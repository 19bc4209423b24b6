"""Records that belong to no stratum count for every result that they could belong to."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tasks.verdict import unplaced_shares

OURS = ("neonate", "Mali", "eava")


def records(*rows: tuple[str, str, str, str | None, int]) -> pa.Table:
    names = ("age_group", "country", "algorithm", "reason", "records")
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


@pytest.mark.parametrize(
    ("place", "counts"),
    [
        (("(unknown)", "(unknown)", "(unknown)"), True),
        (("(unknown)", "(unknown)", "eava"), True),
        (("(unknown)", "Mali", "eava"), True),
        (("neonate", "(unknown)", "eava"), True),
        (("neonate", "Mali", "(unknown)"), True),
        (("child", "(unknown)", "eava"), False),
        (("(another)", "Mali", "eava"), False),
        (("(another)", "(unknown)", "eava"), False),
        (("(unknown)", "Kenya", "eava"), False),
        (("(unknown)", "Mali", "interva"), False),
        (("neonate", "Mali", "(another)"), False),
    ],
)
def test_a_record_counts_unless_it_states_something_else(place: tuple[str, str, str], counts: bool) -> None:
    found = unplaced_shares(records((*OURS, None, 300), (*place, "some_reason", 100)))
    assert found == ({OURS: 0.25} if counts else {})


def test_stillbirths_are_no_records_of_the_age_group() -> None:
    table = records((*OURS, None, 300), (*OURS, "stillbirth", 500), ("(unknown)", "Mali", "eava", "r", 100))
    assert unplaced_shares(table) == {OURS: 0.25}
