from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support import ROOT
from support.ingest_made import fields, problems_of

from tasks.errors import InputError
from tasks.request.model import CalibrationRequest, load_request, parse_request
from tasks.settings import settings
from tasks.terms.causes import MOST_CAUSES

EXAMPLES = sorted((ROOT / "examples").glob("*.*"))
INLINE_ROWS = (
    "individual records cannot be written into a request, because Prefect keeps requests in its database; "
    "put them into a file and give its address as input.uri, or give counts as {algorithm: {cause: deaths}}"
)
CREDENTIALS = (
    "holds credentials; take them out (a request is stored): they come from the standard AWS chain, such as "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a Prefect block"
)


def test_the_smallest_request_has_the_published_defaults() -> None:
    request = parse_request(fields())
    assert (request.matrix.type, request.matrix.source) == ("prior", "inventory")
    assert request.do_not_calibrate == ("other",)
    assert (request.do_not_calibrate_rule, request.threshold) == ("learn", 0.1)
    assert request.path_correction_used
    assert request.shrinkage_used == 0
    assert (request.bad_records, request.unmapped_causes, request.undetermined_causes) == (
        "refuse",
        "error",
        "exclude",
    )
    assert (request.draws_used, request.effective_draws_used, request.seed, request.minimum_deaths) == (
        4000,
        4000,
        1,
        1,
    )
    assert request.quantiles == (0.025, 0.975)
    assert request.roll_ups == ()


@pytest.mark.parametrize(
    ("changes", "path_correction", "shrinkage"),
    [
        ({}, True, 0.0),
        ({"path_correction": False}, False, 4.0),
        ({"path_correction": False, "shrinkage": 2.0}, False, 2.0),
        ({"matrix_sharing": "joint"}, False, 0.0),
        ({"matrix_sharing": "joint", "path_correction": True}, True, 0.0),
    ],
)
def test_path_correction_and_shrinkage_used(
    changes: dict[str, Any], path_correction: bool, shrinkage: float
) -> None:
    request = parse_request(fields(**changes))
    assert (request.path_correction_used, request.shrinkage_used) == (path_correction, shrinkage)


@pytest.mark.parametrize(
    ("changes", "sharing", "effective_draws"),
    [
        ({}, "per_stratum", 4000),
        ({"roll_ups": [[]]}, "joint", 2000),
        ({"roll_ups": [[]], "engine": "vacalibration"}, "per_stratum", 4000),
        ({"roll_ups": [[]], "matrix_sharing": "per_stratum"}, "per_stratum", 4000),
        ({"matrix_sharing": "joint"}, "joint", 2000),
        ({"matrix_sharing": "joint", "effective_draws": 500}, "joint", 500),
        ({"matrix_sharing": "common"}, "common", 2000),
        ({"matrix_sharing": "common", "draws": 800}, "common", 800),
    ],
)
def test_matrix_sharing_and_effective_draws_used(
    changes: dict[str, Any], sharing: str, effective_draws: int
) -> None:
    request = parse_request(fields(**changes))
    assert (request.matrix_sharing_used, request.effective_draws_used) == (sharing, effective_draws)


def strata(**changes: Any) -> dict[str, Any]:
    """Changes that give the request files with strata columns."""
    return {
        "input": {"uri": "deaths.csv", "layout": "counts"},
        "columns": {"strata": ["province", "year", "sex"]},
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "columns", "draws"),
    [
        ({}, (), 4000),
        ({"matrix_sharing": "common"}, (), 2000),
        (
            strata(matrix_sharing="common", roll_ups=[[], ["province"], ["province", "year"], ["year"]]),
            ("province", "year"),
            2000,
        ),
        (strata(matrix_sharing="common", roll_ups=[["province"]], centre=["sex"], draws=500), ("sex",), 500),
        (strata(roll_ups=[["province"]]), (), 4000),
    ],
)
def test_what_centres_strata_and_draws_used(
    changes: dict[str, Any], columns: tuple[str, ...], draws: int
) -> None:
    request = parse_request(fields(**changes))
    assert (request.centre_used, request.draws_used) == (columns, draws)
    assert not (
        request.matrix_sharing == "common" and (request.path_correction_used or request.shrinkage_used)
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"shrinkage": 0.0}, "shrinkage: does not exist with common matrix draws: remove it"),
        ({"path_correction": True}, "path_correction: does not exist with common matrix draws: remove it"),
        ({"effective_draws": 500}, "effective_draws: does not exist with common matrix draws"),
        ({"engine": "vacalibration"}, "engine: vacalibration has no common matrix draws: use vacal"),
        ({"matrix": {"type": "samples"}}, "matrix.type: common matrix draws do not take samples yet"),
        ({"joint_groups": ["sex"]}, "joint_groups: has a meaning with matrix_sharing: joint only"),
        (
            {"centre": ["region"]},
            "centre[1]: 'region' is no strata column (those that are: province, year, sex)",
        ),
        ({"centre": ["sex", "sex"]}, "centre[2]: 'sex' is named more than once"),
        (
            {"centre": ["sex"], "matrix_sharing": "joint"},
            "centre: has a meaning with matrix_sharing: common only",
        ),
    ],
)
def test_what_common_matrix_draws_do_not_have_is_refused(changes: dict[str, Any], problem: str) -> None:
    (found,) = problems_of(**strata(**{"matrix_sharing": "common", **changes}))
    assert found.startswith(problem)


def test_names_are_brought_to_one_form() -> None:
    counts = {"EAVA": {"ipre": 1}, " InterVA": {"ipre": 1}}
    request = parse_request(
        fields(
            country="moz", algorithms=["eava", "InterVA "], input={"counts": counts}, quantiles=[0.5, 0.025]
        )
    )
    assert request.country == "Mozambique"
    assert request.algorithms == ("eava", "interva")
    assert request.input.counts == {"eava": {"ipre": 1}, "interva": {"ipre": 1}}
    assert request.quantiles == (0.025, 0.5, 0.975)


@pytest.mark.parametrize("field", ["age_group", "country", "algorithms", "name", "input"])
def test_what_changes_the_result_most_is_never_guessed(field: str) -> None:
    (problem,) = problems_of(**{field: None})
    assert problem.startswith(f"{field}: is required: ")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"age_group": "adult"}, "age_group: must be neonate, child, or {column: NAME}; it is 'adult'"),
        (
            {"country": "Mozambik"},
            "country: 'Mozambik' is not a country; nearest names: Mozambique, Zambia, Gambia",
        ),
        (
            {"country": False},
            "country: must be a country's name or {column: NAME}; it is false (what YAML makes of words "
            "such as yes "
            "and no: put text in quotes)",
        ),
        (
            {"name": "a b"},
            "name: must be letters, digits and single dashes, at most 60, such as moz-2023; it is 'a b'",
        ),
        ({"seed": "abc"}, "seed: must be a whole number; it is 'abc'"),
        ({"seed": 2**40}, "seed: must be at most 2147483647; it is '1099511627776'"),
        ({"draws": 4000.0}, "draws: must be a whole number; it is '4000.0'"),
        (
            {"ensemble": "yes"},
            "ensemble: must be true or false; it is 'yes'",
        ),
        ({"engine": "stan"}, "engine: must be 'vacal' or 'vacalibration'; it is 'stan'"),
        ({"quantiles": [1.2]}, "quantiles: quantiles lie between 0 and 1, both excluded; 1.2 does not"),
        ({"quantiles": [0.12345]}, "quantiles: quantiles have at most three decimals; 0.12345 has more"),
        (
            {"algorithms": ["ensemble"]},
            "algorithms[1]: 'ensemble' is not an algorithm: name its members, and set ensemble: true",
        ),
        ({"algorithms": []}, "algorithms: must have at least 1 entry"),
        ({"algorithms": ["eava", "EAVA"]}, "algorithms[2]: 'eava' is named more than once"),
        ({"quantile": [0.5]}, "quantile: is not a field of a request; did you mean quantiles?"),
        ({"matrix": {"typ": "fixed"}}, "matrix.typ: is not a field of a request; did you mean type?"),
        ({"input": {}}, "input: give either counts or uri; neither is"),
        (
            {"input": {"counts": {"eava": {"ipre": 1}}, "uri": "a.csv"}},
            "input: give either counts or uri; both are given",
        ),
        (
            {"input": {"counts": {"eava": {"ipre": -1}}}},
            "input.counts.eava.ipre: must be at least 0; it is '-1'",
        ),
        (
            {"input": {"counts": {"eava": {"ipre": 1.5}}}},
            "input.counts.eava.ipre: must be a whole number; it is '1.5'",
        ),
        (
            {"input": {"counts": {"interva": {"ipre": 1}, "eava": {"ipre": 1}}}},
            "input.counts.interva: is not among the request's algorithms: add it there, or remove it here",
        ),
        (
            {"algorithms": ["eava", "interva"]},
            "input.counts: has nothing for algorithm 'interva', which the request names",
        ),
        (
            {"age_group": {"column": "age"}},
            "age_group: cannot be read from a column: the deaths are counts in the request, which have none",
        ),
        (
            {"shrinkage": 4.0},
            "shrinkage: cannot be above 0 with path correction: set path_correction: false, or remove it",
        ),
        (
            {"shrinkage": 0.0, "matrix_sharing": "joint"},
            "shrinkage: does not exist in the joint model: remove it, or set matrix_sharing: per_stratum",
        ),
        (
            {"engine": "vacalibration", "matrix_sharing": "joint"},
            "engine: vacalibration has no joint model: use vacal, or set matrix_sharing: per_stratum",
        ),
        (
            {"joint_groups": ["region"]},
            "joint_groups: has a meaning with matrix_sharing: joint only: set it, or remove this",
        ),
        (
            {"joint_groups": ["region"], "matrix_sharing": "joint"},
            "joint_groups[1]: 'region' is no strata column (those that are: none)",
        ),
        (
            {"do_not_calibrate": "other"},
            "do_not_calibrate: must be a list of causes, or a map from algorithm to a list of causes; it "
            "is 'other'",
        ),
        (
            {"do_not_calibrate": {"interva": ["other"]}},
            "do_not_calibrate.interva: 'interva' is not among the request's algorithms",
        ),
        ({"study_cause_map": {}}, "study_cause_map: is empty: leave it out, or name the study's causes"),
        (
            {"study_cause_map": {f"cause {i}": "pneumonia" for i in range(MOST_CAUSES + 1)}},
            "study_cause_map: names 65 causes; at most 64 can be calibrated: merge some",
        ),
        (
            {"roll_ups": [["province"]]},
            "roll_ups[1]: 'province' does not make strata here (those that do: none)",
        ),
        (
            {"roll_ups": [[], []]},
            "roll_ups[2]: is the same level as an earlier one (every level stays within one age group and "
            "country)",
        ),
        ({"roll_up_weights": "w.csv"}, "roll_up_weights: has nothing to weight: name the levels in roll_ups"),
        (
            {"columns": {"strata": ["province"]}},
            "columns.strata: needs an input with columns; counts in the request are one stratum",
        ),
        (
            {"input": {"uri": "http://x/y.csv"}},
            "input.uri: addresses begin with s3:// or file://, or are local paths, not 'http://'",
        ),
    ],
)
def test_each_mistake_has_its_sentence(changes: dict[str, Any], problem: str) -> None:
    assert problems_of(**changes) == [problem]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ([{"ID": "1", "cause": "ipre"}], "input"),
        ({"records": [{"ID": "1", "cause": "ipre"}]}, "input"),
        ({"data": {"eava": [["1", "ipre"]]}}, "input"),
        ({"counts": [{"ID": "1", "cause": "ipre"}]}, "input.counts"),
        ({"counts": {"eava": [{"ID": "1", "cause": "ipre"}]}}, "input.counts"),
        ({"counts": {"eava": "use_example"}}, "input.counts"),
    ],
)
def test_individual_records_in_the_request_are_refused_with_the_reason(given: Any, path: str) -> None:
    assert problems_of(input=given) == [f"{path}: {INLINE_ROWS}"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"input": {"uri": "s3://AKIA123:hunter2@bucket/deaths.csv"}}, "input.uri"),
        ({"input": {"uri": ["s3://b/d.csv?X-Amz-Credential=hunter2"]}}, "input.uri"),
        ({"input": {"uri": {"eava": "s3://b/d.csv?AWSAccessKeyId=hunter2"}}}, "input.uri"),
        ({"output": "s3://key:hunter2@bucket"}, "output"),
        ({"matrix": {"source": "s3://key:hunter2@bucket/m.csv"}}, "matrix.source"),
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(changes: dict[str, Any], path: str) -> None:
    assert problems_of(**changes) == [f"{path}: {CREDENTIALS}"]
    with pytest.raises(ValidationError) as raised:  # what Prefect would log
        CalibrationRequest.model_validate(fields(**changes))
    assert "hunter2" not in str(raised.value)


def test_all_problems_are_told_at_once() -> None:
    found = problems_of(age_group=None, seed="abc", foo=1, shrinkage=4.0)
    assert [problem.split(":")[0] for problem in found] == ["age_group", "seed", "foo", "shrinkage"]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (
            {"strata": ["cause"]},
            "columns.strata: strata column 'cause': results have a column of that name; rename the "
            "column of the input",
        ),
        ({"strata": ["ID"]}, "columns.strata[1]: 'ID' is columns.id"),
        (
            {"strata": ["age"]},
            "columns.strata[1]: 'age' is age_group, which always makes strata: remove it here",
        ),
    ],
)
def test_strata_columns_that_cannot_be_are_refused(columns: dict[str, Any], problem: str) -> None:
    assert problems_of(input={"uri": "a.csv"}, columns=columns, age_group={"column": "age"}) == [problem]


def test_roll_ups_may_name_strata_columns_and_a_country_column() -> None:
    request = parse_request(
        fields(
            input={"uri": "a.csv"},
            columns={"strata": ["province", "year"]},
            country={"column": "land"},
            roll_ups=[["province"], ["country", "year"], []],
        )
    )
    assert request.roll_ups == (("province",), ("country", "year"), ())


@pytest.mark.parametrize("same", [[["country"], []], [["province"], ["age_group", "province"]]])
def test_levels_that_differ_only_in_age_group_and_country_are_refused(same: list[list[str]]) -> None:
    found = problems_of(
        input={"uri": "a.csv"},
        columns={"strata": ["province"]},
        age_group={"column": "age"},
        country={"column": "land"},
        roll_ups=same,
    )
    assert found == [
        "roll_ups[2]: is the same level as an earlier one (every level stays within one age group and "
        "country)"
    ]


def test_an_ensemble_takes_two_algorithms() -> None:
    assert not parse_request(fields()).ensemble_used
    both = {"eava": {"ipre": 1}, "interva": {"ipre": 1}}
    assert parse_request(fields(algorithms=["eava", "interva"], input={"counts": both})).ensemble_used


def test_a_request_survives_the_way_through_json() -> None:
    request = parse_request(
        fields(
            input={"uri": {"eava": ["a.csv", "b.csv"]}},
            columns={"strata": ["province"]},
            roll_ups=[["province"], []],
        )
    )
    assert parse_request(json.loads(request.model_dump_json())) == request
    assert parse_request(request.model_dump()) == request


def test_the_schema_refuses_unknown_fields_everywhere_and_describes_every_field() -> None:
    schema = CalibrationRequest.model_json_schema()
    for part in [schema, *schema["$defs"].values()]:
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert all(field.get("description") for field in part["properties"].values())
    assert schema["required"] == ["name", "input", "age_group", "country", "algorithms"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_a_valid_request(path: Path) -> None:
    if path.suffix in (".yaml", ".json"):
        assert load_request(path).name == path.stem


def test_addresses_in_a_request_file_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    given = {"uri": {"eava": ["data/a.csv", "s3://b/c.csv", "/data/d.csv"]}}
    file.write_text(json.dumps(fields(input=given, matrix={"source": "m.csv"}, output="results")))
    request = load_request(file)
    assert request.input.uri == {"eava": (f"{tmp_path}/data/a.csv", "s3://b/c.csv", "/data/d.csv")}
    assert request.matrix.source == f"{tmp_path}/m.csv"
    assert request.output == "results"


@pytest.mark.parametrize(
    "name", ["champs-2025.csv", "champs-2.1.json", "illustrative.csv", "inventory.parquet"]
)
def test_own_matrices_are_looked_for_beside_the_request_whatever_their_name(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(fields(matrix={"source": name})))
    assert load_request(file).matrix.source == f"{tmp_path}/{name}"


@pytest.mark.parametrize("source", ["inventory", "illustrative"])
def test_named_matrices_are_no_addresses(tmp_path: Path, source: str) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(fields(matrix={"source": source})))
    assert load_request(file).matrix.source == source


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("r.yaml", "name: a\nname: b\n", "line 1: 'name' is given more than once"),
        ("r.json", '{"name": "a", "name": "b"}', "'name' is given more than once"),
        ("r.yaml", "name: [a\n", "is not YAML (line 2: expected ',' or ']', but got '<stream end>')"),
        ("r.json", "{", "is not JSON (line 1: Expecting property name enclosed in double quotes)"),
        ("r.yaml", "- a\n", "must be a map of the request's fields, such as name: moz-2023"),
        ("r.yaml", "", "must be a map of the request's fields, such as name: moz-2023"),
    ],
)
def test_a_file_that_is_no_request_says_so(tmp_path: Path, name: str, text: str, problem: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(InputError) as raised:
        load_request(file)
    assert raised.value.problems == (f"{file}: {problem}",)


def test_a_request_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"r\.yaml: cannot be read \(No such file or directory\)"):
        load_request(tmp_path / "r.yaml")


def test_the_reference_of_the_fields_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("document_request", ROOT / "script" / "document_request.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (ROOT / "docs" / "requests.md").read_text(encoding="utf-8")
    assert module.with_reference(page) == page, "run script/document_request.py"


def test_results_go_to_the_installations_store_where_a_request_names_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VACAL_STORE", "s3://office/store")
    settings.cache_clear()
    try:
        assert parse_request(fields()).output == "s3://office/store"
        assert parse_request({**fields(), "output": "here"}).output == "here"
    finally:
        monkeypatch.undo()
        settings.cache_clear()
