"""Every record accounted for, whatever the dirt: received = used + excluded + rejected."""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_made import accounted, of_file

from tasks.errors import InputError
from tasks.ingest import Tabulation, check_records_add_up, tabulate

HEADER = ["ID", "cause", "algorithm", "age", "land", "province"]
CAUSES = [
    "ipre",
    "Pneumonia",
    " malaria",
    "Neonatal sepsis",
    "Unspecified",
    "UNKNOWN",
    "",
    "NA",
    "Snake bite",
    "hiv",
]
IDS = ["", "NA", "1", "01", "2", "3", "4", "5", "6", "7", "8", "9", " 2"]
ROW = st.tuples(
    st.sampled_from(IDS),
    st.sampled_from(CAUSES),
    st.sampled_from(["eava", "EAVA", "interva", "insilicova", "evaa", ""]),
    st.sampled_from(["neonate", "child", "Child ", "adult", ""]),
    st.sampled_from(["Mozambique", "moz", "Mali", "Nowhere", "NA"]),
    st.sampled_from(["A", "B/C", "", "d=e"]),
).map(list)
ROWS = st.lists(ROW | st.lists(st.sampled_from(["", "x"]), min_size=7, max_size=7), min_size=1, max_size=25)
CLEAN = [["c1", "ipre", "eava", "neonate", "Mali", "A"], ["c1", "malaria", "interva", "child", "Mali", "A"]]


def tabulated(rows: list[list[str]], files: int = 1) -> Tabulation:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(files):
            with (Path(folder) / f"{number}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([HEADER, *rows[number::files]])
        request = of_file(
            Path(folder),
            columns={"strata": ["province"]},
            age_group={"column": "age"},
            country={"column": "land"},
            algorithms=["eava", "interva"],
            bad_records="reject",
            unmapped_causes="exclude",
        )
        return tabulate(request)


def tables(found: Tabulation) -> list[list[dict[str, object]]]:
    return [t.to_pylist() for t in (found.counts, found.strata, found.records, found.causes, found.received)]


def is_record(row: list[str]) -> bool:
    return any(cell.strip() for cell in row) or len(row) != len(HEADER)


@given(ROWS)
@settings(max_examples=25, deadline=None)
def test_received_is_used_and_excluded_and_rejected(rows: list[list[str]]) -> None:
    rows = [*CLEAN, *rows]
    found = tabulated(rows)
    check_records_add_up(found)
    assert sum(accounted(found).values()) == sum(map(is_record, rows))
    strata = set(found.strata["stratum"].to_pylist())
    assert set(found.records["stratum"].to_pylist()) <= strata
    assert sum(found.causes["records"].to_pylist()) == sum(
        n
        for (kind, reason), n in accounted(found).items()
        if kind != "rejected" and reason != "algorithm_not_requested"
    )


@given(ROWS)
@settings(max_examples=25, deadline=None)
def test_all_copies_of_a_duplicate_are_set_aside(rows: list[list[str]]) -> None:
    rows = [*CLEAN, *rows]
    copies = Counter((row[2].strip().lower(), row[0].strip()) for row in rows if len(row) == len(HEADER))
    valid = [
        row
        for row in rows
        if len(row) == len(HEADER)
        and row[2].lower() in ("eava", "interva")
        and row[3].strip().lower() in ("neonate", "child")
        and row[4] in ("Mozambique", "moz", "Mali")
        and row[0].strip() not in ("", "NA")
    ]
    duplicates = sum(copies[(row[2].lower(), row[0].strip())] > 1 for row in valid)
    assert accounted(tabulated(rows)).get(("rejected", "duplicate_id"), 0) == duplicates


@given(ROWS, st.randoms(use_true_random=False), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_and_their_split_into_files_do_not_change_the_result(
    rows: list[list[str]], random: object, files: int
) -> None:
    rows = [*CLEAN, *rows]
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert tables(tabulated(shuffled, files)) == tables(tabulated(rows))


@given(st.lists(st.sampled_from(CAUSES), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_used_deaths_are_those_with_a_known_cause(causes: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["ID", "cause"], *([n, cause] for n, cause in enumerate(causes))])
        known = sum(cause.strip() in ("ipre", "Pneumonia", "malaria", "Neonatal sepsis") for cause in causes)
        try:
            found = tabulate(of_file(path, unmapped_causes="exclude"))
        except InputError as error:
            assert known == 0
            assert "no record of the input can be calibrated" in error.problems[0]
        else:
            assert accounted(found)[("used", "")] == known == sum(found.counts["deaths"].to_pylist())
