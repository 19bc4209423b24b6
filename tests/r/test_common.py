"""Common matrix draws without Prefect, with real R: baselines, tables, checks of totals, bytes."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.common_made import common_request
from support.joint_made import ALGORITHMS, PROVINCES, deaths_of, write_input

from tasks import run as steps
from tasks.engine import Baseline, make_baseline
from tasks.engine.process import Pool
from tasks.errors import InputError, StateError
from tasks.report.page import render_report
from tasks.results import baseline_run, remove_run
from tasks.results.store import Results, open_results
from tasks.run.baselines import with_baselines
from tasks.run.job import Job
from tasks.service.retention import StoredRun, expired_runs
from tasks.terms.words import words
from tasks.view.view import View

START = datetime(2024, 1, 1, tzinfo=UTC)
LOG = logging.getLogger("tests")
CONTRASTS = [{"between": "year"}, {"between": "province", "within": ["year"], "pairs": "successive"}]


@pytest.fixture(scope="module")
def pool() -> Any:
    with Pool() as one:
        yield one


def compute(job: Job, pool: Pool) -> Results:
    for baseline in job.baselines:
        steps.keep_baseline(baseline, job.work, log=LOG, pool=pool, timeout=None)
    for chunk in job.chunks:
        steps.calibrate_chunk(chunk, job.work.of(chunk), log=LOG, progress=None, pool=pool, timeout=None)
    done = [(chunk, None) for chunk in job.chunks]
    checks = steps.check_jobs(job, done)
    for check in checks:
        steps.keep_check(check, job.work, log=LOG, pool=pool, timeout=None)
    steps.publish(job, done, {}, replace=False, checks=[check.id for check in checks])
    return open_results(job.uri)


@pytest.fixture(scope="module")
def computed(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Results]:
    """A published run of the small request with other fields or other counts."""

    def run(changed: Any = None, **fields: Any) -> Results:
        folder = tmp_path_factory.mktemp("common")
        write_input(folder, changed)
        if "roll_up_weights" in fields:
            rows = [f"{p},{y},{n}" for p, y, n in fields["roll_up_weights"]]
            (folder / "weights.csv").write_text("\n".join(["province,year,deaths", *rows]))
            fields["roll_up_weights"] = str(folder / "weights.csv")
        return compute(steps.prepare(common_request(folder, **fields)), pool)

    return run


NOTHING = {("Tete", "2022", "second"): [0, 0, 0]}


@pytest.fixture(scope="module")
def plain(computed: Callable[..., Results]) -> Results:
    """Six strata, one of them without deaths by the second algorithm."""
    return computed(NOTHING, keep_draws=True, contrasts=CONTRASTS)


def draws_of(results: Results, algorithm: str, cause: str) -> pd.DataFrame:
    """Draws x strata, the columns in the order of the table."""
    rows = results.draws.query("algorithm == @algorithm and cause == @cause")
    return rows.pivot(index="draw", columns="stratum", values="value")


def test_results_are_in_the_tables_of_all_runs_and_say_how_they_were_made(plain: Results) -> None:
    for table in (
        "csmf",
        "strata",
        "rollups",
        "draws",
        "contrasts",
        "common_fits",
        "common_strata",
        "checks",
    ):
        assert set(plain.table(table)["matrix_sharing"].to_pylist()) == {"common"}
    request = plain.manifest["request"]
    assert (request["matrix_sharing"], request["centre"]) == ("common", ["province", "year"])
    assert (request["draws"], request["effective_draws"], request["path_correction"]) == (200, None, False)
    assert plain.manifest["status"] == "complete"
    assert plain.strata["lambda"].isna().all()
    drawn = plain.strata[plain.strata["status"] == "calibrated"]
    assert set(drawn["sampler"]) == {"common_draws"}
    assert (drawn["ess_bulk"] <= 200).all()
    sums = plain.csmf[plain.csmf["status"] != "no_result"].groupby(["level", "stratum", "algorithm"])["mean"]
    assert sums.sum().to_numpy() == pytest.approx(1)


def test_the_run_says_that_its_intervals_have_been_tested_little(plain: Results) -> None:
    assert any("simulations of moderate size only" in warning for warning in plain.manifest["warnings"])


def test_each_fit_has_a_baseline_that_says_what_it_is(plain: Results) -> None:
    fits = plain.table("common_fits").to_pandas().set_index("algorithm")
    assert list(fits.index) == [*ALGORITHMS, "ensemble"]
    assert set(fits["stratum"]) == {"age_group=neonate/country=Mozambique"}
    assert set(fits["status"]) == {"drawn"}
    assert set(fits["matrices_from"]) == {"two stages"}
    assert (fits["concentration"] >= 1).all()
    assert fits.loc["first", "common_share"] == 0 < fits.loc["ensemble", "common_share"] < 1
    baseline = plain.table("baseline").to_pandas()
    kinds = baseline.groupby(["algorithm", "kind"]).size()
    assert kinds["first", "matrix"] == 200 * 4
    assert kinds["ensemble", "matrix"] == 200 * 8
    assert kinds["first", "country"] == 200 * 2
    inner = plain.table("common_strata").to_pandas()
    weights = inner.set_index("algorithm")["counts_weight"]
    assert set(weights["first"]) == {1.0}
    assert weights["ensemble"].to_numpy() == pytest.approx(1 / (1 + fits.loc["ensemble", "common_share"]))


def test_a_roll_up_is_the_weighted_sum_of_the_draws_and_a_contrast_their_difference(plain: Results) -> None:
    weights = plain.strata.groupby("stratum")["deaths_received"].first()
    draws = draws_of(plain, "first", "infection")
    totals = {}
    for row in plain.csmf.query(
        "algorithm == 'first' and cause == 'infection' and level == 'year'"
    ).itertuples():
        own = [s for s in draws.columns if s.endswith(f"year={row.year}")]
        totals[row.year] = (draws[own] * weights[own]).sum(axis=1) / weights[own].sum()
        assert row.mean == pytest.approx(totals[row.year].mean(), abs=1e-12)
        assert row.q025 == pytest.approx(np.quantile(totals[row.year], 0.025), abs=1e-12)
    row = plain.contrasts.query(
        "between == 'year' and algorithm == 'first' and cause == 'infection'"
    ).squeeze()
    difference = totals["2022"] - totals["2021"]
    assert row["difference"] == pytest.approx(difference.mean(), abs=1e-12)
    assert row["q975"] == pytest.approx(np.quantile(difference, 0.975), abs=1e-12)


def test_totals_and_differences_carry_no_warning_of_separate_fits_and_are_wide(plain: Results) -> None:
    assert not plain.csmf["flags"].str.contains("rollup_interval_too_narrow").any()
    assert not plain.contrasts["flags"].str.contains("difference_not_joint").any()
    draws = draws_of(plain, "first", "infection")
    random = np.random.default_rng(1)
    shuffled = draws.apply(lambda column: random.permutation(column))
    assert draws.mean(axis=1).std() > 1.3 * shuffled.mean(axis=1).std()


def test_a_stratum_without_deaths_of_an_algorithm_has_no_result_of_it(plain: Results) -> None:
    here = plain.strata.set_index(["province", "year", "algorithm"]).loc[("Tete", "2022")]
    assert here.loc["second", ["status", "reason"]].to_list() == ["no_result", "no_deaths"]
    assert here.loc["ensemble", ["status", "reason"]].to_list() == ["no_result", "fewer_than_two_members"]
    assert here.loc["first", "status"] == "calibrated"
    nation = plain.rollups.query("level == 'nation'").set_index("algorithm")["share_left_out"]
    assert nation["first"] == 0 < nation["ensemble"]


def test_checks_hold_each_total_against_a_direct_fit_of_the_deaths_of_its_fitted_strata(
    plain: Results,
) -> None:
    checks = plain.table("checks").to_pandas()
    totals = plain.csmf[plain.csmf["level"] != "stratum"]
    keys = ["level", "stratum", "algorithm", "cause"]
    assert sorted(checks[keys].itertuples(index=False)) == sorted(totals[keys].itertuples(index=False))
    assert (checks["check_difference"] == checks["sum_of_strata"] - checks["direct_fit"]).all()
    assert checks["check_difference"].abs().max() < 0.03
    other = checks.query("algorithm == 'ensemble' and cause == 'other' and level == 'nation'").squeeze()
    fitted = [(p, y) for p in PROVINCES for y in ("2021", "2022") if (p, y) != ("Tete", "2022")]
    counts = np.array([[deaths_of(place, a) for a in ALGORITHMS] for place in fitted]).sum(axis=(0, 1))
    assert other["direct_fit"] == pytest.approx(counts[2] / counts.sum())
    assert other["sum_of_strata"] == pytest.approx(counts[2] / counts.sum(), abs=1e-8)


def test_the_direct_fit_of_the_nation_is_the_baseline_s_own(plain: Results) -> None:
    baseline = plain.table("baseline").to_pandas()
    own = baseline.query("algorithm == 'first' and kind == 'country'")
    mean = own.groupby("champs_cause")["value"].mean()
    checks = plain.table("checks").to_pandas().query("level == 'nation' and algorithm == 'first'")
    direct = checks.set_index("cause")["direct_fit"]
    assert (mean * (1 - direct["other"])).to_dict() == pytest.approx(
        {cause: direct[cause] for cause in mean.index}, abs=0.012
    )


def test_bytes_do_not_depend_on_how_strata_are_dealt(
    computed: Callable[..., Results], plain: Results
) -> None:
    one_by_one = computed(NOTHING, keep_draws=True, contrasts=CONTRASTS, chunk_strata=1)
    assert one_by_one.manifest["files"] == plain.manifest["files"]


def test_a_baseline_is_read_back_to_the_last_bit(pool: Pool, tmp_path: Path) -> None:
    write_input(tmp_path)
    job = steps.prepare(common_request(tmp_path, chunk_strata=2))
    made = [make_baseline(one.batch, one.fit, log=LOG, pool=pool) for one in job.baselines]
    for one in job.baselines:
        steps.keep_baseline(one, job.work, log=LOG, pool=pool, timeout=None)
    batch = with_baselines(job.chunks[0].batch, job.chunks[0].place, job.work)
    assert batch.common is not None
    for first, second in zip(made, batch.common.baselines, strict=True):
        for field in dataclasses.fields(Baseline):
            before, after = getattr(first, field.name), getattr(second, field.name)
            if isinstance(before, np.ndarray):
                assert np.array_equal(before, after), field.name
            else:
                assert before == after, field.name


def add_year(folder: Path, year: str, like: str = "2021") -> None:
    """Deaths of another year, those of a year that is there."""
    path = folder / "deaths.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, *(x.replace(like, year) for x in lines if f",{like}," in x)]))


FIGURES = ("mean", "sd", "q025", "q975", "calibrated_deaths", "ensemble_deaths")


def test_with_the_baseline_of_a_run_earlier_strata_keep_their_figures_to_the_last_bit(
    pool: Pool, tmp_path: Path
) -> None:
    write_input(tmp_path)
    before = compute(steps.prepare(common_request(tmp_path)), pool)
    add_year(tmp_path, "2023")
    job = steps.prepare(common_request(tmp_path, baseline="common"))
    assert job.request.baseline == before.manifest["run"]
    assert any("33% of the deaths are more than it had" in note for note in job.tabulation.notes)
    after = compute(job, pool)
    anew = compute(steps.prepare(common_request(tmp_path)), pool)
    key = ["stratum", "algorithm", "cause"]

    def figures(results: Results) -> pd.DataFrame:
        rows = results.csmf.query("level == 'stratum' and year != '2023'")
        return rows.set_index(key)[list(FIGURES)].sort_index()

    pd.testing.assert_frame_equal(figures(after), figures(before), check_exact=True)
    assert not figures(anew).equals(figures(before))
    new = after.strata.query("year == '2023'")
    assert set(new["flags"]) == {"centre_provisional"}
    assert not after.strata.query("year != '2023'")["flags"].str.contains("centre_provisional").any()
    assert not anew.strata["flags"].str.contains("centre_provisional").any()
    before_values = before.table("baseline", ["algorithm", "kind", "centre_unit", "draw", "value"])
    assert after.table("baseline", before_values.column_names).equals(before_values)
    nation = [
        r.csmf.query("level == 'nation' and algorithm == 'first'")["mean"].to_list() for r in (before, after)
    ]
    assert nation[0] != nation[1]


def test_a_run_that_is_the_baseline_of_another_is_not_removed(pool: Pool, tmp_path: Path) -> None:
    write_input(tmp_path)
    fields: dict[str, Any] = {"algorithms": ["first"], "bad_records": "reject"}
    first = compute(steps.prepare(common_request(tmp_path, **fields)), pool)
    run = first.manifest["run"]
    add_year(tmp_path, "2023")
    second = compute(steps.prepare(common_request(tmp_path, baseline=run, **fields)), pool)
    with pytest.raises(StateError, match=f"run {run} is the baseline of {second.manifest['run']}"):
        remove_run(first.root, run)
    stored = (first.manifest, second.manifest)
    hours = map(timedelta, (0, 0), (1, 2))
    old = [
        StoredRun(m["run"], "same", START + t, baseline_run(m)) for m, t in zip(stored, hours, strict=True)
    ]
    newest = StoredRun("newest", "same", START + timedelta(days=1), run)
    assert expired_runs(old, timedelta(0), START + timedelta(days=9)) == []
    assert expired_runs([*old, newest], timedelta(0), START + timedelta(days=9)) == [second.manifest["run"]]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"draws": 300}, "baseline: draws is 300, and in the run common-"),
        ({"seed": 9}, "baseline: seed is 9, and in the run common-"),
        ({"centre": ["year"]}, "baseline: centre is \\['year'\\], and in the run common-"),
        ({"baseline": "nobody"}, "baseline: no finished run nobody"),
    ],
)
def test_a_baseline_that_was_made_otherwise_is_refused(
    plain: Results, tmp_path: Path, fields: dict[str, Any], problem: str
) -> None:
    write_input(tmp_path, NOTHING)
    asked = {"baseline": plain.manifest["run"], "output": plain.root, **fields}
    with pytest.raises(InputError, match=problem):
        steps.prepare(common_request(tmp_path, **asked))


def test_strata_below_the_minimum_count_in_the_baseline_but_in_no_total(
    computed: Callable[..., Results],
) -> None:
    few = {("Gaza", "2021", "first"): [6, 3, 1]}
    results = computed(few, algorithms=["first"], bad_records="reject", minimum_deaths=50)
    here = results.strata.query("province == 'Gaza' and year == '2021'").squeeze()
    assert (here["status"], here["reason"]) == ("not_fitted", "too_few_deaths")
    assert results.rollups.query("level == 'nation'")["strata_fitted"].item() == 5
    baseline = results.table("baseline").to_pandas().query("kind == 'country_counts'")
    everything = sum(deaths_of((p, y), "first")[0] for p in PROVINCES for y in ("2021", "2022"))
    expected = everything - deaths_of(("Gaza", "2021"), "first")[0] + 6
    assert baseline.set_index("va_cause")["value"]["infection"] == expected


def test_weights_of_one_s_own_reach_a_stratum_without_deaths(computed: Callable[..., Results]) -> None:
    weights = [(p, y, 100) for p in PROVINCES for y in ("2021", "2022")]
    results = computed(NOTHING, roll_up_weights=weights)
    here = results.strata.query("province == 'Tete' and year == '2022' and algorithm == 'second'").squeeze()
    assert (here["status"], here["flags"]) == ("calibrated", "borrowed_from_other_strata")
    nation = results.rollups.query("level == 'nation' and algorithm == 'second'").squeeze()
    assert nation["share_left_out"] == 0


def test_an_algorithm_that_cannot_be_calibrated_has_no_baseline_and_keeps_its_fractions(
    computed: Callable[..., Results],
) -> None:
    left = {"first": ["other"], "second": ["infection", "prematurity", "other"]}
    results = computed(do_not_calibrate=left)
    fits = results.table("common_fits").to_pandas().set_index("algorithm")
    assert fits.loc["second", ["status", "reason"]].to_list() == ["not_calibrated", "too_few_causes"]
    assert set(results.strata.query("algorithm == 'second'")["status"]) == {"not_calibrated"}
    assert set(results.strata.query("algorithm == 'ensemble'")["unreliable_because"]) == {"second"}
    assert set(results.table("baseline")["algorithm"].to_pylist()) == {"first", "ensemble"}
    assert render_report(View(results, "en"))


def test_countries_have_baselines_of_their_own_and_an_algorithm_without_deaths_there_has_none(
    pool: Pool, tmp_path: Path
) -> None:
    write_input(tmp_path)
    path = tmp_path / "deaths.csv"
    head, *lines = path.read_text().splitlines()
    mali = [line.rpartition(",")[0] + ",0" if ",second," in line else line for line in lines]
    rows = [f"{line},{c}" for c, own in (("Mozambique", lines), ("Mali", mali)) for line in own]
    path.write_text("\n".join([f"{head},country", *rows]))
    results = compute(steps.prepare(common_request(tmp_path, country={"column": "country"})), pool)
    fits = results.table("common_fits").to_pandas().set_index(["country", "algorithm"])["status"]
    assert fits["Mali"].to_dict() == {"first": "drawn", "second": "no_result", "ensemble": "no_result"}
    assert set(fits["Mozambique"]) == {"drawn"}
    own = results.strata[results.strata["country"] == "Mali"]
    assert set(own.loc[own["algorithm"] != "first", "status"]) == {"no_result"}
    checks = results.table("checks").to_pandas()
    assert set(checks.loc[checks["country"] == "Mali", "algorithm"]) == {"first"}
    matrices = results.table("baseline").to_pandas().query("kind == 'matrix' and algorithm == 'first'")
    first = matrices.groupby("country")["value"].first()
    assert first["Mali"] != first["Mozambique"]
    assert render_report(View(results, "en"))


def test_fixed_matrices_have_no_error_to_share(computed: Callable[..., Results], tmp_path: Path) -> None:
    cells = ["type,algorithm,champs_cause,va_cause,value"]
    rates = ((0.8, 0.1, 0.1), (0.15, 0.75, 0.1), (0.2, 0.2, 0.6))
    names = ("infection", "prematurity", "other")
    for algorithm in ALGORITHMS:
        for true, row in zip(names, rates, strict=True):
            cells += [f"fixed,{algorithm},{true},{said},{x}" for said, x in zip(names, row, strict=True)]
    (tmp_path / "fixed.csv").write_text("\n".join(cells))
    results = computed(matrix={"source": str(tmp_path / "fixed.csv"), "type": "fixed"})
    fits = results.table("common_fits").to_pandas()
    assert set(fits["matrices_from"]) == {"fixed"}
    assert fits["rhat"].isna().all()
    assert results.manifest["status"] == "complete"


@pytest.mark.parametrize("language", ["en", "fr", "pt"])
def test_the_report_says_how_it_was_computed(plain: Results, language: Any) -> None:
    page, say = render_report(View(plain, language)), words(language)
    for key in ("report.methods_common", "report.methods_path_off_common", "report.common_fits"):
        assert say(key).replace("'", "&#39;") in page or say(key) in page
    assert say("report.methods_ensemble") not in page
    assert say("report.ensemble_note") not in page


def test_the_manifest_can_be_submitted_again(plain: Results) -> None:
    from tasks.request.model import parse_request

    again = parse_request(json.loads(json.dumps(plain.manifest["request"])))
    assert again.matrix_sharing_used == "common"
    assert again.centre_used == ("province", "year")
