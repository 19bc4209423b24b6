"""Which results contrasts compare, what is refused, and what a difference of separate fits says of itself."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from support.joint_made import joint_request, write_input

from tasks import run as steps
from tasks.engine.process import Pool
from tasks.errors import InputError
from tasks.request.model import CalibrationRequest
from tasks.results.store import open_results
from tasks.rollups.contrasts import columns_of, compared_pairs
from tasks.rollups.plan import plan
from tasks.run.job import Job


def request(folder: Path, **changes: Any) -> CalibrationRequest:
    return joint_request(folder, **({"matrix_sharing": "per_stratum"} | changes))


def prepared(folder: Path, rows: list[tuple[str, str]], **changes: Any) -> Job:
    """A job with a stratum for each (province, year)."""
    write_input(folder)
    lines = ["province,year,algorithm,cause,deaths"]
    lines += [f"{p},{y},{a},infection,5" for p, y in rows for a in ("first", "second")]
    (folder / "deaths.csv").write_text("\n".join(lines))
    return steps.prepare(request(folder, **changes))


def compared(job: Job) -> list[tuple[str, str, str, str]]:
    return [
        (pair.place["province"], pair.place["year"], pair.reference, pair.compared) for pair in job.contrasts
    ]


def test_values_are_compared_in_their_order_as_numbers_where_they_are_such(tmp_path: Path) -> None:
    job = prepared(tmp_path, [("Gaza", y) for y in ("9", "10", "11", "")], contrasts=[{"between": "year"}])
    assert compared(job) == [
        ("(all)", "(compared)", "9", "10"),
        ("(all)", "(compared)", "9", "11"),
        ("(all)", "(compared)", "10", "11"),
    ]


def test_within_compares_inside_each_of_its_values_only(tmp_path: Path) -> None:
    places = [("Gaza", "2021"), ("Gaza", "2022"), ("Tete", "2021"), ("Tete", "2022"), ("Tete", "2023")]
    asked = {"between": "year", "within": ["province"], "pairs": "successive"}
    assert compared(prepared(tmp_path, places, contrasts=[asked, asked])) == [
        ("Gaza", "(compared)", "2021", "2022"),
        ("Tete", "(compared)", "2021", "2022"),
        ("Tete", "(compared)", "2022", "2023"),
    ]


def test_a_difference_is_joint_only_within_one_joint_fit(tmp_path: Path) -> None:
    places = [(p, y) for p in ("Gaza", "Tete") for y in ("2021", "2022")]
    within = {"between": "year", "within": ["province"]}

    def joint(**changes: Any) -> set[bool]:
        return {pair.joint for pair in prepared(tmp_path, places, **changes).contrasts}

    shared = {"matrix_sharing": "joint"}
    assert joint(contrasts=[within]) == {False}
    assert joint(**shared, contrasts=[within]) == {True}
    assert joint(**shared, joint_groups=["province"], contrasts=[within]) == {True}
    assert joint(**shared, joint_groups=["province"], contrasts=[{"between": "year"}]) == {False}
    assert joint(**shared, joint_groups=["year"], contrasts=[within]) == {False}


def test_nothing_to_compare_is_refused(tmp_path: Path) -> None:
    asked = [{"between": "year", "within": ["province"]}, {"between": "year"}]
    with pytest.raises(InputError) as caught:
        prepared(tmp_path, [("Gaza", "2021"), ("Tete", "2021")], contrasts=asked)
    assert list(caught.value.problems) == [
        f"contrasts[{index}]: year never has two values to compare" for index in (0, 1)
    ]


def test_more_comparisons_than_anybody_reads_are_refused(tmp_path: Path) -> None:
    places = [(f"P{n:03d}", "2021") for n in range(102)]
    with pytest.raises(InputError, match=r"contrasts: 5,151 comparisons are more than 5,000; ask for pairs"):
        prepared(tmp_path, places, contrasts=[{"between": "province"}])
    asked = [{"between": "province", "pairs": "successive"}]
    assert len(prepared(tmp_path, places, contrasts=asked).contrasts) == 101
    with pytest.raises(InputError, match=r"contrasts: 1,000,000 draws of 102 results .* ask for at"):
        prepared(tmp_path, places, contrasts=asked, draws=1_000_000)


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"between": "sex"}, "contrasts[1].between: 'sex' is no strata column"),
        ({"between": "year", "within": ["sex"]}, "contrasts[1].within: 'sex' is no strata column"),
        ({"between": "year", "within": ["year"]}, "contrasts[1]: names a column more than once"),
    ],
)
def test_a_contrast_names_strata_columns_each_once(tmp_path: Path, asked: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem.replace("[", r"\[")):
        request(tmp_path, contrasts=[asked])


@pytest.mark.r
def test_differences_of_separate_fits_say_that_they_are(tmp_path: Path) -> None:
    write_input(tmp_path)
    job = steps.prepare(request(tmp_path, contrasts=[{"between": "year", "within": ["province"]}]))
    log = logging.getLogger("tests")
    with Pool() as pool:
        for chunk in job.chunks:
            steps.calibrate_chunk(chunk, job.work.of(chunk), log=log, progress=None, pool=pool, timeout=None)
    steps.publish(job, [(chunk, None) for chunk in job.chunks], {}, replace=False)
    results = open_results(job.uri)
    rows = results.contrasts
    assert len(rows) == 3 * 3 * 3
    assert rows["flags"].str.contains("difference_not_joint").all()
    assert not rows["flags"].str.contains("rollup_interval_too_narrow").any()
    assert rows["caveat"].str.contains("calibrated separately").all()
    assert (rows["verdict"] != "publishable").all()
    assert rows["verdict_reasons"].str.contains("calibrated separately").all()
    assert "rollups" not in {file["path"].removesuffix(".parquet") for file in results.manifest["files"]}


def test_a_contrast_level_is_rolled_up_like_any_other(tmp_path: Path) -> None:
    job = prepared(tmp_path, [("Gaza", "2021"), ("Gaza", "2022")], contrasts=[{"between": "year"}])
    assert job.work.roll_ups is not None
    assert set(job.work.roll_ups.groups["level"].to_pylist()) == {"year"}
    again = plan(job.tabulation.strata, ("province", "year"), job.request.levels)
    pairs = compared_pairs(again, job.request.contrasts, strata_columns=("province", "year"), fits_by=None)
    assert [pair.groups for pair in pairs] == [tuple(again.groups["group"].to_pylist())]


def test_each_cell_of_the_table_is_looked_up_once() -> None:
    looked_up = []

    class Row(dict[str, int]):
        def get(self, key: str, default: Any = None) -> Any:
            looked_up.append(key)
            return super().get(key, default)

    columns = columns_of([Row(a=n, b=-n) for n in range(50)] + [Row(c=1)])
    assert columns["a"][:2] == [0, 1]
    assert columns["c"] == [None] * 50 + [1]
    assert len(looked_up) == 3 * 51
