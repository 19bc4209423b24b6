"""The joint model without Prefect, with real R: its tables, its flags, and what is refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support.joint_made import ALGORITHMS, CONTRADICTORY, PROVINCES, joint_request, write_input

from tasks import run as steps
from tasks.engine.border import JOINT_CHAINS, Batch, BatchResult
from tasks.engine.process import Pool
from tasks.errors import InputError
from tasks.report.contrasts import contrasts
from tasks.report.joint import joint_fits
from tasks.report.page import render_report
from tasks.results.schema import split_flags
from tasks.results.store import Results, open_results
from tasks.run import calibrate
from tasks.run.chunks import JOINT_SIZE
from tasks.run.cost import expected_seconds, run_seconds
from tasks.run.job import Job
from tasks.view.view import View

LOG = logging.getLogger("tests")


@pytest.fixture(scope="module")
def pool() -> Any:
    with Pool() as one:
        yield one


@pytest.fixture(scope="module")
def computed(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Results]:
    """A published run of the small request with other fields, other counts, or a budget of evaluations."""

    def run(changed: Any = None, budget: float | None = None, **fields: Any) -> Results:
        folder = tmp_path_factory.mktemp("joint")
        write_input(folder, changed)
        job = steps.prepare(joint_request(folder, **fields))
        return publish(job, pool, budget)

    return run


def publish(job: Job, pool: Pool, budget: float | None = None) -> Results:
    for chunk in job.chunks:
        limited = replace(chunk, batch=replace(chunk.batch, budget=budget))
        steps.calibrate_chunk(limited, job.work.of(chunk), log=LOG, progress=None, pool=pool, timeout=None)
    steps.publish(job, [(chunk, None) for chunk in job.chunks], {}, replace=False)
    return open_results(job.uri)


@pytest.fixture(scope="module")
def plain(computed: Callable[..., Results]) -> Results:
    """Six strata, one of them without deaths by the second algorithm."""
    nothing = {("Tete", "2022", "second"): [0, 0, 0]}
    asked = [
        {"between": "year"},
        {"between": "province", "within": ["year"], "pairs": "successive"},
    ]
    return computed(nothing, keep_draws=True, roll_ups=[[], ["year"]], contrasts=asked)


def draws_of(results: Results, algorithm: str, cause: str) -> pd.DataFrame:
    """Draws x strata, the columns in the order of the table."""
    rows = results.draws.query("algorithm == @algorithm and cause == @cause")
    return rows.pivot(index="draw", columns="stratum", values="value")


def test_results_are_in_the_tables_of_all_runs_and_say_that_they_are_joint(plain: Results) -> None:
    for table in ("csmf", "strata", "rollups", "draws", "joint_fits", "misfit"):
        assert set(plain.table(table)["matrix_sharing"].to_pylist()) == {"joint"}
    assert plain.manifest["request"]["matrix_sharing"] == "joint"
    assert plain.manifest["request"]["path_correction"] is False
    assert plain.manifest["request"]["shrinkage"] is None
    assert plain.manifest["status"] == "complete"
    assert plain.strata["lambda"].isna().all()
    assert plain.strata["shrinkage"].isna().all()
    assert set(plain.strata["sampler"]) == {"joint_nuts"}
    sums = plain.csmf.groupby(["level", "stratum", "algorithm"])["mean"].sum()
    assert sums.to_numpy() == pytest.approx(1)


def test_each_fit_says_how_it_went(plain: Results) -> None:
    fits = plain.table("joint_fits").to_pandas().set_index("algorithm")
    assert list(fits.index) == [*ALGORITHMS, "ensemble"]
    assert set(fits["stratum"]) == {"age_group=neonate/country=Mozambique"}
    assert (fits["strata"] == 6).all()
    assert fits["published"].all()
    assert (fits["rhat_strata"] <= 1.02).all()
    assert (fits["phi_q025"] < fits["phi_q975"]).all()
    assert (fits["divergences"] <= fits["transitions"]).all()
    assert (fits["transitions"] % JOINT_CHAINS == 0).all()
    worst = plain.strata.groupby("algorithm")["ess_bulk"].min()
    assert worst["first"] == pytest.approx(fits.loc["first", "ess_bulk_strata"])


def test_a_roll_up_is_the_weighted_sum_of_the_joint_draws(plain: Results) -> None:
    weights = plain.strata.groupby("stratum")["deaths_received"].first()
    rows = plain.csmf.query("algorithm == 'ensemble' and cause == 'infection' and level != 'stratum'")
    assert len(rows) == 3
    draws = draws_of(plain, "ensemble", "infection")
    for row in rows.itertuples():
        own = [s for s in draws.columns if row.year == "(all)" or s.endswith(f"year={row.year}")]
        total = (draws[own] * weights[own]).sum(axis=1) / weights[own].sum()
        assert row.mean == pytest.approx(total.mean(), abs=1e-12)
        assert row.q025 == pytest.approx(np.quantile(total, 0.025), abs=1e-12)
        assert row.q975 == pytest.approx(np.quantile(total, 0.975), abs=1e-12)


def test_a_total_carries_no_warning_and_is_wider_than_strata_taken_as_independent(plain: Results) -> None:
    rolled = plain.csmf[plain.csmf["level"] != "stratum"]
    assert not rolled["flags"].str.contains("rollup_interval_too_narrow").any()
    draws = draws_of(plain, "first", "infection")
    random = np.random.default_rng(1)
    shuffled = draws.apply(lambda column: random.permutation(column))
    assert draws.mean(axis=1).std() > 1.3 * shuffled.mean(axis=1).std()


def test_a_stratum_without_deaths_borrows_from_the_others_and_says_so(plain: Results) -> None:
    here = plain.strata.set_index(["province", "year", "algorithm"]).loc[("Tete", "2022", "second")]
    assert (here["status"], here["deaths"]) == ("calibrated", 0)
    assert pd.isna(here["reason"])
    assert here["flags"] == "borrowed_from_other_strata"
    assert here["verdict"] == "do_not_publish"
    assert "the other strata suggest" in here["verdict_reasons"]
    rows = plain.csmf.query("province == 'Tete' and year == '2022' and algorithm == 'second'")
    assert rows["raw"].isna().all()
    assert rows["mean"].sum() == pytest.approx(1)
    seen = plain.csmf.query("level == 'stratum' and algorithm == 'second' and cause == 'infection'")
    nation = plain.csmf.query("level == 'nation' and algorithm == 'second' and cause == 'infection'")
    weights = plain.strata.query("algorithm == 'second'").set_index("stratum")["deaths_received"]
    with_deaths = seen[seen["raw"].notna()].set_index("stratum")["raw"]
    expected = np.average(with_deaths, weights=weights[with_deaths.index])
    assert nation["raw"].item() == pytest.approx(expected)


def test_contrasts_are_differences_of_the_joint_draws(plain: Results) -> None:
    rows = plain.contrasts
    flags = {flag for text in rows["flags"] for flag in split_flags(text)}
    assert flags - {"divergences"} == {"borrowed_from_other_strata"}
    assert set(plain.csmf["level"]) == {"stratum", "nation", "year"}
    weights = plain.strata.groupby("stratum")["deaths_received"].first()
    draws = draws_of(plain, "ensemble", "infection")
    years = {y: [s for s in draws.columns if s.endswith(f"year={y}")] for y in ("2021", "2022")}
    first, second = ((draws[own] * weights[own]).sum(axis=1) / weights[own].sum() for own in years.values())
    row = rows.query("between == 'year' and algorithm == 'ensemble' and cause == 'infection'").squeeze()
    assert (row["level"], row["reference"], row["compared"]) == ("year", "2021", "2022")
    assert (row["province"], row["year"]) == ("(all)", "(compared)")
    assert row["stratum"] == "age_group=neonate/country=Mozambique"
    assert row["difference"] == pytest.approx((second - first).mean(), abs=1e-12)
    assert row["reference_mean"] == pytest.approx(first.mean(), abs=1e-12)
    assert row["sd"] == pytest.approx((second - first).std(), abs=1e-12)
    assert row["q025"] == pytest.approx(np.quantile(second - first, 0.025), abs=1e-12)
    assert row["q975"] == pytest.approx(np.quantile(second - first, 0.975), abs=1e-12)
    assert row["probability_higher"] == pytest.approx((second > first).mean())
    provinces = rows.query("between == 'province' and algorithm == 'first' and cause == 'infection'")
    assert sorted(zip(provinces["year"], provinces["reference"], provinces["compared"], strict=True)) == [
        (year, *pair) for year in ("2021", "2022") for pair in (("Gaza", "Sofala"), ("Sofala", "Tete"))
    ]
    assert set(provinces["level"]) == {"province/year"}
    here = provinces.query("year == '2021' and compared == 'Tete'").squeeze()
    prefix = "age_group=neonate/country=Mozambique/province="
    single = draws_of(plain, "first", "infection")
    difference = single[f"{prefix}Tete/year=2021"] - single[f"{prefix}Sofala/year=2021"]
    assert here["difference"] == pytest.approx(difference.mean(), abs=1e-12)
    assert here["q975"] == pytest.approx(np.quantile(difference, 0.975), abs=1e-12)


def test_a_contrast_of_a_cause_that_is_passed_through_has_no_interval(plain: Results) -> None:
    rows = plain.contrasts.query("cause == 'other'")
    assert set(rows["status"]) == {"passed_through"}
    assert rows[["sd", "q025", "q975", "probability_higher"]].isna().all().all()
    assert rows["difference"].notna().all()


def test_the_report_shows_the_surest_contrasts_first(plain: Results) -> None:
    (table,) = contrasts(View(plain, "pt"))
    assert table.rows[0][:3] == ["Moçambique, recém-nascidos", "2021 \N{RIGHTWARDS ARROW} 2022", "infection"]
    surest = plain.contrasts.query("algorithm == 'ensemble'")["probability_higher"]
    sure = [float(row[5].rstrip("%").lstrip("<>")) for row in table.rows]
    assert len(sure) == (surest.notna()).sum()
    distances = [abs(p - 50) for p in sure]
    assert distances == sorted(distances, reverse=True)


def test_the_report_shows_each_joint_fit_and_how_alike_its_strata_are(plain: Results) -> None:
    (table,) = joint_fits(View(plain))
    assert [row[:3] for row in table.rows] == [
        ["Mozambique, neonates", name, "6"] for name in (*ALGORITHMS, "Ensemble")
    ]
    fits = plain.table("joint_fits").to_pandas()
    for row, fit in zip(table.rows, fits.itertuples(), strict=True):
        assert row[3] == f"{fit.rhat_nation:.3f} / {fit.rhat_strata:.3f}"
        assert row[5].startswith(f"{fit.divergences} (")
        assert row[6] == f"{fit.phi_mean:,.0f} ({fit.phi_q025:,.0f}\N{EN DASH}{fit.phi_q975:,.0f})"
        mean, low, high = (
            100 * (0.16 / (1 + phi)) ** 0.5 for phi in (fit.phi_mean, fit.phi_q975, fit.phi_q025)
        )
        assert row[7] == f"\N{PLUS-MINUS SIGN}{mean:.0f} ({low:.0f}\N{EN DASH}{high:.0f})"
    page = render_report(View(plain))
    assert "Joint fits" in page
    assert "not part of the published method" in page


def test_many_divergences_call_for_caution_in_strata_and_totals(
    computed: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = calibrate.calibrate_batch

    def with_divergences(*args: Any, **named: Any) -> BatchResult:
        result = real(*args, **named)
        assert result.joint_fits is not None
        fits = result.joint_fits.to_pandas()
        share = fits["algorithm"].map({"first": 0.011, "second": 0.009, "ensemble": 0.0})
        fits["divergences"] = (share * fits["transitions"]).round().astype(int)
        return replace(result, joint_fits=pa.Table.from_pandas(fits, preserve_index=False))

    monkeypatch.setattr(calibrate, "calibrate_batch", with_divergences)
    results = computed(roll_ups=[[]])
    for table in (results.strata, results.rollups):
        flagged = table[table["flags"].str.contains("divergences")]
        assert set(flagged["algorithm"]) == {"first"}
        assert len(flagged) == sum(table["algorithm"] == "first")
        assert set(flagged["verdict"]) <= {"with_caution", "do_not_publish"}
        assert flagged["verdict_reasons"].str.contains("More than 1% of the sampler's transitions").all()


def test_a_contrast_has_the_reasons_of_both_sides(plain: Results) -> None:
    borrowed = plain.contrasts.query("algorithm == 'second' and year == '2022' and compared == 'Tete'")
    assert set(borrowed["verdict"]) == {"do_not_publish"}
    assert borrowed["verdict_codes"].str.contains("borrowed_from_other_strata").all()


def test_too_few_deaths_are_reported_and_have_no_estimate(computed: Callable[..., Results]) -> None:
    few = {("Gaza", "2021", name): [3, 2, 1] for name in ALGORITHMS} | {("Tete", "2021", "second"): [3, 2, 1]}
    results = computed(few, minimum_deaths=50, keep_draws=True)
    status = results.strata.set_index(["province", "year", "algorithm"])["status"]
    gaza, tete = status.loc["Gaza", "2021"], status.loc["Tete", "2021"]
    assert dict(gaza) == {"first": "not_fitted", "second": "not_fitted", "ensemble": "no_result"}
    assert dict(tete) == {"first": "calibrated", "second": "not_fitted", "ensemble": "calibrated"}
    csmf = results.csmf.set_index(["province", "year", "algorithm"]).loc[("Tete", "2021", "second")]
    assert set(csmf["status"]) == {"no_result"}
    assert list(csmf["deaths"]) == [3, 2, 1]
    assert csmf[["mean", "sd", "q025"]].isna().all().all()
    kept = results.draws.groupby(["province", "year"])["algorithm"].unique()
    assert ("Gaza", "2021") not in kept.index
    assert set(kept["Tete", "2021"]) == {"first", "ensemble"}


def test_algorithms_that_contradict_each_other_are_flagged_with_their_causes(
    computed: Callable[..., Results],
) -> None:
    odd = {key: [220, 130, 60] for key in CONTRADICTORY}
    odd |= {("Tete", "2022", "first"): [380, 20, 10], ("Tete", "2022", "second"): [20, 380, 10]}
    results = computed(odd, budget=100_000, roll_ups=[["province"]])
    misfit = results.table("misfit").to_pandas().query("misfit")
    assert set(misfit["algorithm"]) == {"ensemble"}
    assert set(zip(misfit["province"], misfit["year"], strict=True)) == {("Tete", "2022")}
    told = {row.member: json.loads(row.causes or "[]") for row in misfit.itertuples()}
    flagged = results.strata[results.strata["flags"].str.contains("misfit")]
    assert list(flagged["algorithm"]) == ["ensemble"]
    named = {one["algorithm"]: one.get("causes", []) for one in json.loads(flagged["misfit_of"].item())}
    assert named == told
    assert {"infection", "prematurity"} in map(set, named.values())
    assert "misfit" in flagged["caveat"].item() or "do not fit" in flagged["caveat"].item()
    assert flagged["verdict"].item() != "publishable"
    assert "deaths that do not fit: " in flagged["verdict_reasons"].item()
    rows = results.csmf.query("province == 'Tete' and year == '2022' and algorithm == 'ensemble'")
    assert rows["flags"].str.contains("misfit").all()
    tete = results.csmf.query("level == 'province' and province == 'Tete' and algorithm == 'ensemble'")
    assert tete["flags"].str.contains("misfit").all()
    fits = results.table("joint_fits").to_pandas().set_index("algorithm")
    assert fits.loc["ensemble", "strata_misfit"] == 1


def test_a_run_none_of_whose_joint_fits_is_published_has_the_reason_for_each(
    computed: Callable[..., Results],
) -> None:
    results = computed(CONTRADICTORY, budget=1000, roll_ups=[[]])
    assert not results.table("joint_fits").to_pandas()["published"].any(), "this budget is to be too small"
    assert set(results.strata["reason"]) == {"joint_fit_not_published"}
    assert results.csmf["mean"].isna().all()
    assert results.table("misfit").num_rows == 0


def test_algorithms_that_contradict_each_other_in_a_whole_year_have_one_answer_from_any_start(
    computed: Callable[..., Results],
) -> None:
    nations = []
    for seed in (1, 2):
        results = computed(CONTRADICTORY, roll_ups=[[]], seed=seed, effective_draws=1000)
        strata = results.strata.query("algorithm == 'ensemble' and year == '2022'")
        assert strata["flags"].str.contains("misfit").all()
        assert "publishable" not in set(strata["verdict"])
        nation = results.csmf.query("level == 'nation' and algorithm == 'ensemble' and cause == 'infection'")
        nations.append(nation[["mean", "q025", "q975"]].iloc[0])
    assert np.allclose(nations[0], nations[1], atol=0.01)


def test_a_fit_whose_chains_disagree_is_a_failure_with_its_reason_and_the_others_are_published(
    computed: Callable[..., Results],
) -> None:
    results = computed(CONTRADICTORY, budget=65_000, roll_ups=[[]])
    fits = results.table("joint_fits").to_pandas().set_index("algorithm")
    lost, kept = set(fits.index[~fits["published"]]), set(fits.index[fits["published"]])
    assert lost, "these counts and this budget are to be too hard for at least one fit"
    assert kept, "these counts and this budget are to be easy enough for at least one fit"
    nation = results.rollups.set_index("algorithm")
    for algorithm in lost:
        assert "the chains do not agree" in fits.loc[algorithm, "reason"]
        strata = results.strata[results.strata["algorithm"] == algorithm]
        assert set(strata["status"]) == {"failed"}
        assert set(strata["reason"]) == {"joint_fit_not_published"}
        assert strata["verdict_reasons"].str.contains("chains of the joint fit do not agree").all()
        assert results.csmf.query("algorithm == @algorithm")["mean"].isna().all()
        assert nation.loc[algorithm, "strata_fitted"] == 0
    for algorithm in kept:
        assert nation.loc[algorithm, "strata_fitted"] == 6
    assert results.manifest["status"] == "complete_with_failures"
    assert {f["reason"] for f in results.manifest["failures"]} == {"joint_fit_not_published"}


def test_groups_are_fits_of_their_own_and_totals_over_them_are_too_narrow(
    computed: Callable[..., Results],
) -> None:
    results = computed(
        joint_groups=["year"], roll_ups=[[], ["year"]], algorithms=["first"], bad_records="reject"
    )
    fits = results.table("joint_fits").to_pandas()
    assert list(fits["stratum"]) == [f"age_group=neonate/country=Mozambique/year={y}" for y in (2021, 2022)]
    assert list(fits["year"]) == ["2021", "2022"]
    assert list(fits["strata"]) == [3, 3]
    rolled = results.csmf[results.csmf["level"] != "stratum"]
    narrow = rolled["flags"].str.contains("rollup_interval_too_narrow")
    assert dict(narrow.groupby(rolled["level"]).all()) == {"nation": True, "year": False}
    assert not narrow[rolled["level"] == "year"].any()


def test_groups_have_random_numbers_of_their_own(tmp_path: Path) -> None:
    write_input(tmp_path)
    one = steps.prepare(joint_request(tmp_path, seed=7)).chunks
    groups = steps.prepare(joint_request(tmp_path, seed=7, joint_groups=["province"])).chunks
    assert [chunk.batch.seed for chunk in one] == [7]
    assert len({chunk.batch.seed for chunk in groups}) == 3
    assert [chunk.name for chunk in groups] == [f"neonate Mozambique {p} 2021 .. {p} 2022" for p in PROVINCES]


def test_a_joint_fit_is_one_task_however_strata_are_dealt(tmp_path: Path) -> None:
    write_input(tmp_path)
    chunks = steps.prepare(joint_request(tmp_path, chunk_strata=1)).chunks
    assert [len(chunk.batch.strata) for chunk in chunks] == [6]


def many(folder: Path, strata: int, **fields: Any) -> Job:
    write_input(folder)
    lines = ["province,year,algorithm,cause,deaths"]
    lines += [f"P{i:05d},2021,first,infection,5" for i in range(strata)]
    (folder / "deaths.csv").write_text("\n".join(lines))
    return steps.prepare(joint_request(folder, algorithms=["first"], **fields))


def test_a_fit_that_would_be_too_large_is_refused_with_what_to_do(tmp_path: Path) -> None:
    strata = JOINT_SIZE // 3 + 1
    with pytest.raises(InputError) as caught:
        many(tmp_path, strata)
    (problem,) = caught.value.problems
    assert problem.startswith(
        f"matrix_sharing: a joint fit of neonate Mozambique would hold {strata:,} strata of 3 causes, "
        "and takes at most 20,000 strata x causes; name columns, such as region, in joint_groups"
    )
    with pytest.raises(InputError, match="name further columns in joint_groups"):
        many(tmp_path, strata, joint_groups=["year"])


def test_more_draws_than_memory_can_hold_are_refused_with_how_many_it_can(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"draws: 100,000 draws of 6,000 .* ask for at most 7,456, or name"):
        many(tmp_path, 6000, draws=100_000, roll_ups=[[]])
    assert len(many(tmp_path, 6000, draws=100_000).chunks) == 1


def test_the_expected_time_of_a_joint_fit_is_shared_by_its_threads() -> None:
    counts = np.ones((55, 3, 6), dtype=np.int64)
    batch = Batch(
        strata=tuple(f"s{i}" for i in range(55)), algorithms=("a", "b", "c"), causes=tuple("uvwxyz"),
        counts=counts, broad_causes=tuple("uvwxyz"), matrices=(np.eye(6),) * 3, matrix_type="prior",
        study_causes=None, do_not_calibrate=((),) * 3, matrix_sharing="joint",
    )  # fmt: skip
    assert expected_seconds(batch) > 10 * expected_seconds(replace(batch, matrix_sharing="per_stratum"))
    assert run_seconds([batch], workers=4) == pytest.approx(1 + expected_seconds(batch) / 4)
    assert run_seconds([batch, batch], workers=2) == pytest.approx(1 + expected_seconds(batch))
