"""The release verdict: each declared rule, from the tables alone, with its reason in words."""

from __future__ import annotations

import json
import re
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support import ROOT
from support.build_results import Case, build

from tasks.results.reasons import (
    Named,
    Reason,
    named_from_json,
    named_to_json,
    reasons_from_json,
    reasons_to_json,
    texts_to_json,
)
from tasks.results.schema import conform
from tasks.terms import FLAGS, in_words
from tasks.terms.words import words
from tasks.verdict.judge import COLUMNS, add_verdicts
from tasks.verdict.rules import VERDICTS, VerdictRules, worst
from tasks.verdict.words import reasons_in_words

CONSTANTS = {
    "run": "r-0", "name": "r", "country": "Mali", "age_group": "neonate", "inventory": "i",
    "inventory_version": "1", "inventory_checksum": "c", "illustrative": False,
    "matrix_sharing": "per_stratum", "matrix_type": "prior", "path_correction": True, "shrinkage": 0.0,
}  # fmt: skip
STRATUM = "age_group=neonate/country=Mali"


def tables(
    fit: dict[str, Any] | None = None,
    rows: list[dict[str, Any]] | None = None,
    records: list[dict[str, Any]] | None = None,
    algorithm: str = "eava",
) -> dict[str, pa.Table]:
    """A stratum of one algorithm with nothing to object to, changed as asked for."""
    base = {"stratum": STRATUM, "algorithm": algorithm, "flags": ""}
    good = {
        "level": "stratum", "deaths": 500, "raw": 0.5, "mean": 0.5, "sd": 0.02, "q025": 0.46, "q975": 0.54,
        "status": "calibrated",
    }  # fmt: skip
    causes = rows if rows is not None else [{"cause": "pneumonia"}, {"cause": "prematurity"}]
    fitted = {
        "status": "calibrated", "deaths_received": 1000, "deaths": 1000, "lambda": 0.2, "rhat": 1.001,
        "ess_bulk": 4000.0, "ess_tail": 3900.0, "converged": True,
    } | (fit or {})  # fmt: skip
    counted = records if records is not None else [{"disposition": "used", "records": 1000}]
    made = {
        "csmf": [base | good | row for row in causes],
        "strata": [base | fitted],
        "records": [base | {"reason": None} | row for row in counted],
    }
    return {name: as_table(name, part) for name, part in made.items()}


def as_table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    names = dict.fromkeys(key for row in rows for key in row)
    strata = [key for key in ("province",) if key in names]
    data = {key: [row.get(key) for row in rows] for key in names}
    return conform(name, data, strata_columns=strata, constants=CONSTANTS)


def judged(parts: dict[str, pa.Table], rules: VerdictRules | None = None) -> tuple[str, list[str]]:
    """Verdict and rules of the only fit."""
    row = add_verdicts(parts, rules)["strata"].to_pylist()[0]
    return row["verdict"], [reason.rule for reason in reasons_from_json(row["verdict_codes"])]


def test_an_estimate_without_objection_is_publishable_and_gives_no_reason():
    out = add_verdicts(tables())
    for name in ("csmf", "strata"):
        row = out[name].to_pylist()[0]
        assert (row["verdict"], row["verdict_reasons"], row["verdict_codes"]) == ("publishable", None, "[]")


@pytest.mark.parametrize(
    ("fit", "rule", "verdict"),
    [
        ({"lambda": 0.5}, None, "publishable"),
        ({"lambda": 0.51}, "lambda", "with_caution"),
        ({"rhat": 1.01}, None, "publishable"),
        ({"rhat": 1.015}, "rhat", "with_caution"),
        ({"rhat": 1.03}, "rhat", "do_not_publish"),
        ({"ess_tail": 999.0}, "ess", "with_caution"),
        ({"ess_bulk": 399.0}, "ess", "do_not_publish"),
        ({"rhat": None, "ess_bulk": None, "ess_tail": None, "lambda": None}, None, "publishable"),
    ],
)
def test_diagnostics_are_held_against_their_limits(fit, rule, verdict):
    assert judged(tables(fit)) == (verdict, [rule] if rule else [])


@pytest.mark.parametrize(
    ("deaths", "verdict"),
    [(100, "publishable"), (99, "with_caution"), (25, "with_caution"), (24, "do_not_publish")],
)
def test_few_deaths_call_for_caution_and_very_few_forbid(deaths, verdict):
    rows = [{"cause": "pneumonia", "deaths": deaths - 1}, {"cause": "prematurity", "deaths": 1}]
    assert judged(tables(rows=rows))[0] == verdict


@pytest.mark.parametrize(
    ("left_out", "verdict"), [(100, "publishable"), (101, "with_caution"), (401, "do_not_publish")]
)
def test_records_left_out_count_as_a_share_of_those_received(left_out, verdict):
    records = [
        {"disposition": "used", "records": 1000 - left_out},
        {"disposition": "excluded", "reason": "undetermined_cause", "records": left_out - 1},
        {"disposition": "rejected", "reason": "duplicate_id", "records": 1},
    ]
    assert judged(tables(records=records))[0] == verdict


def test_an_ensemble_names_the_member_whose_records_are_left_out():
    parts = tables(algorithm="ensemble")
    used = {"stratum": STRATUM, "flags": "", "disposition": "used", "reason": None}
    lost = used | {"disposition": "excluded", "reason": "undetermined_cause"}
    parts["records"] = as_table(
        "records",
        [
            used | {"algorithm": "interva", "records": 950},
            lost | {"algorithm": "interva", "records": 50},
            used | {"algorithm": "eava", "records": 790},
            lost | {"algorithm": "eava", "records": 210},
        ],
    )
    row = add_verdicts(parts)["strata"].to_pylist()[0]
    [reason] = json.loads(row["verdict_codes"])
    assert reason.pop("value") == pytest.approx(0.21)
    assert reason == {"rule": "left_out", "limit": 0.1, "algorithms": [{"algorithm": "eava"}]}
    assert row["verdict_reasons"].startswith("EAVA: 21% of its records are left out")


def test_the_words_of_a_stalled_correction_do_not_claim_that_figures_are_close_to_the_raw_ones():
    assert "almost no calibration could take place" in in_words(["path_correction_stalled"])[0]
    assert "close to" not in in_words(["path_correction_stalled"])[0]


@pytest.mark.parametrize("flag", sorted({*FLAGS} - {"algorithms_disagree"}))
def test_every_flag_has_its_severity_and_its_sentence(flag):
    severity = getattr(VerdictRules(), flag, "with_caution")
    parts = tables({"flags": flag}, [{"cause": "pneumonia", "flags": flag}])
    row = add_verdicts(parts)["csmf"].to_pylist()[0]
    if severity == "ignore":
        assert (row["verdict"], row["verdict_reasons"]) == ("publishable", None)
    else:
        assert row["verdict"] == severity
        assert row["verdict_reasons"].startswith(in_words([flag])[0])


def test_a_disagreement_is_held_against_its_cause_and_named_for_the_fit():
    rows = [{"cause": "pneumonia", "flags": "algorithms_disagree"}, {"cause": "prematurity"}]
    out = add_verdicts(tables({"flags": "algorithms_disagree"}, rows))
    assert [row["verdict"] for row in out["csmf"].to_pylist()] == ["with_caution", "publishable"]
    assert (
        out["strata"].to_pylist()[0]["verdict_reasons"]
        == "The algorithms contradict each other on: Pneumonia."
    )


def test_a_cause_passed_through_is_with_caution_and_does_not_taint_the_fit():
    rows = [
        {"cause": "pneumonia"},
        {"cause": "other", "status": "passed_through", "sd": None, "q025": None, "q975": None},
    ]
    out = add_verdicts(tables(rows=rows))
    assert [row["verdict"] for row in out["csmf"].to_pylist()] == ["publishable", "with_caution"]
    assert judged(tables(rows=rows))[0] == "publishable"


def test_an_ensemble_whose_member_passes_a_cause_through_names_both_and_taints_that_cause_alone():
    passed = {"status": "passed_through", "sd": None, "q025": None, "q975": None}
    other = {"cause": "other", **passed}
    parts = [
        tables(rows=[{"cause": "ipre"}, {"cause": "malaria"}, other], algorithm="ensemble"),
        tables(rows=[{"cause": "ipre"}, {"cause": "malaria"}, other], algorithm="eava"),
        tables(rows=[{"cause": "ipre"}, {"cause": "malaria", **passed}, other], algorithm="my coder"),
        tables(
            {"status": "not_calibrated", "flags": "not_calibrated"},
            [{"cause": "ipre", **passed}, {"cause": "malaria", **passed}, {**other}],
            algorithm="interva",
        ),
    ]
    out = add_verdicts({name: pa.concat_tables([part[name] for part in parts]) for name in parts[0]})
    csmf = {(row["algorithm"], row["cause"]): row for row in out["csmf"].to_pylist()}
    malaria = csmf["ensemble", "malaria"]
    assert malaria["verdict"] == "with_caution"
    assert json.loads(malaria["verdict_codes"]) == [
        {
            "rule": "member_passed_through",
            "algorithms": [{"algorithm": "my coder", "causes": ["malaria"]}],
        }
    ]
    assert malaria["verdict_reasons"].endswith("outside those of the other algorithms: my coder, Malaria.")
    assert csmf["ensemble", "ipre"]["verdict"] == csmf["eava", "malaria"]["verdict"] == "publishable"
    assert csmf["ensemble", "other"]["verdict_codes"] == '[{"rule":"passed_through"}]'
    whole = {row["algorithm"]: row for row in out["strata"].to_pylist()}
    assert whole["ensemble"]["verdict_codes"] == malaria["verdict_codes"]
    assert whole["eava"]["verdict"] == whole["my coder"]["verdict"] == "publishable"
    assert reasons_in_words(malaria["verdict_codes"], words("fr"))[0].endswith(" : my coder, Paludisme.")


def test_a_zero_count_in_a_calibrated_cause_is_named():
    rows = [{"cause": "pneumonia", "deaths": 0}, {"cause": "prematurity"}]
    out = add_verdicts(tables(rows=rows))["csmf"].to_pylist()
    assert {row["verdict"] for row in out} == {"with_caution"}
    assert "No deaths at all from: Pneumonia." in out[1]["verdict_reasons"]


@pytest.mark.parametrize("status", ["no_result", "failed", "not_fitted"])
def test_without_a_result_there_is_one_reason(status):
    rows = [
        {
            "cause": "pneumonia",
            "status": "no_result",
            "mean": None,
            "sd": None,
            "q025": None,
            "q975": None,
            "deaths": 3,
        }
    ]
    row = add_verdicts(tables({"status": status, "reason": "too_few_deaths"}, rows))["strata"].to_pylist()[0]
    assert row["verdict"] == "do_not_publish"
    assert row["verdict_reasons"] == "There is no estimate: too few deaths."


def test_an_unreliable_ensemble_names_its_members():
    parts = tables(
        {"flags": "interval_unreliable", "unreliable_because": "eava,interva"},
        [{"cause": "pneumonia", "flags": "interval_unreliable"}],
        algorithm="ensemble",
    )
    row = add_verdicts(parts)["strata"].to_pylist()[0]
    assert row["verdict"] == "do_not_publish"
    assert row["verdict_reasons"].endswith("(EAVA, InterVA)")


def test_an_ensemble_is_judged_by_the_deaths_of_its_largest_member(tmp_path):
    results = build(tmp_path, Case(deaths=(60, 60)))
    ensemble = results.strata.set_index("algorithm").loc["ensemble"]
    assert ensemble["deaths"] > 100
    limits = {reason.rule: reason.limit for reason in reasons_from_json(ensemble["verdict_codes"])}
    assert limits["deaths"] == 100


def test_a_roll_up_is_judged_with_the_records_and_deaths_of_all_its_strata(tmp_path):
    case = Case(columns={"province": ("A", "B", "C")}, deaths=(60, 70), roll_ups=([],))
    results = build(tmp_path, case)
    total = results.rollups.set_index("algorithm").loc["eava"]
    values = {reason.rule: reason.value for reason in reasons_from_json(total["verdict_codes"])}
    assert values.keys() == {"rollup_interval_too_narrow", "left_out"}
    records = results.records[results.records["algorithm"] == "eava"]
    used = records.loc[records["disposition"] == "used", "records"].sum()
    assert values["left_out"] == pytest.approx(1 - used / records["records"].sum())
    assert "deaths" in results.strata.set_index("algorithm").loc["eava", "verdict_codes"].iloc[0]


def test_a_roll_up_is_judged_by_the_effective_size_of_its_strata(tmp_path):
    results = build(tmp_path, Case(columns={"province": ("A", "B")}, roll_ups=([],)))
    parts = {name: results.table(name) for name in ("csmf", "strata", "records", "rollups")}
    poor = parts["rollups"].column_names.index("ess_bulk")
    few = pa.array([120.0] * parts["rollups"].num_rows)
    parts["rollups"] = parts["rollups"].set_column(poor, parts["rollups"].schema.field(poor), few)

    codes = add_verdicts(parts)["rollups"]["verdict_codes"].to_pylist()

    assert all(Reason("ess", 400, 120) in reasons_from_json(cell) for cell in codes)


def test_rules_can_be_changed_and_turned_off():
    lenient = VerdictRules(lambda_caution=None, illustrative="ignore")
    assert judged(tables({"lambda": 0.9, "flags": "illustrative"}), lenient) == ("publishable", [])
    assert judged(tables({"lambda": 0.2}), VerdictRules(lambda_caution=0.1))[0] == "with_caution"


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        VerdictRules.model_validate({"lamda_caution": 0.3})


def test_judging_twice_changes_nothing():
    once = add_verdicts(tables({"rhat": 1.5}))
    assert add_verdicts(once) == once


def test_worst_reasons_come_first():
    row = add_verdicts(tables({"lambda": 0.7, "rhat": 1.5}))["strata"].to_pylist()[0]
    assert [reason.rule for reason in reasons_from_json(row["verdict_codes"])] == ["rhat", "lambda"]


@pytest.mark.parametrize("language", ["en", "fr", "pt"])
def test_codes_become_sentences_in_every_language(tmp_path, language):
    case = Case(
        columns={"district": tuple("ABCDEFGHI")}, deaths=(15, 400), every_flag=True, illustrative=True
    )
    results = build(tmp_path, case)
    for codes in {*results.csmf["verdict_codes"], *results.strata["verdict_codes"]}:
        sentences = reasons_in_words(codes, words(language))
        assert len(sentences) == len(json.loads(codes))
        assert all("{" not in sentence for sentence in sentences)


def test_the_words_in_the_tables_are_those_of_the_codes(tmp_path):
    results = build(tmp_path, Case(every_flag=True))
    for table in (results.csmf, results.strata):
        for codes, text in zip(table["verdict_codes"], table["verdict_reasons"], strict=True):
            assert " ".join(reasons_in_words(codes, words("en"))) == (text or "")


@given(st.lists(st.sampled_from(VERDICTS)))
def test_the_worst_verdict_is_the_one_that_stands_last(verdicts):
    assert all(VERDICTS.index(worst(verdicts)) >= VERDICTS.index(v) for v in verdicts)


def test_the_documented_rules_are_the_ones_in_force():
    text = (ROOT / "docs" / "verdict.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    documented = {cells[1].strip(" `"): cells[2].strip(" `") for cells in rows}
    assert documented == {name: str(value) for name, value in VerdictRules().model_dump().items()}


def test_the_columns_are_the_last_of_the_schema():
    out = add_verdicts(tables())
    assert tuple(out["csmf"].column_names[-3:]) == COLUMNS
    assert tuple(out["strata"].column_names[-3:]) == COLUMNS


AWKWARD = ("Other (specify; ipre)", "HIV, TB: both", 'said "so"', "a;b:c,d", "[]")


def test_causes_with_any_sign_stay_whole_in_codes_and_words():
    rows = [{"cause": cause, "deaths": 0, "flags": "algorithms_disagree"} for cause in AWKWARD]
    misfit = named_to_json([Named("eava", AWKWARD)])
    fit = {"flags": "misfit", "misfit_of": misfit, "matrix_sharing": "per_stratum"}
    row = add_verdicts(tables(fit, [*rows, {"cause": "ipre"}]))["strata"].to_pylist()[0]
    found = {reason.rule: reason for reason in reasons_from_json(row["verdict_codes"])}
    assert found["zero_causes"].causes == found["algorithms_disagree"].causes == AWKWARD
    assert found["misfit"].algorithms == (Named("eava", AWKWARD),) == named_from_json(misfit)
    for cause in AWKWARD:
        assert row["verdict_reasons"].count(cause) >= 3, cause


@given(
    st.lists(
        st.builds(
            Reason,
            st.text(min_size=1),
            st.none() | st.integers(0, 10**6) | st.floats(0, 1),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.text(min_size=1),
            st.lists(st.text()).map(tuple),
            st.lists(st.builds(Named, st.text(), st.lists(st.text()).map(tuple))).map(tuple),
        )
    )
)
def test_reasons_come_back_from_their_cell(reasons):
    cell = reasons_to_json(reasons)
    assert reasons_from_json(cell) == tuple(reasons)
    assert len(json.loads(cell)) == len(reasons)


def test_the_query_of_the_documentation_reads_the_codes(tmp_path, monkeypatch):
    results = build(tmp_path, Case(every_flag=True, deaths=(30, 60)))
    monkeypatch.chdir(results.uri)
    text = (ROOT / "docs" / "verdict.md").read_text(encoding="utf-8")
    query = text.partition("```sql\n")[2].partition("```")[0]
    rows = duckdb.sql(query.rstrip().rstrip(";")).fetchall()
    reasons = [reason for cell in results.strata["verdict_codes"] for reason in reasons_from_json(cell)]
    assert sorted(row[2] for row in rows) == sorted(reason.rule for reason in reasons)
    assert any(value is not None for *_, value in rows)


_NUMBER = re.compile(r"[0-9][0-9 .,\xa0\u202f]*[0-9]|[0-9]")


def _read(text: str, language: str) -> float:
    """A number as a reader of that language takes it."""
    plain = re.sub("[\xa0\u202f ]", "", text)
    plain = plain.replace(",", "") if language == "en" else plain.replace(".", "").replace(",", ".")
    return float(plain)


NEAR = {
    "deaths": [(100, 99), (1000, 999)],
    "ess": [(400, 399.7), (400, 399.9996), (1000, 999.5), (400, 120.4), (1234.5, 1234.4)],
    "rhat": [(1.01, 1.0100001), (1.01, 1.0104), (1.02, 1.31), (1.005, 1.0051), (1.0, 1.0002)],
    "lambda": [(0.5, 0.5000001), (0.5, 0.504), (0.985, 0.9851), (0.0, 0.0001), (0.125, 0.1251)],
    "left_out": [(0.1, 0.1000001), (0.1, 0.21), (0.4, 0.40004), (0.0, 0.00001), (0.29, 0.2901)],
}


@pytest.mark.parametrize("language", ["en", "fr", "pt"])
@pytest.mark.parametrize(
    ("rule", "limit", "value"), [(rule, *pair) for rule, pairs in NEAR.items() for pair in pairs]
)
def test_rounding_never_contradicts_the_rule(language, rule, limit, value):
    [sentence] = reasons_in_words(reasons_to_json([Reason(rule, limit, value)]), words(language))
    frame = re.sub(
        r"\{[a-z]+\}",
        "(.+?)",
        re.escape(words(language)(f"verdict_reasons.{rule}", limit="@L@", value="@V@")),
    )
    match = re.fullmatch(frame.replace("@V@", "(?P<value>.+?)").replace("@L@", "(?P<limit>.+?)"), sentence)
    assert match, sentence
    shown = {name: _read(_NUMBER.findall(text)[0], language) for name, text in match.groupdict().items()}
    scale = 100 if rule in ("lambda", "left_out") else 1
    assert shown["limit"] == pytest.approx(limit * scale, rel=1e-12)
    assert (shown["value"] < shown["limit"]) == (value < limit), sentence
    assert shown["value"] != shown["limit"], sentence


def test_figures_far_from_the_limit_are_as_short_as_before():
    say = words("en")
    cell = reasons_to_json(
        [Reason("ess", 400, 120.4), Reason("rhat", 1.02, 1.31), Reason("lambda", 0.5, 0.731)]
    )
    assert reasons_in_words(cell, say) == [
        "The posterior draws are worth only 120 independent ones (fewer than 400).",
        "The sampler's chains do not agree well enough (R-hat 1.310, above 1.02).",
        "To fit these deaths, 73% of the published misclassification was taken away (more than 50%).",
    ]


def test_a_list_of_names_is_json():
    assert json.loads(texts_to_json(AWKWARD)) == list(AWKWARD)


def test_a_limit_is_written_alike_whether_the_rules_came_by_json_or_not() -> None:
    rules = VerdictRules()
    again = VerdictRules.model_validate_json(rules.model_dump_json())
    few = tables({"ess_bulk": 300.0})
    assert add_verdicts(few, rules)["strata"].equals(add_verdicts(few, again)["strata"])
