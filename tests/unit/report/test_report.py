"""The report: its numbers are those of the tables, its caveats come first, it needs nothing from outside."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from support import ROOT
from support.build_boundaries import made_up_boundaries
from support.build_results import Case, build
from support.report_page import Page, number, percent

from tasks.boundaries import read_boundaries
from tasks.export.json import json_text
from tasks.report.page import artifact_table, markdown_summary, overall_verdict, render_report
from tasks.report.sections import disagreements
from tasks.results.store import Results
from tasks.storage import read_text
from tasks.terms.words import LANGUAGES, Words, words
from tasks.view.view import View, shown_verdict, trusts_interval

pytestmark = pytest.mark.slow  # whole pages

PROVINCES = ("Nampula", "Tete", "Gaza", "Sofala")
NATION = Case(
    "nation", age_groups=("neonate", "child"),
    columns={"province": PROVINCES, "year": ("2021", "2022", "2023")}, deaths=(120, 500),
    roll_ups=([], ["province"], ["year"]),
)  # fmt: skip
EVERY_FLAG = Case(
    "every-flag",
    columns={"district": tuple("ABCDEFGHI")},
    deaths=(15, 400),
    every_flag=True,
    illustrative=True,
)
CASES = {
    "one": Case(),
    "single-algorithm": Case(algorithms=("eava",)),
    "nation": NATION,
    "every-flag": EVERY_FLAG,
    "failed-in-part": Case("part", columns={"province": PROVINCES}, failures=True, roll_ups=([],)),
    "failed": Case("failed", all_fail=True),
    "joint": Case(
        "joint",
        columns={"province": PROVINCES, "year": ("2021", "2022")},
        roll_ups=([], ["year"]),
        joint=True,
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            made[name] = build(tmp_path_factory.mktemp(name), CASES[name])
        return made[name]

    return get


@pytest.fixture(scope="module")
def pages(runs):
    made = {}

    def get(name, language="en"):
        if (name, language) not in made:
            made[name, language] = render_report(View(runs(name), language))
        return made[name, language]

    return get


@pytest.mark.parametrize(
    ("name", "language"),
    [("one", "en"), ("one", "fr"), ("one", "pt"), ("every-flag", "en"), ("failed", "fr")],
)
def test_every_figure_in_the_tables_is_that_of_the_parquet_table(runs, pages, name, language):
    results, page, say = runs(name), Page(pages(name, language)), words(language)
    compared = 0
    for (stratum, algorithm), own in results.csmf.groupby(["stratum", "algorithm"]):
        found = [
            table
            for table in page.tables
            if table["caption"].endswith(f"· {say.algorithm(algorithm)}") and len(table["head"]) == 8
            and table["caption"].startswith(say.pair(_place(stratum, say), ""))
        ]  # fmt: skip
        assert len(found) == 1
        for row in own.itertuples():
            cells = next(cells for cells in found[0]["rows"] if cells[0] == say.cause(row.cause))
            assert cells[1] == "\N{EM DASH}" if algorithm == "ensemble" else number(cells[1]) == row.deaths
            assert percent(cells[2]) == pytest.approx(row.raw, abs=0.0005 + 1e-9)
            if row.status == "no_result":
                assert set(cells[3:7]) == {"\N{EM DASH}"}
                continue
            assert percent(cells[3]) == pytest.approx(row.mean, abs=0.0005 + 1e-9)
            if row.status == "calibrated":
                wider = say("report.wider_than", interval="")
                assert cells[4].startswith(wider) != trusts_interval({"flags": row.flags})
                low, high = map(percent, cells[4].removeprefix(wider).split("\N{EN DASH}"))
                assert (low, high) == pytest.approx((row.q025, row.q975), abs=0.0005 + 1e-9)
            else:
                assert cells[4] == say("report.interval_none")
            assert cells[7] == say(f"verdicts_short.{shown_verdict(row._asdict())}")
            compared += 1
    assert compared or name == "failed"


def _place(stratum: str, say: Words) -> str:
    parts = dict(part.split("=", 1) for part in stratum.split("/"))
    return ", ".join([say.country(parts["country"]), *([parts["district"]] if "district" in parts else [])])


def test_the_overview_holds_the_main_result_of_every_stratum(runs, pages):
    results, page = runs("nation"), Page(pages("nation"))
    strata = results.csmf[(results.csmf["level"] == "stratum") & (results.csmf["algorithm"] == "ensemble")]
    for age_group, own in strata.groupby("age_group"):
        caption = words("en")(f"age_groups.{age_group}") + " · Ensemble"
        rows = [t["rows"] for t in page.tables if t["caption"] == caption]
        shown = {cells[0]: cells for table in rows for cells in table}
        for row in own[own["cause"] == "pneumonia"].itertuples():
            cells = shown[f"{row.province}, {row.year}"]
            head = next(t["head"] for t in page.tables if t["rows"] and cells in t["rows"])
            quoted = cells[head.index("Pneumonia")]
            assert abs(percent(quoted.split(" ")[0]) - row.mean) <= 0.005
            verdict = shown_verdict(row._asdict())
            assert verdict != "publishable"
            assert cells[head.index("Verdict")] == words("en")(f"verdicts_short.{verdict}")


def test_the_totals_are_those_of_the_table(runs, pages):
    results, page, say = runs("nation"), Page(pages("nation")), words("en")
    totals = results.csmf[(results.csmf["level"] != "stratum") & (results.csmf["algorithm"] == "ensemble")]
    shown = {}
    for age_group in ("neonate", "child"):
        table = next(
            t
            for t in page.tables
            if t["caption"] == f"{say(f'age_groups.{age_group}')} · Ensemble" and len(t["rows"]) == 8
        )
        head = table["head"]
        shown |= {
            (age_group, cells[0], cause): cells[place]
            for cells in table["rows"]
            for place, cause in enumerate(head)
        }
    for row in totals.itertuples():
        where = next((v for v in (row.province, row.year) if v != "(all)"), "Mozambique")
        cell = shown[row.age_group, where, say.cause(row.cause)]
        assert percent(cell.rstrip("*")) == pytest.approx(row.mean, abs=0.005 + 1e-9)
        assert number(shown[row.age_group, where, "Deaths"]) == round(row.weight)


def test_the_brief_figures_are_those_of_the_table(runs, pages):
    results, page, say = runs("one"), Page(pages("one")), words("en")
    own = results.csmf[results.csmf["algorithm"] == "ensemble"].set_index("cause")
    label = View(results, say.language).units[0].label
    names = {say.cause(cause): cause for cause in own.index}
    rows = page.table(f"{label} · Ensemble", 4)["rows"]
    assert len(rows) == len(own)
    for cells in rows:
        row = next(own.loc[names[name]] for name in names if cells[0].startswith(name))
        assert percent(cells[1]) == pytest.approx(row["raw"], abs=0.005 + 1e-9)
        assert percent(cells[2]) == pytest.approx(row["mean"], abs=0.005 + 1e-9)
        if row["status"] == "calibrated":
            ends = [percent(end) for end in cells[3].split("\N{EN DASH}")]
            assert ends == pytest.approx([row["q025"], row["q975"]], abs=0.005 + 1e-9)
    largest = own["mean"].sort_values(ascending=False).index[:3]
    answer = next(text for text in page.text if text.startswith("Largest causes of death"))
    assert [answer.index(say.cause(cause)) for cause in largest] == sorted(
        answer.index(say.cause(cause)) for cause in largest
    )


def test_the_diagnostics_are_those_of_the_table(runs, pages):
    results, page, say = runs("one"), Page(pages("one")), words("en")
    fits = results.strata.set_index("algorithm")
    rows = page.table("Diagnostics of each fit")["rows"]
    assert len(rows) == len(fits)
    for cells in rows:
        row = fits.loc[next(a for a in fits.index if say.algorithm(a) == cells[1])]
        if cells[1] != "Ensemble":
            assert number(cells[3]) == row["deaths"]
            assert float(cells[4]) == pytest.approx(row["lambda"], abs=0.005 + 1e-9)
        assert float(cells[5]) == pytest.approx(row["rhat"], abs=0.0005 + 1e-9)
        assert number(cells[6]) == round(min(row["ess_bulk"], row["ess_tail"]))


def test_the_matrices_and_files_are_those_of_the_run(runs, pages):
    results, page = runs("one"), Page(pages("one"))
    files = {cells[0]: cells[2] for cells in page.table("Files of the run")["rows"]}
    assert files == {file["path"]: file["sha256"] for file in results.manifest["files"]}
    used = results.matrices.query("algorithm == 'eava' and kind == 'used' and champs_cause == va_cause")
    values = [f"{100 * value:.0f}" for value in used["value"]]
    assert all(f">{value}</text>" in pages("one") for value in values)


def test_records_left_out_and_caveats_are_those_of_the_tables(runs, pages):
    results, page, say = runs("every-flag"), Page(pages("every-flag")), words("en")
    lost = results.records[results.records["disposition"] != "used"]
    rows = page.table("Why records were not used")["rows"]
    assert sum(number(cells[3]) for cells in rows) == lost["records"].sum()
    flags = results.strata["flags"].str.split(";").explode().value_counts()
    caveats = {cells[0]: cells[1] for cells in page.table("Caveats raised in this run")["rows"]}
    assert caveats == {
        say(f"flag_names.{flag}"): f"{flags[flag]} / {len(results.strata)}" for flag in flags.index if flag
    }


def test_records_in_the_page_are_those_of_the_table(runs, pages):
    results, page = runs("one"), Page(pages("one"))
    table = page.table("What became of the records")
    for cells in table["rows"]:
        algorithm = cells[0].split(",")[0].lower()
        own = results.records[results.records["algorithm"] == algorithm]
        assert number(cells[1]) == own["records"].sum() == sum(map(number, cells[2:]))
        assert number(cells[2]) == own.loc[own["disposition"] == "used", "records"].sum()


def test_verdicts_are_counted_right(runs, pages):
    results, page = runs("every-flag"), Page(pages("every-flag"))
    for cells in page.table("Results by verdict, strata")["rows"]:
        own = results.strata[results.strata["algorithm"] == cells[0].lower()]["verdict"]
        assert [number(c) for c in cells[1:]] == [
            (own == v).sum() for v in ("publishable", "with_caution", "do_not_publish")
        ]


@pytest.mark.parametrize(
    ("name", "language"), [*((name, "en") for name in CASES), ("one", "fr"), ("one", "pt"), ("failed", "fr")]
)
def test_a_page_is_whole_and_needs_nothing_from_outside(pages, name, language):
    html = pages(name, language)
    page = Page(html)
    assert page.unclosed == []
    assert page.language == language
    assert [r for r in page.references if not r.startswith(("#", "data:"))] == []
    assert re.search(r"https?://|@import|url\((?!#)", html) is None
    assert len(page.ids) == len(set(page.ids))
    assert {r[1:] for r in page.references if r.startswith("#")} <= set(page.ids)


@pytest.mark.parametrize("name", list(CASES))
def test_headings_pictures_and_tables_can_be_read_aloud(pages, name):
    page = Page(pages(name))
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert all(text for _, text in page.headings)
    assert page.labels
    assert all(len(label) > 30 for label in page.labels)
    assert all(table["caption"] and table["scopes"] == {"col", "row"} for table in page.tables)


def test_an_interval_that_is_too_narrow_is_never_quoted_as_one_of_95_percent(runs, pages):
    results, page = runs("nation"), Page(pages("nation"))
    total = next(unit for unit in View(results).totals if unit.age_group == "child")
    rows = page.table(f"{total.label} · Ensemble", 4)["rows"]
    assert [cells[3] for cells in rows] == ["no valid interval"] * (len(rows) - 1) + ["\N{EM DASH}"]
    full = page.table(f"{total.label} · Ensemble", 8)["rows"]
    assert [cells[4][:10] for cells in full] == ["wider than"] * (len(rows) - 1) + ["no interva"]
    tables = [t for t in page.tables if t["caption"] == "Children (1\N{EN DASH}59 months) · Ensemble"]
    assert [len(t["rows"]) for t in tables] == [8, 12]  # totals, strata
    starred = [[cells[3].endswith("%*") for cells in table["rows"]] for table in tables]
    assert [set(found) for found in starred] == [{True}, {False}]
    text = " ".join(page.text)
    assert text.count("(* no valid interval)") == 2
    assert "with 95% intervals: " not in text
    assert "Publish the mean, not the interval" in text
    assert words("en")("verdict_meaning.mean_only") in text
    for unit in json.loads(json_text(results))["units"]:
        for cause in unit["results"][-1]["causes"]:
            narrow = unit["level"] != "stratum"
            assert cause["interval_too_narrow"] == narrow
            assert ("(no valid interval)" in cause["quoted"]) == (narrow and cause["q025"] is not None)


def test_an_ensemble_shows_the_deaths_received_and_says_that_its_intervals_are_too_narrow(runs, pages):
    say, page = words("en"), Page(pages("one"))
    received = f"{int(runs('one').strata['deaths_received'].max()):,} deaths received"
    assert any(level == 3 and text.endswith(f"{received}.") for level, text in page.headings)
    fits = page.table("Diagnostics of each fit")["rows"]
    assert {cells[1]: cells[3] for cells in fits}["Ensemble"] == "\N{EM DASH}"
    text = " ".join(page.text)
    assert text.count(say("report.ensemble_note")) == 2  # table in brief, table in full; pictures wrap it
    single = " ".join(Page(pages("single-algorithm")).text)
    assert say("report.ensemble_note") not in single


@pytest.mark.parametrize(
    ("algorithm", "verdict", "told"),
    [
        ("eava", "publishable", "publishable"),
        ("ensemble", "publishable", "publishable_narrow"),
        ("ensemble", "with_caution", "with_caution"),
        ("ensemble", "do_not_publish", "do_not_publish"),
    ],
)
def test_publishable_stands_beside_no_ensemble_without_its_narrow_interval(algorithm, verdict, told):
    row = {"algorithm": algorithm, "verdict": verdict, "flags": "", "status": "calibrated"}
    assert shown_verdict(row) == told
    for language in LANGUAGES:
        assert f"verdicts.{told}" in words(language).messages


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_joint_run_shows_its_fits_and_differences_in_every_language(pages, language):
    say, page = words(language), Page(pages("joint", language))
    fits = page.table(say("report.joint_fits"))["rows"]
    assert [cells[1] for cells in fits] == ["EAVA", "InSilicoVA", "InterVA", say("algorithms.ensemble")]
    assert say("flag_names.divergences") in fits[0][0]
    assert say("reasons.joint_fit_not_published") in fits[3][0]
    assert fits[3][6:] == ["\N{EM DASH}"] * 2
    differences = page.table(f"{say('report.contrasts')} · {say('algorithms.ensemble')}")["rows"]
    assert len(differences) == 5
    assert {cells[6] for cells in differences} == {say("verdicts_short.publishable_narrow")}
    diagnostics = page.table(say("report.fits"))
    assert diagnostics["rows"]
    text = " ".join(page.text)
    assert say("report.fits_totals") in text
    assert say("report.methods_joint") in text


def test_what_each_algorithm_says_stands_beside_a_disagreement(runs):
    results, view = runs("every-flag"), View(runs("every-flag"))
    flagged = results.csmf[results.csmf["flags"].str.contains("algorithms_disagree")]
    unit = next(unit for unit in view.strata if unit.stratum == flagged["stratum"].iloc[0])
    cause = flagged["cause"].iloc[0]
    own = results.csmf[(results.csmf["stratum"] == unit.stratum) & (results.csmf["cause"] == cause)]
    means = own.set_index("algorithm")["mean"]
    found = disagreements(unit)
    assert len(found) == 1
    assert found[0].startswith(f"{words('en').cause(cause)}: ")
    quoted = re.findall(r"([\d.]+)% by ([\w ]+)", found[0])
    assert [name for _, name in quoted] == ["EAVA", "InSilicoVA", "InterVA", "the ensemble"]
    for (share, _), mean in zip(quoted, means[["eava", "insilicova", "interva", "ensemble"]], strict=True):
        assert abs(float(share) - 100 * mean) <= 0.5


def test_the_verdict_and_its_reasons_stand_before_everything_else(runs, pages):
    text = " ".join(Page(pages("one")).text)
    reason = runs("one").strata.set_index("algorithm").loc["ensemble", "verdict_reasons"]
    assert text.index("Publish with caution") < text.index(reason) < text.index("Contents")


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_illustrative_run_says_so_first(tmp_path, language):
    results = build(tmp_path, Case(algorithms=("eava",), illustrative=True))
    text = " ".join(Page(render_report(View(results, language))).text)
    warning = words(language)("report.illustrative")
    assert text.index(warning) < text.index(words(language)("report.in_brief"))


def test_every_flag_that_was_raised_is_explained(runs, pages):
    results = runs("every-flag")
    raised = {flag for text in results.strata["flags"] for flag in text.split(";") if flag}
    assert len(raised) == 9
    explained = {cells[2] for cells in Page(pages("every-flag")).table("Caveats raised in this run")["rows"]}
    assert explained == {words("en")(f"flags.{flag}") for flag in raised}


def test_missing_results_are_listed_with_their_reason(runs, pages):
    results = runs("failed-in-part")
    failed = results.strata[results.strata["status"] == "failed"]
    page = Page(pages("failed-in-part"))
    rows = page.table("Results that are missing")["rows"]
    assert len(rows) == len(failed) > 0
    assert {cells[3] for cells in rows} == set(failed["reason"])
    missing = "1 result is missing" if len(failed) == 1 else f"{len(failed)} results are missing"
    assert missing in " ".join(page.text)


def test_options_and_rules_are_said_in_words_and_as_the_request_spells_them(pages):
    page = Page(pages("one", "fr"))
    rules = dict(page.table("Règles du verdict")["rows"])
    assert rules["Décès\xa0: avec prudence (deaths_caution)"] == "100"
    assert rules["Matrices illustratives (illustrative)"] == "ne pas publier"
    assert rules["Aucun changement (estimate_is_noop)"] == "ne pas en tenir compte"
    assert dict(page.table("Ce qui a été demandé")["rows"])["Pays (country)"] == "Mozambique"


def test_translated_pages_say_that_nobody_reviewed_them(pages):
    assert words("pt")("language.review") in " ".join(Page(pages("one", "pt")).text)


def test_matrices_as_used_are_shown_for_few_strata_and_only_published_ones_for_many(pages):
    assert "As used for this result" in pages("one")
    assert "As used for this result" not in pages("nation")
    assert "λ over the strata: EAVA: median" in pages("nation")
    assert pages("nation").count("misclassification of causes</text>") == 6


def test_only_published_matrices_are_called_published(runs, pages):
    assert "As given" in pages("every-flag")
    assert "As published" not in pages("every-flag")
    assert "CHAMPS study" not in pages("every-flag")
    assert "As published" in pages("one")


def test_trends_and_maps_are_there_where_the_run_has_them(runs, pages):
    assert "Trends in causes of death" in pages("nation")
    assert "Trends in causes of death" not in pages("one")
    with_map = render_report(View(runs("nation")), made_up_boundaries(PROVINCES))
    assert "Causes of death after calibration, by province" in with_map
    assert 'id="maps"' in with_map


def test_labels_of_the_data_cannot_break_the_page(tmp_path):
    case = Case(
        columns={"district": ('"><script>alert(1)</script>', "a & b")}, deaths=(90, 99), algorithms=("eava",)
    )
    html = render_report(View(build(tmp_path, case)))
    assert "<script>alert" not in html
    assert Page(html).unclosed == []


def test_a_large_run_gives_a_page_of_bounded_size(tmp_path):
    columns = {"district": tuple(f"D{i}" for i in range(400)), "sex": ("f", "m")}
    results = build(tmp_path, Case("large", columns=columns, algorithms=("eava",), deaths=(10, 300)))
    html = render_report(View(results))
    page = Page(html)
    assert len(html) < 3_000_000
    assert "The run has 800 strata. Shown are the 300 with the most deaths" in " ".join(page.text)
    assert max(len(table["rows"]) for table in page.tables) <= 300


def test_the_same_run_gives_the_same_page(runs, pages):
    assert render_report(View(runs("one"))) == pages("one")


def test_the_overall_verdict_is_the_worst_of_the_main_results(runs):
    assert overall_verdict(View(runs("one"))) == "with_caution"
    assert overall_verdict(View(runs("nation"))) == "mean_only"
    assert overall_verdict(View(runs("every-flag"))) == "do_not_publish"


def test_the_summary_in_markdown_begins_with_verdict_and_figures(runs):
    results = runs("one")
    text = markdown_summary(View(results))
    row = results.csmf.set_index(["algorithm", "cause"]).loc[("ensemble", "pneumonia")]
    assert "**Publish with caution**" in text
    assert f"| Pneumonia | {100 * row['raw']:.0f}% | {100 * row['mean']:.0f}% |" in text
    assert results.manifest["run"] in text
    assert all(not line.startswith(" ") for line in text.splitlines())


def test_the_summary_of_a_failed_run_says_so(runs):
    text = markdown_summary(View(runs("failed")))
    assert "This run failed" in text
    assert "**Do not publish**" in text


def test_the_artifact_table_has_a_row_for_each_unit_with_its_verdict(runs):
    rows = artifact_table(View(runs("nation")))
    assert len(rows) == 40
    assert rows[0]["Stratum"] == "Mozambique: Neonates (0\N{EN DASH}27 days)"
    assert {row["Verdict"] for row in rows[:8]} == {"Publish the mean, not the interval"}
    assert {row["Verdict"] for row in rows} - {"Publish the mean, not the interval"} == {
        "Publish with caution"
    }
    assert all("interval of this total is too narrow" in row["Reasons"] for row in rows[:8])


def test_markdown_shows_labels_as_they_are(tmp_path):
    results = build(tmp_path, Case(columns={"d": ("a|b*c",)}, algorithms=("eava",)))
    assert "## Mozambique, a\\|b\\*c: Neonates" in markdown_summary(View(results))


def test_templates_hold_no_text_of_their_own():
    template = (ROOT / "tasks" / "report" / "templates" / "report.html.j2").read_text(encoding="utf-8")
    body = re.sub(r"<(script|style)>.*?</\1>", "", template, flags=re.S)
    body = re.sub(r"\{[%{].*?[%}]\}|<[^>]*>", "", body, flags=re.S)
    assert body.split() == []


def test_a_result_without_observed_fractions_has_its_page_and_pictures(tmp_path, monkeypatch):
    case = Case("joint", columns={"year": ("2021", "2022")}, deaths=(90, 300), joint=True)
    results = build(tmp_path, case)
    read, lost = Results.table, results.csmf["stratum"].iloc[0]

    def without_raw(self, name, columns=None, *rest, **options):
        rows = read(self, name, columns, *rest, **options)
        if name != "csmf" or "raw" not in rows.column_names:
            return rows
        place = rows.column_names.index("raw")
        first = pc.equal(pc.cast(rows["stratum"], pa.string()), lost)
        return rows.set_column(place, "raw", pc.if_else(first, None, rows["raw"]))

    monkeypatch.setattr(Results, "table", without_raw)
    view = View(results)
    assert view.units[0].main.rows[0]["raw"] is None
    page = Page(render_report(view))
    assert " ".join(page.text).count("Calibration moved most") == 1  # of the other year
    assert page.table(f"{view.units[0].label} · Ensemble", 4)["rows"][0][1] == "\N{EM DASH}"


def test_boundaries_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "areas.geojson"
    path.write_text(made_up_boundaries(PROVINCES), encoding="utf-8-sig")
    assert read_boundaries(read_text(str(path), "boundaries"), PROVINCES).places.keys() == set(PROVINCES)
