"""Every record accounted for, whatever the dirt: received = used + not fitted + excluded + rejected."""

from __future__ import annotations

import csv
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ingest_made import accounted, of_file
from support.ingest_made import tabulated as tabulated_request

from tasks import run as steps
from tasks.engine.process import Pool
from tasks.errors import InputError
from tasks.ingest.tabulate import Tabulation, check_records_add_up
from tasks.request.model import CalibrationRequest
from tasks.results.store import open_results

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


def written(folder: str, rows: list[list[str]], files: int = 1, **changes: Any) -> CalibrationRequest:
    """A request for these rows, dealt into that many files of the folder."""
    for number in range(files):
        with (Path(folder) / f"{number}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([HEADER, *rows[number::files]])
    return of_file(
        Path(folder),
        columns={"strata": ["province"]},
        age_group={"column": "age"},
        country={"column": "land"},
        algorithms=["eava", "interva"],
        bad_records="reject",
        unmapped_causes="exclude",
        **changes,
    )


def tabulated(rows: list[list[str]], files: int = 1) -> Tabulation:
    with tempfile.TemporaryDirectory() as folder:
        return tabulated_request(written(folder, rows, files))


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


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool() as pool:
        yield pool


def received(rows: list[list[str]]) -> Counter[tuple[str, ...]]:
    """Records of each stratum and algorithm that the rows hold, counted from their text alone."""
    ages, lands = {"neonate": "neonate", "child": "child"}, {"mozambique": "Mozambique", "moz": "Mozambique"}
    found: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        if len(row) == len(HEADER):
            algorithm, age, land, province = (cell.strip() for cell in row[2:])
            age, land = ages.get(age.lower(), ""), {**lands, "mali": "Mali"}.get(land.lower(), "")
            if algorithm.lower() in ("eava", "interva") and age and land:
                found[age, land, province or "(missing)", algorithm.lower()] += 1
    return found


@given(ROWS, st.sampled_from([1, 3]))
@settings(max_examples=8, deadline=None)
def test_a_published_run_accounts_for_every_record_of_every_stratum(
    pool: Pool, rows: list[list[str]], minimum_deaths: int
) -> None:
    rows = [*CLEAN, *rows]
    with tempfile.TemporaryDirectory() as folder:
        small = {"draws": 100, "effective_draws": 100, "matrix": {"source": "illustrative"}}
        store = f"{folder}/store"
        job = steps.prepare(written(folder, rows, **small, minimum_deaths=minimum_deaths, output=store))
        log = logging.getLogger("tests")
        for chunk in job.chunks:
            steps.calibrate_chunk(chunk, job.work.of(chunk), log=log, progress=None, pool=pool, timeout=None)
        steps.publish(job, [(chunk, None) for chunk in job.chunks], {}, replace=False)
        results = open_results(job.uri)
        records, fits, csmf = results.records, results.strata, results.csmf
    place = ["age_group", "country", "province", "algorithm"]
    known = records[records["algorithm"].isin(["eava", "interva"]) & ~records["country"].str.startswith("(")]
    known = known[known["age_group"].isin(["neonate", "child"])]
    assert known.groupby(place)["records"].sum().to_dict() == received(rows)
    assert records["records"].sum() == sum(map(is_record, rows))
    assert set(records["disposition"]) <= {"used", "not_fitted", "excluded", "rejected"}
    deaths = csmf[csmf["algorithm"] != "ensemble"].groupby(place)["deaths"].sum()
    counted = known[known["disposition"].isin(["used", "not_fitted"])].groupby(place)["records"].sum()
    assert deaths[deaths > 0].to_dict() == counted.to_dict()
    not_fitted = known[known["disposition"] == "not_fitted"].groupby(place)["records"].sum()
    too_few = fits[fits["status"] == "not_fitted"].set_index(place)["deaths"]
    assert not_fitted.to_dict() == too_few[too_few > 0].to_dict()
    assert too_few.max() < minimum_deaths or too_few.empty


@given(st.lists(st.sampled_from(CAUSES), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_used_deaths_are_those_with_a_known_cause(causes: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["ID", "cause"], *([n, cause] for n, cause in enumerate(causes))])
        known = sum(cause.strip() in ("ipre", "Pneumonia", "malaria", "Neonatal sepsis") for cause in causes)
        try:
            found = tabulated_request(of_file(path, unmapped_causes="exclude"))
        except InputError as error:
            assert known == 0
            assert "no record of the input can be calibrated" in error.problems[0]
        else:
            assert accounted(found)[("used", "")] == known == sum(found.counts["deaths"].to_pylist())
