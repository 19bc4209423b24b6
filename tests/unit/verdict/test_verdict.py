"""The release verdict: each declared rule, from the tables alone, with its reason in words."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support import ROOT
from support.build_results import Case, build

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
    return row["verdict"], [code.split(":")[0] for code in row["verdict_codes"].split(";") if code]


def test_an_estimate_without_objection_is_publishable_and_gives_no_reason():
    out = add_verdicts(tables())
    for name in ("csmf", "strata"):
        row = out[name].to_pylist()[0]
        assert (row["verdict"], row["verdict_reasons"], row["verdict_codes"]) == ("publishable", None, "")


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
    assert row["verdict_codes"] == "left_out:0.1:0.2100,eava"
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
    assert malaria["verdict_codes"] == "member_passed_through::my coder (malaria)"
    assert malaria["verdict_reasons"].endswith("outside those of the other algorithms: my coder, Malaria.")
    assert csmf["ensemble", "ipre"]["verdict"] == csmf["eava", "malaria"]["verdict"] == "publishable"
    assert csmf["ensemble", "other"]["verdict_codes"] == "passed_through::"
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
    assert "deaths:100:" in ensemble["verdict_codes"]


def test_a_roll_up_is_judged_with_the_records_and_deaths_of_all_its_strata(tmp_path):
    case = Case(columns={"province": ("A", "B", "C")}, deaths=(60, 70), roll_ups=([],))
    results = build(tmp_path, case)
    total = results.rollups.set_index("algorithm").loc["eava"]
    codes = dict(code.split(":", 1) for code in total["verdict_codes"].split(";"))
    assert codes.keys() == {"rollup_interval_too_narrow", "left_out"}
    records = results.records[results.records["algorithm"] == "eava"]
    used = records.loc[records["disposition"] == "used", "records"].sum()
    assert float(codes["left_out"].split(":")[1]) == pytest.approx(
        1 - used / records["records"].sum(), abs=1e-4
    )
    assert "deaths" in results.strata.set_index("algorithm").loc["eava", "verdict_codes"].iloc[0]


def test_a_roll_up_is_judged_by_the_effective_size_of_its_strata(tmp_path):
    results = build(tmp_path, Case(columns={"province": ("A", "B")}, roll_ups=([],)))
    parts = {name: results.table(name) for name in ("csmf", "strata", "records", "rollups")}
    poor = parts["rollups"].column_names.index("ess_bulk")
    few = pa.array([120.0] * parts["rollups"].num_rows)
    parts["rollups"] = parts["rollups"].set_column(poor, parts["rollups"].schema.field(poor), few)

    codes = add_verdicts(parts)["rollups"]["verdict_codes"].to_pylist()

    assert all("ess:400:120" in text for text in codes)


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
    assert [code.split(":")[0] for code in row["verdict_codes"].split(";")] == ["rhat", "lambda"]


@pytest.mark.parametrize("language", ["en", "fr", "pt"])
def test_codes_become_sentences_in_every_language(tmp_path, language):
    case = Case(
        columns={"district": tuple("ABCDEFGHI")}, deaths=(15, 400), every_flag=True, illustrative=True
    )
    results = build(tmp_path, case)
    for codes in {*results.csmf["verdict_codes"], *results.strata["verdict_codes"]}:
        sentences = reasons_in_words(codes, words(language))
        assert len(sentences) == len([code for code in codes.split(";") if code])
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
