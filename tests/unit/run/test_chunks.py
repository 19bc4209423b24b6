"""How strata are dealt into chunks, and what of the request and the inventory a batch holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.engine.border import Batch
from tasks.errors import InputError
from tasks.ingest.tabulate import Tabulation
from tasks.matrices.model import Inventory, Matrix
from tasks.request.model import CalibrationRequest, parse_request
from tasks.run.chunks import even_ranges, split
from tasks.run.cost import CHUNK_SECONDS, chunk_size, expected_seconds, run_seconds, time_limit
from tasks.terms.causes import MOST_CAUSES

CAUSES = ("infection", "prematurity", "other")
ALPHA = np.array([[16.0, 2, 2], [3, 15, 2], [4, 4, 12]])


def inventory(*matrices: Matrix) -> Inventory:
    entries = matrices or tuple(Matrix(None, a, None, "prior", CAUSES, ALPHA) for a in ("eava", "interva"))
    return Inventory("own-x", "1", "0" * 64, "here", False, False, entries)


def request(**changes: Any) -> CalibrationRequest:
    fields = {
        "name": "dealt",
        "input": {"uri": "deaths.csv", "layout": "counts"},
        "columns": {"strata": ["province"]},
        "age_group": {"column": "age_group"},
        "country": {"column": "country"},
        "algorithms": ["eava", "interva"],
        "matrix": {"source": "own.parquet"},
    }
    return parse_request(fields | changes)


def tabulation(*places: tuple[str, str, str], deaths: int = 5) -> Tabulation:
    """One row for each place (age group, country, province); every algorithm gives `deaths` to each cause."""
    keys = sorted((f"age_group={a}/country={c}/province={p}", a, c, p) for a, c, p in places)
    strata = [
        {"stratum": k, "age_group": a, "country": c, "province": p, "deaths": 3 * deaths}
        for k, a, c, p in keys
    ]
    cells = [(k, name, cause) for k, *_ in keys for name in ("eava", "interva") for cause in CAUSES]
    counts = [{"stratum": k, "algorithm": a, "cause": c, "deaths": deaths} for k, a, c in cells]
    records = [
        {"stratum": k, "algorithm": a, "disposition": "used", "reason": None, "records": 3 * deaths}
        for k, *_ in keys
        for a in ("eava", "interva")
    ]
    empty = pa.table({})
    return Tabulation(
        counts=pa.Table.from_pylist(counts),
        strata=pa.Table.from_pylist(strata),
        records=pa.Table.from_pylist(records),
        causes=empty,
        received=empty,
        checksum="0" * 64,
        sources=[],
    )


PLACES = [("child", "Kenya", "A"), ("child", "Mali", "A"), ("child", "Mali", "B"), ("neonate", "Mali", "A")]


@given(total=st.integers(1, 500), size=st.integers(1, 100))
def test_ranges_cover_everything_once_and_differ_by_one_at_most(total: int, size: int) -> None:
    ranges = list(even_ranges(total, size))
    assert [i for part in ranges for i in range(total)[part]] == list(range(total))
    sizes = [part.stop - part.start for part in ranges]
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1


@given(size=st.integers(1, 9), provinces=st.integers(1, 12))
def test_every_stratum_is_in_one_chunk_in_order_whatever_the_size(size: int, provinces: int) -> None:
    places = [("child", c, f"P{i:02d}") for c in ("Kenya", "Mali") for i in range(provinces)]
    table = tabulation(*places)
    chunks = split(table, inventory(), request(chunk_strata=size))
    assert [key for chunk in chunks for key in chunk.batch.strata] == table.strata["stratum"].to_pylist()
    assert all(len(set(chunk.strata["country"].to_pylist())) == 1 for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    assert sum(chunk.records.num_rows for chunk in chunks) == table.records.num_rows


def test_a_chunk_holds_one_age_group_and_one_country_and_is_named_by_its_strata() -> None:
    chunks = split(tabulation(*PLACES), inventory(), request())
    assert [chunk.name for chunk in chunks] == ["child Kenya A", "child Mali A .. B", "neonate Mali A"]


def test_a_chunk_is_known_by_its_strata_alone() -> None:
    once = split(tabulation(*PLACES), inventory(), request(chunk_strata=1))
    again = split(tabulation(*PLACES[1:], deaths=9), inventory(), request(chunk_strata=1, draws=100))
    assert [chunk.id for chunk in again] == [chunk.id for chunk in once[1:]]
    assert [single.id for single in split(tabulation(*PLACES), inventory(), request())[1].singles()] == [
        chunk.id for chunk in once[1:3]
    ]


def test_strata_of_unknown_place_are_in_no_chunk() -> None:
    places = [*PLACES, ("(unknown)", "Mali", "A"), ("child", "(unknown)", "A")]
    chunks = split(tabulation(*places), inventory(), request())
    assert not any("(unknown)" in key for chunk in chunks for key in chunk.batch.strata)


def test_counts_stand_at_their_stratum_algorithm_and_cause() -> None:
    table = tabulation(*PLACES[:1])
    changed = table.counts.to_pylist()
    changed[4]["deaths"] = 77  # interva, prematurity
    del changed[0]  # eava, infection: absent is 0
    chunk = split(replace(table, counts=pa.Table.from_pylist(changed)), inventory(), request())[0]
    assert chunk.batch.counts.tolist() == [[[0, 5, 5], [5, 77, 5]]]


def test_an_algorithm_with_fewer_deaths_than_the_minimum_is_not_sent_to_r() -> None:
    chunk = split(tabulation(*PLACES[:1]), inventory(), request(minimum_deaths=16))[0]
    assert chunk.too_few.tolist() == [[True, True]]
    assert chunk.batch.counts.sum() == 0
    assert chunk.deaths.sum() == 30


def test_matrices_are_brought_into_one_order_of_causes() -> None:
    turned = [2, 0, 1]
    other = Matrix(
        None, "interva", None, "prior", tuple(CAUSES[i] for i in turned), ALPHA[np.ix_(turned, turned)]
    )
    first = Matrix(None, "eava", None, "prior", CAUSES, ALPHA)
    chunk = split(tabulation(*PLACES[:1]), inventory(first, other), request())[0]
    assert np.array_equal(chunk.batch.matrices[0], chunk.batch.matrices[1])


def test_study_causes_take_the_spelling_of_the_matrices_and_the_order_of_the_map() -> None:
    study = {"Preterm": "PREMATURITY", "Sepsis": " infection", "Tetanus": "infection"}
    table = tabulation(*PLACES[-1:])
    counts = [{**row, "cause": "Sepsis"} for row in table.counts.to_pylist() if row["cause"] == "infection"]
    asked = request(study_cause_map=study, age_group="neonate")
    chunk = split(replace(table, counts=pa.Table.from_pylist(counts)), inventory(), asked)[0]
    assert chunk.batch.causes == ("Preterm", "Sepsis", "Tetanus")
    assert chunk.batch.study_causes == ("prematurity", "infection", "infection")


def test_every_problem_of_the_inventory_is_told_at_once() -> None:
    only = inventory(Matrix("child", "eava", "Kenya", "prior", CAUSES, ALPHA))
    with pytest.raises(InputError) as caught:
        split(tabulation(*PLACES), only, request(algorithms=["eava"]))
    assert len(caught.value.problems) == 2


def test_causes_that_the_matrices_do_not_have_are_named() -> None:
    table = tabulation(*PLACES[:1])
    counts = [{**row, "cause": "malaria"} for row in table.counts.to_pylist()[:1]]
    with pytest.raises(InputError, match="have no 'malaria'"):
        split(replace(table, counts=pa.Table.from_pylist(counts)), inventory(), request())


@pytest.mark.parametrize("sharing", ["per_stratum", "joint"])
def test_matrices_of_more_causes_than_r_takes_are_refused_whatever_they_share(sharing: str) -> None:
    def own(n: int) -> Inventory:
        causes = (*CAUSES, *(f"c{i}" for i in range(n - len(CAUSES))))
        return inventory(*(Matrix(None, a, None, "fixed", causes, np.eye(n)) for a in ("eava", "interva")))

    asked = request(matrix={"source": "own.parquet", "type": "fixed"}, matrix_sharing=sharing)
    assert len(split(tabulation(*PLACES[:1]), own(MOST_CAUSES), asked)[0].batch.causes) == MOST_CAUSES
    with pytest.raises(InputError, match="have 65 causes; at most 64 can be calibrated: merge some"):
        split(tabulation(*PLACES[:1]), own(MOST_CAUSES + 1), asked)


def test_do_not_calibrate_by_algorithm_leaves_out_none_for_the_others() -> None:
    chunk = split(tabulation(*PLACES[:1]), inventory(), request(do_not_calibrate={"eava": ["other"]}))[0]
    assert chunk.batch.do_not_calibrate == (("other",), ())


def test_a_chunk_takes_about_the_time_it_should() -> None:
    places = [("child", "Mali", f"P{i:04d}") for i in range(2000)]
    chunks = split(tabulation(*places), inventory(), request())
    seconds = [expected_seconds(chunk.batch) for chunk in chunks]
    assert 0.7 * CHUNK_SECONDS < min(seconds) <= max(seconds) <= CHUNK_SECONDS


def test_more_draws_algorithms_or_causes_make_smaller_chunks() -> None:
    batch = split(tabulation(*PLACES[:1]), inventory(), request())[0].batch
    assert chunk_size(replace(batch, draws=40_000)) < chunk_size(batch)
    assert chunk_size(replace(batch, ensemble=False)) > chunk_size(batch)
    assert chunk_size(replace(batch, draws=10**6, keep_draws=True)) == 1


def published(cause_count: int, algorithms: int, strata: int = 1) -> Batch:
    """A batch for the published engine, with as many draws as it makes by itself."""
    batch = split(tabulation(*PLACES[:1]), inventory(), request())[0].batch
    names = ("eava", "insilicova", "interva")[:algorithms]
    counts = np.ones((strata, algorithms, cause_count), int)
    ensemble = algorithms > 1
    return replace(
        batch, counts=counts, algorithms=names, ensemble=ensemble, draws=5000, engine="vacalibration"
    )


@pytest.mark.parametrize(("causes", "algorithms", "seconds"), [(6, 1, 4.3), (6, 3, 29.0), (9, 3, 57.0)])
def test_the_published_engine_is_expected_to_take_what_was_measured_of_it(
    causes: int, algorithms: int, seconds: float
) -> None:
    assert expected_seconds(published(causes, algorithms)) == pytest.approx(seconds, rel=0.02)


def test_the_published_engine_gets_small_chunks_and_a_run_of_it_starts_once_in_each_process() -> None:
    assert chunk_size(published(9, 3)) == 1
    assert run_seconds([published(9, 3)] * 4, workers=2) == pytest.approx(40 + 2 * 57, rel=0.02)
    assert run_seconds([published(9, 3)], workers=8) == pytest.approx(40 + 57, rel=0.02)
    assert run_seconds([], workers=2) == 0


def test_a_batch_has_ten_times_its_expected_seconds_and_the_floor_at_least() -> None:
    assert time_limit(published(9, 3, strata=10), 3600) == pytest.approx(10 * (40 + 570), rel=0.02)
    assert time_limit(published(6, 1), 3600) == 3600
