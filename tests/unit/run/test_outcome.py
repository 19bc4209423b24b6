"""What became of a run as a whole: which states it may end in, and what is said of it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from tasks.results import SHORTFALLS, open_results
from tasks.run.outcome import Outcome, outcome, sentences, shortfalls, stored_outcome

LIMITS = {"unfitted_share": 0.05, "left_out_share": 0.4}
TOO_FEW = '[{"rule": "no_result", "because": "too_few_deaths"}]'
REFUSED = '[{"rule": "deaths", "limit": 25, "value": 12}]'


def fit(stratum: str, algorithm: str = "eava", **changes: Any) -> dict[str, Any]:
    good = {"status": "calibrated", "reason": None, "verdict": "with_caution", "verdict_codes": "[]"}
    return {"stratum": stratum, "algorithm": algorithm, **good, **changes}


def below(stratum: str, algorithm: str = "eava") -> dict[str, Any]:
    why = {"status": "not_fitted", "reason": "too_few_deaths", "verdict": "do_not_publish"}
    return fit(stratum, algorithm, **why, verdict_codes=TOO_FEW)


def failing(stratum: str) -> dict[str, Any]:
    codes = '[{"rule": "no_result", "because": "r_process_lost"}]'
    return fit(
        stratum, status="failed", reason="r_process_lost", verdict="do_not_publish", verdict_codes=codes
    )


def refused(stratum: str, algorithm: str = "eava") -> dict[str, Any]:
    return fit(stratum, algorithm, verdict="do_not_publish", verdict_codes=REFUSED)


def total(key: str, verdict: str = "publishable", algorithm: str = "eava", fitted: int = 1) -> dict[str, Any]:
    codes = "[]" if verdict != "do_not_publish" else REFUSED if fitted else TOO_FEW
    row = {"level": "nation", "stratum": key, "algorithm": algorithm, "strata_fitted": fitted}
    return {**row, "verdict": verdict, "verdict_codes": codes}


def records(algorithm: str, used: int, **others: int) -> list[dict[str, Any]]:
    rows = [{"algorithm": algorithm, "disposition": "used", "reason": None, "records": used}]
    for reason, number in others.items():
        kind = "excluded" if reason in ("undetermined_cause", "stillbirth") else "rejected"
        rows.append({"algorithm": algorithm, "disposition": kind, "reason": reason, "records": number})
    return rows


def found(
    strata: list[dict[str, Any]],
    totals: list[dict[str, Any]] | None = None,
    received: list[dict[str, Any]] | None = None,
    algorithms: tuple[str, ...] = ("eava",),
) -> Outcome:
    rows = pa.Table.from_pylist(received or records("eava", 100))
    of_totals = None if totals is None else pa.Table.from_pylist(totals)
    return outcome(pa.Table.from_pylist(strata), rows, of_totals, algorithms)


def states(outcome: Outcome) -> list[str]:
    return [name for name, _ in shortfalls(outcome, **LIMITS)]


class TestWithoutTotals:
    def test_one_stratum_that_may_be_published_is_enough(self) -> None:
        assert states(found([fit("a"), refused("b"), refused("c")])) == []

    def test_none_that_may_be_published_is_nothing_usable(self) -> None:
        seen = found([refused("a"), refused("b")])
        assert states(seen) == ["NothingUsable"]
        assert sentences(seen, minimum_deaths=10) == [
            "none of the 2 strata may be published (deaths: 2)",
        ]

    def test_strata_below_the_minimum_alone_change_no_state_and_are_counted(self) -> None:
        seen = found([fit("a"), *map(below, "bcdefghij")])
        assert states(seen) == []
        assert "9 strata have fewer than 10 deaths" in sentences(seen, minimum_deaths=10)

    def test_nothing_but_strata_below_the_minimum_is_nothing_usable(self) -> None:
        seen = found(list(map(below, "abcdefghij")))
        assert states(seen) == ["NothingUsable"]
        assert sentences(seen, minimum_deaths=10) == [
            "none of the 10 strata may be published (too few deaths: 10)",
            "10 strata have fewer than 10 deaths",
        ]


class TestTheMainResult:
    def test_is_the_ensemble_however_good_the_algorithms_are(self) -> None:
        assert states(found([fit("a"), refused("a", "ensemble")])) == ["NothingUsable"]

    def test_is_the_first_algorithm_of_the_request_where_the_ensemble_has_no_estimate(self) -> None:
        none = {"status": "no_result", "verdict": "do_not_publish", "verdict_codes": TOO_FEW}
        rows = [refused("a", "interva"), fit("a", "eava"), fit("a", "ensemble", **none)]
        assert states(found(rows, algorithms=("eava", "interva"))) == []
        assert states(found(rows, algorithms=("interva", "eava"))) == ["NothingUsable"]

    def test_of_a_total_is_its_ensemble(self) -> None:
        totals = [total("n"), total("n", "do_not_publish", "ensemble")]
        assert states(found([fit("a")], totals)) == ["NothingUsable"]


class TestTotals:
    def test_strata_that_must_not_be_published_do_not_matter_where_all_totals_may(self) -> None:
        assert states(found([refused("a"), refused("b")], [total("n")])) == []

    def test_one_total_that_must_not_be_published_is_named(self) -> None:
        seen = found([fit("a")], [total("n"), total("p=Gaza", "do_not_publish")])
        assert states(seen) == ["TotalsUnusable"]
        assert sentences(seen, minimum_deaths=1) == [
            "1 of 2 totals must not be published (deaths: 1): p=Gaza"
        ]

    def test_a_total_without_a_fitted_stratum_counts_as_declared(self) -> None:
        totals = [total("n"), total("p=Gaza", "do_not_publish", fitted=0)]
        assert states(found([fit("a"), below("b")], totals)) == ["TotalsUnusable"]

    def test_none_that_may_be_published_is_nothing_usable_although_strata_may(self) -> None:
        seen = found([fit("a")], [total("n", "do_not_publish"), total("m", "do_not_publish")])
        assert states(seen) == ["NothingUsable"]


class TestShares:
    def test_few_failures_are_told_and_many_end_the_run_as_incomplete(self) -> None:
        good = [fit(f"s{number}") for number in range(19)]
        assert states(found([*good, failing("x")])) == []
        assert states(found([*good, failing("x"), failing("y")])) == ["CompletedWithFailures"]

    def test_strata_below_the_minimum_do_not_thin_out_the_failures(self) -> None:
        many = [below(f"s{number}") for number in range(100)]
        assert states(found([fit("a"), failing("x"), *many])) == ["CompletedWithFailures"]

    def test_records_left_out_are_told_and_too_many_are_a_state(self) -> None:
        few = found([fit("a")], received=records("eava", 70, undetermined_cause=20, missing_id=10))
        assert states(few) == []
        assert sentences(few, minimum_deaths=1) == ["30% of the records of eava are left out"]
        assert states(found([fit("a")], received=records("eava", 59, missing_id=41))) == ["TooMuchLeftOut"]

    def test_the_algorithm_that_lost_most_decides(self) -> None:
        both = records("eava", 1000) + records("interva", 50, duplicate_id=50)
        assert states(found([fit("a")], received=both, algorithms=("eava", "interva"))) == ["TooMuchLeftOut"]

    def test_records_of_an_unknown_algorithm_count_for_each(self) -> None:
        unknown = records("eava", 50) + records("(unknown)", 0, missing_algorithm=50)
        assert states(found([fit("a")], received=unknown)) == ["TooMuchLeftOut"]

    def test_stillbirths_are_no_records_left_out(self) -> None:
        assert states(found([fit("a")], received=records("eava", 10, stillbirth=90))) == []

    def test_the_gravest_comes_first(self) -> None:
        seen = found([failing("a")], [total("n", "do_not_publish")], records("eava", 1, missing_id=9))
        assert states(seen) == ["NothingUsable", "CompletedWithFailures", "TooMuchLeftOut"]


@given(st.lists(st.sampled_from([fit, refused, below, failing]), min_size=1, max_size=30))
def test_a_run_is_nothing_usable_exactly_if_no_stratum_is(kinds: list[Any]) -> None:
    seen = found([kind(f"s{number}") for number, kind in enumerate(kinds)])
    assert ("NothingUsable" in states(seen)) == (fit not in kinds)
    assert set(states(seen)) <= set(SHORTFALLS)
    assert Outcome(**{**seen.as_json(), "unusable_totals": ()}) == seen


@pytest.mark.parametrize("run", ["stored-joint-a9420348ad05", "stored-per-stratum-1a487341a46d"])
def test_a_run_that_was_stored_without_its_outcome_has_it_from_its_tables(run: str) -> None:
    results = open_results(str(ROOT / "tests" / "support" / "stored" / "runs" / run))
    assert "outcome" not in results.manifest
    seen = stored_outcome(results)
    assert (seen.strata, seen.usable_strata) == (results.manifest["strata"]["calibrated"], 0)
    assert seen.because == {"illustrative": seen.totals or seen.strata}
    assert states(seen) == ["NothingUsable"]
