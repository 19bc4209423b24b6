"""Roll-ups: sums over strata by posterior draw, with the weights, shares and flags that belong to them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.made_run import ALGORITHMS, CAUSES, CONSTANTS, places, tables

from tasks.errors import InputError
from tasks.results.schema import ALL, split_flags
from tasks.rollups import sums as rollup_sums
from tasks.rollups.combine import _complete, combine
from tasks.rollups.plan import Plan, plan
from tasks.rollups.sums import partial_sums

PROVINCES, YEARS = ("Gaza", "Nampula", "Sofala", "Tete"), ("2022", "2023")
PLACES = places(PROVINCES, YEARS)
COLUMNS = ("province", "year")
LEVELS: list[list[str]] = [["province"], ["year"], []]
MADE = tables(PLACES)
DEATHS = {place["stratum"]: 10 + 7 * number for number, place in enumerate(PLACES)}


def strata_of(chosen: list[dict[str, str]], deaths: dict[str, float] = DEATHS) -> pa.Table:
    """The table of strata as the tabulation gives it."""
    return pa.Table.from_pylist([{**place, "deaths": deaths[place["stratum"]]} for place in chosen])


def only(table: pa.Table, keys: list[str]) -> pa.Table:
    return table.filter(pc.is_in(table["stratum"], pa.array(keys, pa.string())))


def changed(table: pa.Table, key: str, algorithm: str, **values: Any) -> pa.Table:
    """The table with other values in the rows of one fit."""
    rows = table.to_pylist()
    for row in rows:
        if row["stratum"] == key and algorithm in (row["algorithm"], "every"):
            row.update(values)
    return pa.Table.from_pylist(rows, table.schema)


def rolled(
    made: dict[str, pa.Table] = MADE,
    the_plan: Plan | None = None,
    dealt: list[list[str]] | None = None,
    **options: Any,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of csmf and of rollups, computed in the chunks `dealt`."""
    the_plan = the_plan or plan(strata_of(PLACES), COLUMNS, LEVELS)
    dealt = dealt or [[place["stratum"] for place in PLACES]]
    parts = [
        partial_sums(the_plan.only(keys), *(only(made[name], keys) for name in ("strata", "csmf", "draws")))
        for keys in dealt
    ]
    options = {"quantiles": (0.025, 0.975), "constants": CONSTANTS, **options}
    csmf, rollups = combine(the_plan, parts, algorithms=ALGORITHMS, strata_columns=COLUMNS, **options)
    return csmf.to_pylist(), rollups.to_pylist()


def draws_of(key: str, algorithm: str) -> np.ndarray[Any, Any]:
    rows = [r for r in only(MADE["draws"], [key]).to_pylist() if r["algorithm"] == algorithm]
    return np.array([row["values"] for row in rows])


def pick(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (row,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return row


# --- the numbers ---


@pytest.mark.parametrize("level", ["nation", "province", "year"])
def test_a_roll_up_is_the_weighted_sum_of_its_strata_by_posterior_draw(level: str) -> None:
    csmf, _ = rolled()
    members = [p for p in PLACES if level == "nation" or p[level] == PLACES[1][level]]
    weights = np.array([DEATHS[p["stratum"]] for p in members], dtype=float)
    draws = np.tensordot(weights / weights.sum(), [draws_of(p["stratum"], "eava") for p in members], axes=1)
    rows = [r for r in csmf if r["level"] == level and r["algorithm"] == "eava"]
    rows = [r for r in rows if level == "nation" or r[level] == PLACES[1][level]]
    assert [row["cause"] for row in rows] == list(CAUSES)
    np.testing.assert_allclose([row["mean"] for row in rows], draws.mean(axis=1), rtol=1e-12)
    calibrated = rows[:2]
    np.testing.assert_allclose([r["sd"] for r in calibrated], draws[:2].std(axis=1, ddof=1), rtol=1e-11)
    bounds = np.quantile(draws[:2], [0.025, 0.975], axis=1)
    np.testing.assert_allclose(
        [[r["q025"] for r in calibrated], [r["q975"] for r in calibrated]], bounds, rtol=1e-12
    )
    assert rows[0]["weight"] == weights.sum()
    assert rows[0]["estimated_deaths"] == pytest.approx(draws[0].mean() * weights.sum())
    assert rows[0]["estimated_deaths_q975"] == pytest.approx(bounds[1, 0] * weights.sum())


def test_a_roll_up_of_one_stratum_is_that_stratum() -> None:
    one = places(["Gaza"])
    made = tables(one)
    csmf, _ = rolled(made, plan(strata_of(one), COLUMNS, [[]]), [[one[0]["stratum"]]])
    for row, own in zip(csmf, made["csmf"].to_pylist(), strict=True):
        for name in ("raw", "mean", "sd", "q025", "q975"):
            assert row[name] == (own[name] if own[name] is None else pytest.approx(own[name], rel=1e-13))
        assert row["deaths"] == own["deaths"] and row["status"] == own["status"]


def test_fractions_of_a_roll_up_sum_to_one() -> None:
    csmf, _ = rolled()
    for level in ("nation", "province/year"):
        for algorithm in ALGORITHMS:
            rows = [r for r in csmf if r["level"] == level and r["algorithm"] == algorithm]
            assert not rows or sum(row["mean"] for row in rows) == pytest.approx(1)


@settings(max_examples=30, deadline=None)
@given(st.permutations(PLACES), st.lists(st.integers(0, len(PLACES)), max_size=4), st.integers(0, 2**31))
@pytest.mark.slow
def test_no_byte_depends_on_how_strata_are_dealt_into_chunks(
    order: list[dict[str, str]], cuts: list[int], seed: int
) -> None:
    keys = [place["stratum"] for place in order]
    edges = [0, *sorted(cuts), len(keys)]
    chunks = [keys[a:b] for a, b in pairwise(edges) if a < b]
    np.random.default_rng(seed).shuffle(chunks)
    assert rolled(dealt=chunks) == rolled()


def test_the_sum_of_ten_thousand_strata_is_exact_to_many_digits() -> None:
    random = np.random.default_rng(1)
    shares, draws = random.dirichlet(np.ones(10_000)), random.random(10_000)
    exact = float(np.sum(np.longdouble(shares) * np.longdouble(draws)))
    whole = sum(
        int(rollup_sums._whole(np.array([s * rollup_sums.UNIT * d]))[0])
        for s, d in zip(shares, draws, strict=True)
    )
    assert abs(whole / rollup_sums.UNIT - exact) < 1e-14


def test_a_roll_up_is_finished_with_the_chunk_that_completes_it() -> None:
    the_plan = plan(strata_of(PLACES), COLUMNS, [["province"]])
    expected = {(g["level"], g["group"]): g["strata"] for g in the_plan.groups.to_pylist()}
    delivered: list[str] = []

    def parts() -> Iterator[dict[str, pa.Table]]:
        for province in PROVINCES:
            keys = [place["stratum"] for place in PLACES if place["province"] == province]
            delivered.append(province)
            yield partial_sums(
                the_plan.only(keys), *(only(MADE[n], keys) for n in ("strata", "csmf", "draws"))
            )

    for key, _ in _complete(parts(), expected):
        assert key[1].endswith(delivered[-1])  # so it need not wait in memory for the others


# --- weights ---


def weights_of(deaths: dict[str, float]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"province": p["province"], "year": p["year"], "deaths": deaths[p["stratum"]]} for p in PLACES]
    )


def test_weights_of_the_user_replace_the_deaths_received() -> None:
    heavy = {key: 1.5 if "Gaza" in key else 0.0 for key in DEATHS}
    csmf, _ = rolled(the_plan=plan(strata_of(PLACES), COLUMNS, [[]], weights_of(heavy)))
    gaza = [draws_of(p["stratum"], "eava").mean(axis=1) for p in PLACES if p["province"] == "Gaza"]
    row = pick(csmf, algorithm="eava", cause="malaria")
    assert row["mean"] == pytest.approx(np.mean(gaza, axis=0)[0])
    assert row["weight"] == 3.0


def test_weights_for_places_without_data_count_as_left_out() -> None:
    extra = pa.concat_tables(
        [
            weights_of(dict.fromkeys(DEATHS, 10.0)),
            pa.table({"province": ["Manica"], "year": ["2023"], "deaths": [20.0]}),
        ]
    )
    _, rollups = rolled(the_plan=plan(strata_of(PLACES), COLUMNS, [["province"], []], extra))
    nation = pick(rollups, level="nation", algorithm="eava")
    assert (nation["weight"], nation["weight_fitted"]) == (100.0, 80.0)
    assert nation["share_left_out"] == 0.2
    assert "rollup_incomplete" in split_flags(nation["flags"])
    assert pick(rollups, level="province", province="Gaza", algorithm="eava")["share_left_out"] == 0


def test_weights_that_do_not_fit_are_refused_all_at_once() -> None:
    wrong = pa.table(
        {
            "province": ["Gaza", "Gaza", "Tete"],
            "year": ["2022", "2022", "2022"],
            "deaths": [1.0, 2.0, -1.0],
        }
    )
    with pytest.raises(InputError) as caught:
        plan(strata_of(PLACES), COLUMNS, [[]], wrong)
    text = "\n".join(caught.value.problems)
    assert "row 2: the stratum is there twice" in text
    assert "row 3: deaths must be a number of at least 0" in text
    assert "no deaths for the stratum age_group=child/country=Mozambique/province=Gaza/year=2023" in text
    assert len(caught.value.problems) == 2 + 6


def test_weights_without_a_column_that_tells_strata_apart_are_refused() -> None:
    with pytest.raises(InputError, match="there is no column year"):
        plan(strata_of(PLACES), COLUMNS, [[]], weights_of(DEATHS).drop_columns(["year"]))
    both = [
        *PLACES,
        {**PLACES[0], "age_group": "neonate", "stratum": "age_group=neonate/country=Mozambique/x/y"},
    ]
    with pytest.raises(InputError, match="there is no column age_group"):
        plan(
            strata_of(both, dict.fromkeys([p["stratum"] for p in both], 1)), COLUMNS, [[]], weights_of(DEATHS)
        )


# --- groups ---


def test_a_roll_up_stays_within_one_age_group_and_country() -> None:
    other = [
        {**p, "age_group": "neonate", "stratum": p["stratum"].replace("child", "neonate")} for p in PLACES
    ]
    abroad = [{**p, "country": "Mali", "stratum": p["stratum"].replace("Mozambique", "Mali")} for p in PLACES]
    chosen = [*PLACES, *other, *abroad]
    groups = plan(strata_of(chosen, dict.fromkeys([p["stratum"] for p in chosen], 1)), COLUMNS, [[]]).groups
    assert groups["group"].to_pylist() == [
        "age_group=child/country=Mali",
        "age_group=child/country=Mozambique",
        "age_group=neonate/country=Mozambique",
    ]
    assert groups["strata"].to_pylist() == [8, 8, 8]


def test_rows_name_their_level_and_say_all_where_they_sum() -> None:
    csmf, rollups = rolled()
    assert list(dict.fromkeys(row["level"] for row in csmf)) == ["province", "year", "nation"]
    row = pick(rollups, level="year", year="2023", algorithm="eava")
    assert row["stratum"] == "age_group=child/country=Mozambique/year=2023"
    assert row["province"] == ALL
    assert row["strata"] == row["strata_fitted"] == 4
    levels = plan(strata_of(PLACES), COLUMNS, [["year", "province"]]).groups["level"].to_pylist()
    assert set(levels) == {"province/year"}


@pytest.mark.parametrize("same", [["country"], ["age_group"], ["country", "age_group"], []])
def test_levels_that_differ_only_in_age_group_and_country_are_one_level(same: list[str]) -> None:
    the_plan = plan(strata_of(PLACES), COLUMNS, [same, [], ["province", *same], ["province"]])
    once = plan(strata_of(PLACES), COLUMNS, [[], ["province"]])
    assert the_plan.members.equals(once.members) and the_plan.groups.equals(once.groups)
    assert rolled(the_plan=the_plan) == rolled(the_plan=once)


def test_rejected_records_of_no_known_country_are_in_no_roll_up() -> None:
    unknown = {**PLACES[0], "country": "(unknown)", "stratum": "age_group=child/country=(unknown)/a/b"}
    groups = plan(strata_of([*PLACES, unknown], {**DEATHS, unknown["stratum"]: 5}), COLUMNS, [[]]).groups
    assert groups["weight"].to_pylist() == [sum(DEATHS.values())]


# --- what was not fitted, and flags ---


def test_strata_without_a_result_are_left_out_and_their_share_is_told() -> None:
    key = PLACES[0]["stratum"]
    made = {
        **MADE,
        "strata": changed(MADE["strata"], key, "every", status="not_fitted", reason="too_few_deaths"),
    }
    csmf, rollups = rolled(made)
    share = DEATHS[key] / sum(DEATHS.values())
    row = pick(csmf, level="nation", algorithm="eava", cause="malaria")
    assert row["share_left_out"] == pytest.approx(share, abs=1e-11)
    assert row["weight"] == sum(DEATHS.values()) - DEATHS[key]
    assert "rollup_incomplete" in split_flags(row["flags"])
    assert pick(rollups, level="nation", algorithm="eava")["strata_fitted"] == 7


def test_a_roll_up_without_any_result_has_no_fractions_but_a_row_that_says_so() -> None:
    strata = MADE["strata"]
    for place in PLACES:
        strata = changed(strata, place["stratum"], "every", status="failed", reason="no progress")
    empty = {name: MADE[name].slice(0, 0) for name in ("csmf", "draws")}
    csmf, rollups = rolled({"strata": strata, **empty})
    assert csmf == []
    row = pick(rollups, level="nation", algorithm="ensemble")
    assert (row["strata_fitted"], row["share_left_out"], row["share_unreliable"]) == (0, 1.0, None)


@pytest.mark.parametrize("flag", ["path_correction_stalled", "interval_unreliable", "not_calibrated"])
@pytest.mark.parametrize("limit", [0.01, 0.99])
def test_a_roll_up_is_unreliable_if_more_than_the_limit_of_its_weight_is(flag: str, limit: float) -> None:
    key = PLACES[-1]["stratum"]
    made = {**MADE, "strata": changed(MADE["strata"], key, "eava", flags=flag)}
    csmf, rollups = rolled(made, unreliable_share=limit)
    share = DEATHS[key] / sum(DEATHS.values())
    row = pick(rollups, level="nation", algorithm="eava")
    assert row["share_unreliable"] == row[f"share_{flag}"] == pytest.approx(share)
    unreliable = "interval_unreliable" in split_flags(row["flags"])
    assert unreliable == (share > limit)
    estimate = pick(csmf, level="nation", algorithm="eava", cause="malaria")
    assert ("interval_unreliable" in split_flags(estimate["flags"])) == unreliable
    assert pick(rollups, level="nation", algorithm="insilicova")["share_unreliable"] == 0


@pytest.mark.parametrize(("flag", "if_part"), [("not_calibrated", False), ("not_converged", True)])
def test_flags_of_strata_pass_to_a_roll_up_only_where_their_words_hold(flag: str, if_part: bool) -> None:
    part = changed(MADE["strata"], PLACES[-1]["stratum"], "every", flags=flag)
    every = part
    for place in PLACES:
        every = changed(every, place["stratum"], "every", flags=flag)
    for strata, expected in ((part, if_part), (every, True)):
        _, rollups = rolled({**MADE, "strata": strata})
        assert (flag in split_flags(pick(rollups, level="nation", algorithm="eava")["flags"])) == expected


def test_two_reasons_in_one_stratum_count_once() -> None:
    flags = "path_correction_stalled;interval_unreliable"
    key = PLACES[-1]["stratum"]
    _, rollups = rolled({**MADE, "strata": changed(MADE["strata"], key, "eava", flags=flags)})
    row = pick(rollups, level="nation", algorithm="eava")
    assert row["share_unreliable"] == row["share_path_correction_stalled"] == row["share_interval_unreliable"]


def test_a_cause_is_passed_through_only_if_it_is_so_in_all_strata() -> None:
    csmf, _ = rolled()
    everywhere = pick(csmf, level="nation", algorithm="eava", cause="other")
    assert everywhere["status"] == "passed_through" and everywhere["share_passed_through"] == 1
    assert (
        everywhere["sd"] is None
        and everywhere["q025"] is None
        and everywhere["estimated_deaths_q025"] is None
    )
    rows = MADE["csmf"].to_pylist()
    for row in rows:
        if row["stratum"] == PLACES[0]["stratum"] and row["cause"] == "other":
            row["status"] = "calibrated"
    csmf, _ = rolled({**MADE, "csmf": pa.Table.from_pylist(rows, MADE["csmf"].schema)})
    partly = pick(csmf, level="nation", algorithm="eava", cause="other")
    assert partly["status"] == "calibrated" and partly["sd"] is not None
    assert partly["share_passed_through"] == pytest.approx(
        1 - DEATHS[PLACES[0]["stratum"]] / sum(DEATHS.values())
    )


def test_sums_of_separate_fits_carry_the_warning_that_they_are_too_narrow() -> None:
    for table in rolled():
        assert all("rollup_interval_too_narrow" in split_flags(row["flags"]) for row in table)
        assert all("too narrow" in row["caveat"] for row in table)
    for table in rolled(constants={**CONSTANTS, "matrix_sharing": "joint"}):
        assert not any("rollup_interval_too_narrow" in row["flags"] for row in table)


def test_algorithms_that_disagree_on_a_cause_of_the_roll_up_are_flagged() -> None:
    apart = {"eava": 0.1, "insilicova": 0.8, "ensemble": 0.5}
    rows = MADE["draws"].to_pylist()
    for row in rows:
        level = apart[row["algorithm"]]
        base = np.asarray(row["values"]) * 0.01
        row["values"] = base + (level if row["cause"] == "malaria" else 0.0)
    csmf, rollups = rolled({**MADE, "draws": pa.Table.from_pylist(rows, MADE["draws"].schema)})
    for row in csmf:
        flagged = "algorithms_disagree" in split_flags(row["flags"])
        assert flagged or row["cause"] != "malaria"
    assert all("algorithms_disagree" in split_flags(row["flags"]) for row in rollups)
    agreeing = {**MADE, "draws": MADE["draws"]}
    one = [row for row in MADE["draws"].to_pylist() if row["algorithm"] == "eava"]
    same = [{**row, "algorithm": name} for name in ALGORITHMS for row in one]
    agreeing["draws"] = pa.Table.from_pylist(same, MADE["draws"].schema)
    assert not any("algorithms_disagree" in row["flags"] for row in rolled(agreeing)[0])


# --- defects of the caller ---


def test_draws_that_are_missing_are_an_error_and_not_a_smaller_sum() -> None:
    with pytest.raises(ValueError, match="there are not draws of every cause"):
        rolled({**MADE, "draws": MADE["draws"].slice(1)})


def test_a_draw_that_is_no_number_is_an_error() -> None:
    rows = MADE["draws"].to_pylist()
    rows[0]["values"][3] = float("nan")
    with pytest.raises(ValueError, match="a draw is not a number"):
        rolled({**MADE, "draws": pa.Table.from_pylist(rows, MADE["draws"].schema)})


def parts_of(the_plan: Plan, *dealt: list[str]) -> list[dict[str, pa.Table]]:
    return [
        partial_sums(the_plan.only(keys), *(only(MADE[name], keys) for name in ("strata", "csmf", "draws")))
        for keys in dealt
    ]


KEYS = [place["stratum"] for place in PLACES]


@pytest.mark.parametrize(
    ("dealt", "seen"),
    [([KEYS, KEYS[:1]], "1 of 8"), ([KEYS[:3], KEYS[:6]], "9 of 8"), ([KEYS[:3]], "3 of 8")],
    ids=["twice, after the end", "twice, across the end", "missing"],
)
def test_strata_that_come_twice_or_never_are_an_error_and_not_a_wrong_sum(
    dealt: list[list[str]], seen: str
) -> None:
    the_plan = plan(strata_of(PLACES), COLUMNS, [[]])
    with pytest.raises(ValueError, match=f"nation age_group=child/country=Mozambique, .*{seen} strata"):
        combine(
            the_plan,
            parts_of(the_plan, *dealt),
            algorithms=ALGORITHMS,
            strata_columns=COLUMNS,
            quantiles=(),
            constants=CONSTANTS,
        )
