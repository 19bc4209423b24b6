"""The tables' columns: fixed, documented, and checked where tables are made."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT
from support.made_run import CONSTANTS, places, tables

from tasks.results import schema
from tasks.terms import FLAGS, in_words

DOCS = ROOT / "docs" / "outputs.md"
RECORD = {
    "stratum": ["age_group=child/country=Mali"],
    "age_group": ["child"],
    "country": ["Mali"],
    "algorithm": ["eava"],
    "disposition": ["used"],
    "records": [3],
}


def records(**changes: object) -> pa.Table:
    return schema.conform("records", {**RECORD, **changes}, constants=CONSTANTS)


def test_every_table_starts_with_its_identity_and_carries_flags_and_caveat() -> None:
    identity = ["run", "name", "stratum", "age_group", "country", "province", "inventory"]
    for table in schema.TABLES:
        names = schema.schema(table, ["province"]).names
        assert names[:7] == identity
        assert "flags" in names and "caveat" in names


def test_no_column_is_nested() -> None:
    for table in schema.TABLES:
        assert not any(pa.types.is_nested(field.type) for field in schema.schema(table, ["province"]))


def test_quantiles_asked_for_stand_between_the_fixed_ones() -> None:
    names = schema.schema("csmf", quantiles=[0.5, 0.9999]).names
    assert names[names.index("sd") + 1 : names.index("status")] == ["q025", "q500", "q975", "q9999"]


@given(st.sets(st.floats(0.0001, 0.9999).map(lambda q: round(q, 6)), min_size=2))
def test_different_quantiles_have_different_columns(quantiles: set[float]) -> None:
    assert len({schema.quantile_name(q) for q in quantiles}) == len(quantiles)


def test_conform_orders_casts_and_fills_what_may_be_null() -> None:
    table = records(records=["7"])
    assert table.schema.equals(schema.schema("records"))
    assert table["records"].to_pylist() == [7]
    assert table["reason"].to_pylist() == [None]
    assert table["run"].to_pylist() == [CONSTANTS["run"]]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"colour": ["red"]}, "colour: no such column"),
        ({"disposition": ["lost"]}, r"disposition: \['lost'\] not among"),
        ({"algorithm": [None]}, "algorithm: 1 nulls"),
        ({"records": ["seven"]}, "records: "),
        ({"flags": [["no_such_flag"]]}, "no words for"),
    ],
)
def test_conform_refuses_what_does_not_belong(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        records(**changes)


def test_conform_names_all_wrong_columns_at_once() -> None:
    with pytest.raises(ValueError, match=r"colour: no such column.*country: 1 nulls"):
        schema.conform(
            "records", {**RECORD, "colour": RECORD["country"], "country": [None]}, constants=CONSTANTS
        )


def test_not_a_number_from_r_is_null() -> None:
    made = tables(places(["Gaza"]))["csmf"].to_pandas()
    made["sd"] = float("nan")
    table = schema.conform("csmf", made, strata_columns=["province", "year"])
    assert table["sd"].null_count == table.num_rows


def test_the_caveat_says_the_flags_in_sentences() -> None:
    table = records(flags=[["not_converged", "estimate_is_noop"]])
    text = table["flags"].to_pylist()[0]
    assert set(schema.split_flags(text)) == {"not_converged", "estimate_is_noop"}
    assert all(in_words([flag])[0] in table["caveat"].to_pylist()[0] for flag in schema.split_flags(text))
    assert records()["caveat"].to_pylist() == [None]


def test_made_up_matrices_flag_every_row_of_every_table() -> None:
    made = tables(places(["Gaza"]), constants={"illustrative": True})
    for table in made.values():
        assert set(table["flags"].to_pylist()) == {"illustrative"}
        assert in_words(["illustrative"])[0] in table["caveat"].to_pylist()[0]


def test_flags_of_the_run_are_added_to_those_of_each_row() -> None:
    constants = {**CONSTANTS, "flags": ["inventory_not_verified"]}
    table = schema.conform("records", {**RECORD, "flags": [["not_converged"]]}, constants=constants)
    assert set(schema.split_flags(table["flags"][0].as_py())) == {"inventory_not_verified", "not_converged"}


@given(st.sets(st.sampled_from(sorted(FLAGS))))
def test_flags_survive_their_text(flags: set[str]) -> None:
    assert set(schema.split_flags(schema.join_flags(flags))) == flags


def test_strata_columns_that_results_need_themselves_are_refused() -> None:
    problems = schema.check_strata_columns(["run", "q025", "Deaths", "a/b", "", "year", "Year"])
    assert len(problems) == 6
    assert schema.check_strata_columns(["province", "year", "sex"]) == []


def test_the_data_dictionary_in_the_documentation_is_the_schema() -> None:
    assert schema.dictionary().strip() in DOCS.read_text()
