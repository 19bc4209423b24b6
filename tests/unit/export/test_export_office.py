"""Workbook, JSON and DHIS2 table: the same numbers as the Parquet tables, caveats with them, no formulas."""

from __future__ import annotations

import csv
import io
import json

import openpyxl
import pandas as pd
import pytest
from support.build_results import Case, build

from tasks.errors import InputError
from tasks.export.dhis2 import HEAD, dhis2_csv, read_mapping
from tasks.export.excel import SHEETS, excel_bytes
from tasks.export.json import json_text
from tasks.results.schema import ALL, TABLE_MEANING
from tasks.terms.text import MISSING
from tasks.terms.words import LANGUAGES, words
from tasks.verdict.words import reasons_in_words
from tasks.view.view import shown_verdict, trusts_interval

PROVINCES = ("Nampula", "Tete")
MAPPING = """
org_unit: {column: province, values: {Nampula: OuNampula01, Tete: OuTete00001}}
period: {column: year}
data_elements:
  neonate:
    pneumonia: {mean: DePneuMean1, q975: DePneuHigh1, estimated_deaths: DePneuDead1}
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    case = Case(
        "nation", columns={"province": PROVINCES, "year": ("2022", "2023"), "sex": ("f", "m")},
        deaths=(120, 500), roll_ups=([], ["province", "year"]),
    )  # fmt: skip
    return build(tmp_path_factory.mktemp("nation"), case)


def workbook(results, language="en"):
    return openpyxl.load_workbook(io.BytesIO(excel_bytes(results, language)))


def test_every_table_is_a_sheet_with_all_its_rows(results):
    book = workbook(results)
    there = [
        name for name in SHEETS if any(f["path"] == f"{name}.parquet" for f in results.manifest["files"])
    ]
    assert {"csmf", "strata", "rollups", "records", "matrices"} <= set(there)
    assert book.sheetnames == ["About", "Results", *there]
    for name in there:
        assert book[name].max_row == len(results.table(name)) + 1


def test_the_cells_are_the_values_of_the_table(results):
    rows = list(workbook(results)["csmf"].values)
    head = rows[0]
    for cells, row in zip(rows[1:], results.csmf.to_dict("records"), strict=True):
        found = dict(zip(head, cells, strict=True))
        assert found["mean"] == pytest.approx(row["mean"], rel=1e-14)
        assert found["cause"] == row["cause"]
        assert (found["q025"] is None) == (row["status"] != "calibrated")
        assert found["verdict"] == row["verdict"]
        assert (found["verdict_reasons"] or "") == (
            "" if pd.isna(row["verdict_reasons"]) else row["verdict_reasons"]
        )


def test_the_first_sheet_says_what_must_be_known_before_a_number_is_used(results):
    shown = [str(value) for row in workbook(results)["About"].values for value in row if value]
    assert results.manifest["run"] in shown
    assert results.manifest["inventory"]["checksum"] in shown
    assert any("interval of this total is too narrow" in text for text in shown)
    assert any(text.startswith("Verdicts: ") for text in shown)


def test_the_first_two_sheets_speak_the_language_asked_for(results):
    book = workbook(results, "fr")
    assert book.sheetnames[:2] == ["À lire", "Résultats"]
    assert book["csmf"]["A1"].value == results.csmf.columns[2]
    about = " ".join(str(value) for row in book["À lire"].values for value in row if value)
    assert words("fr")("language.review") in about
    assert words("fr")("flags.rollup_interval_too_narrow") in about
    assert words("fr")("tables.csmf") in about


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sheet_in_words_holds_every_estimate_and_no_interval_that_is_too_narrow(results, language):
    say = words(language)
    rows = list(workbook(results, language)[say("exports.results")].values)
    place = {name: number for number, name in enumerate(rows[0])}
    low, mean, verdict, why = (place[say(f"columns.{n}")] for n in ("low", "mean", "verdict", "reasons"))
    key = (*(place[n] for n in ("province", "year", "sex")), place[say("columns.algorithm")],
           place[say("columns.cause")])  # fmt: skip
    found = {tuple(row[k] for k in key): row for row in rows[1:]}
    assert len(found) == len(rows) - 1 == len(results.csmf)
    for row in results.csmf.itertuples():
        where = (None if v == ALL else v for v in (row.province, row.year, row.sex))
        cells = found[(*where, say.algorithm(row.algorithm), say.cause(row.cause))]
        assert cells[mean] == pytest.approx(row.mean, rel=1e-14)
        shown = row.status == "calibrated" and trusts_interval({"flags": row.flags})
        assert cells[low] == (pytest.approx(row.q025, rel=1e-14) if shown else None)
        assert cells[verdict] == say(f"verdicts.{shown_verdict(row._asdict())}")
        assert (cells[why] or "") == " ".join(reasons_in_words(row.verdict_codes, say))


def test_the_words_for_tables_are_those_of_the_schema():
    said = words("en").section("tables")
    assert said == {name: TABLE_MEANING[name] for name in said}


def test_texts_never_become_formulas(tmp_path):
    results = build(
        tmp_path,
        Case(columns={"d": ("=1+1", "+A1", "@x", "-2", "http://x")}, algorithms=("eava",), deaths=(90, 99)),
    )
    column = [
        cell
        for row in workbook(results)["csmf"].iter_rows()
        for cell in row
        if cell.value in ("=1+1", "+A1", "@x", "-2", "http://x")
    ]
    assert {cell.value for cell in column} == {"=1+1", "+A1", "@x", "-2", "http://x"}
    assert {cell.data_type for cell in column} == {"s"}
    assert all(cell.hyperlink is None for cell in column)


def test_the_same_run_gives_the_same_workbook(results):
    assert excel_bytes(results) == excel_bytes(results)


def test_json_holds_every_estimate_with_its_verdict(results):
    document = json.loads(json_text(results))
    found = {
        (unit["level"], unit["stratum"], result["algorithm"], cause["cause"]): cause
        for unit in document["units"]
        for result in unit["results"]
        for cause in result["causes"]
    }
    assert len(found) == len(results.csmf)
    for row in results.csmf.itertuples():
        cause = found[row.level, row.stratum, row.algorithm, row.cause]
        assert cause["mean"] == row.mean
        assert cause["verdict"] == row.verdict
        assert all(place in range(len(document["reasons"])) for place in cause["reasons"])
        assert (cause["q025"] is None) == (row.status != "calibrated")


def test_json_of_a_failed_run_is_valid(tmp_path):
    document = json.loads(json_text(build(tmp_path, Case(all_fail=True))))
    assert document["status"] == "failed"
    assert document["units"][0]["main"] is None
    assert document["units"][0]["verdict"] == "do_not_publish"


def test_dhis2_rows_come_from_the_level_that_the_mapping_names(results):
    rows = list(csv.DictReader(io.StringIO(dhis2_csv(results, read_mapping(MAPPING)))))
    chosen = results.csmf.query(
        "level == 'province/year' and algorithm == 'ensemble' and cause == 'pneumonia'"
    )
    assert len(rows) == 2 * len(chosen)  # the interval of a total is too narrow: its end stays at home
    nampula = chosen.query("province == 'Nampula' and year == '2023'").iloc[0]
    own = {r["dataelement"]: r for r in rows if r["orgunit"] == "OuNampula01" and r["period"] == "2023"}
    assert own["DePneuMean1"]["value"] == f"{100 * nampula['mean']:.1f}"
    assert own["DePneuDead1"]["value"] == f"{nampula['estimated_deaths']:.0f}"
    assert own["DePneuMean1"]["comment"].startswith(
        "Publish the mean, not the interval. Strata were calibrated one by one"
    )
    assert tuple(rows[0]) == HEAD


def test_dhis2_leaves_out_what_is_not_to_be_published_unless_asked(tmp_path):
    results = build(tmp_path, Case(illustrative=True))
    fixed = (
        "org_unit: OuNampula01\nperiod: '2023'\ndata_elements: {neonate: {pneumonia: {mean: DePneuMean1}}}\n"
    )
    with pytest.raises(InputError, match=r"nothing to export: .* verdicts publishable, with_caution"):
        dhis2_csv(results, read_mapping(fixed))
    asked = read_mapping(fixed + "verdicts: [do_not_publish]\npercent: false\n")
    lines = dhis2_csv(results, asked).splitlines()
    assert len(lines) == 2
    assert "Illustrative misclassification matrices, not for publication." in lines[1]


def test_a_cause_without_an_interval_gives_no_value_for_its_ends(tmp_path):
    values = "{neonate: {other: {mean: DeOtherMean, q975: DeOtherHigh}}}"
    text = f"org_unit: OuNampula01\nperiod: '2023'\ndata_elements: {values}\n"
    lines = dhis2_csv(build(tmp_path, Case()), read_mapping(text)).splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["DeOtherMean"]


def test_a_level_that_the_run_has_not_is_refused_with_the_way_out(results):
    text = MAPPING.replace("period: {column: year}", "period: '2023'")
    with pytest.raises(InputError, match=r"no results by province alone: add roll_ups: \[\[province\]\]"):
        dhis2_csv(results, read_mapping(text))


def test_a_total_that_the_run_has_not_is_named_as_such(tmp_path):
    text = "org_unit: OuNampula01\nperiod: '2023'\ndata_elements: {neonate: {other: {mean: DeOtherMean}}}\n"
    run = build(tmp_path, Case(columns={"province": PROVINCES}))
    with pytest.raises(InputError, match=r"no results of all its strata together: add roll_ups: \[\[\]\]"):
        dhis2_csv(run, read_mapping(text))


def test_values_without_a_mapping_are_all_named(results):
    text = MAPPING.replace("Nampula: OuNampula01, Tete: OuTete00001", "Elsewhere: OuTete00001")
    with pytest.raises(InputError) as error:
        dhis2_csv(results, read_mapping(text))
    assert error.value.problems == tuple(
        f"province: the mapping has no DHIS2 value for {p!r}" for p in PROVINCES
    )


def test_an_algorithm_that_the_run_has_not_is_refused(results):
    with pytest.raises(InputError, match="no results of tariff; it has: eava, insilicova, interva, ensemble"):
        dhis2_csv(results, read_mapping(MAPPING + "algorithm: tariff\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("org_unit: [", "not YAML or JSON"),
        ("period: '2023'\ndata_elements: {}\n", "org_unit.*Field required"),
        ("org_unit: short\nperiod: '2023'\ndata_elements: {}\n", "org_unit"),
        (MAPPING + "colour: red\n", "colour: Extra inputs are not permitted"),
    ],
)
def test_a_mapping_that_is_wrong_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        read_mapping(text)


MONTHS = """
org_unit: {column: province, values: {Nampula: OuNampula01, Tete: OuTete00001}}
period: {column: year}
verdicts: [publishable, with_caution, do_not_publish]
algorithm: eava
data_elements: {neonate: {pneumonia: {mean: DePneuMean1}}}
"""


def by_month(folder, *months):
    case = Case(columns={"province": PROVINCES, "year": months}, deaths=(120, 500))
    return build(folder, case)


def test_a_period_that_dhis2_does_not_know_is_refused_unless_it_is_mapped(tmp_path):
    results = by_month(tmp_path, "2023-04", "2023-05", MISSING)
    with pytest.raises(InputError) as caught:
        dhis2_csv(results, read_mapping(MONTHS))
    assert [problem.partition(" of column year")[0] for problem in caught.value.problems] == [
        f"period: {month!r}" for month in ("2023-04", "2023-05", MISSING)
    ]
    values = "{'2023-04': 202304, '2023-05': 202305, (missing): 2023}"
    mapped = MONTHS.replace("{column: year}", f"{{column: year, values: {values}}}")
    rows = list(csv.reader(io.StringIO(dhis2_csv(results, read_mapping(mapped)))))[1:]
    assert {row[1] for row in rows} == {"202304", "202305", "2023"}


def test_two_values_under_one_key_are_refused_and_named(tmp_path):
    results = by_month(tmp_path, "2023-04", "2023-05")
    values = "{'2023-04': '2023', '2023-05': '2023'}"
    mapping = read_mapping(MONTHS.replace("{column: year}", f"{{column: year, values: {values}}}"))
    with pytest.raises(InputError) as caught:
        dhis2_csv(results, mapping)
    assert len(caught.value.problems) == 2
    for problem, org_unit in zip(caught.value.problems, ("OuNampula01", "OuTete00001"), strict=True):
        assert f"DePneuMean1, period 2023, organisation unit {org_unit}: 2 values" in problem
        assert "2023-04" in problem
        assert "2023-05" in problem
    one_element = "{pneumonia: {mean: DePneuMean1}, ipre: {mean: DePneuMean1}}"
    with pytest.raises(InputError, match="2 values"):
        dhis2_csv(
            by_month(tmp_path / "causes", "202304"),
            read_mapping(MONTHS.replace("{pneumonia: {mean: DePneuMean1}}", one_element)),
        )


def test_a_year_without_quotes_is_a_period(results):
    text = MAPPING.replace("{column: year}", "2023").replace("{column: province, ", "{column: province, ")
    assert read_mapping(text).period == "2023"


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ("{child: {pneumonia: {mean: DePneuMean1}}}", "data_elements names nothing of this run"),
        (
            "{neonate: {pneumonja: {mean: DePneuMean1}}}",
            "neonate.pneumonja: the run has no such cause; it has",
        ),
        ("{neonate: {}}", "data_elements names nothing of this run, which has: neonate"),
        ("{neonate: {pneumonia: {estimated_deaths: DePneuDead1}}}", "nothing to export"),
    ],
)
def test_a_mapping_that_names_nothing_is_refused(tmp_path, elements, message):
    text = MONTHS.replace("{neonate: {pneumonia: {mean: DePneuMean1}}}", elements)
    with pytest.raises(InputError, match=message):
        dhis2_csv(by_month(tmp_path, "202304"), read_mapping(text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("{column: year}", "2023-04"), "period: '2023-04' is not a period in DHIS2's notation"),
        (("{column: year}", "[2023]"), "mapping: period: Input should be a valid string"),
        (("OuTete00001", "Tete"), "org_unit: 'Tete' is no identifier of DHIS2"),
    ],
)
def test_what_dhis2_would_not_take_is_refused_with_the_mapping(change, message):
    with pytest.raises(InputError) as caught:
        read_mapping(MONTHS.replace(*change))
    assert message in str(caught.value)
    assert "FromColumn" not in str(caught.value)


@pytest.mark.parametrize(
    "period",
    [
        "2023",
        "202304",
        "20230431",
        "202301B",
        "2023Q2",
        "2023S1",
        "2023AprilS2",
        "2023April",
        "2023W7",
        "2023SunW53",
        "2023BiW3",
    ],
)
def test_periods_in_all_notations_of_dhis2_are_taken(period):
    assert read_mapping(MONTHS.replace("{column: year}", period)).period == period
