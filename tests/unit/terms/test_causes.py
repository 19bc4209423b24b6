from __future__ import annotations

import csv
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.terms.causes import (
    AGE_GROUPS,
    BROAD_CAUSES,
    STILLBIRTHS,
    UNDETERMINED,
    CauseList,
    cause_map,
    convert,
    only_in_who_2022,
    other_age_group,
    who_map,
)


def test_the_map_has_the_138_known_names_and_the_broad_causes() -> None:
    assert {age: len(BROAD_CAUSES[age]) for age in AGE_GROUPS} == {"neonate": 6, "child": 9}
    specific = {age: [name for name in cause_map(age) if name not in BROAD_CAUSES[age]] for age in AGE_GROUPS}
    shared = {age: len(cause_map(age)) - len(specific[age]) for age in AGE_GROUPS}
    assert shared == {"neonate": 6, "child": 9}
    # rows of the table that are broad names themselves: neonate other, pneumonia, prematurity;
    # child pneumonia, malaria, injury, other
    assert len(specific["neonate"]) + len(specific["child"]) == 138 - 7


@pytest.mark.parametrize("age_group", AGE_GROUPS)
def test_every_known_name_maps_to_a_broad_cause_of_its_age_group(age_group: str) -> None:
    assert set(cause_map(age_group).values()) == set(BROAD_CAUSES[age_group])


@pytest.mark.parametrize("age_group", AGE_GROUPS)
def test_broad_causes_map_to_themselves(age_group: str) -> None:
    for cause in BROAD_CAUSES[age_group]:
        assert CauseList(age_group).match(cause).cause == cause


@pytest.mark.parametrize(
    ("age_group", "label", "cause"),
    [
        ("neonate", "Birth asphyxia", "ipre"),
        ("neonate", "NNT", "sepsis_meningitis_inf"),
        ("neonate", "Malaria", "sepsis_meningitis_inf"),
        ("child", "Malaria", "malaria"),
        ("child", "AIDS", "hiv"),
        ("child", "Diarrhoeal diseases", "diarrhea"),
        ("child", "Other and unspecified neonatal CoD", "other"),
        ("child", "other", "other"),
    ],
)
def test_specific_causes_map_as_published(age_group: str, label: str, cause: str) -> None:
    assert CauseList(age_group).match(label).cause == cause


@given(st.sampled_from(sorted(cause_map("child"))), st.data())
def test_case_and_outer_white_space_do_not_matter(label: str, data: st.DataObject) -> None:
    written = "".join(data.draw(st.sampled_from([c.upper(), c.lower()])) for c in label)
    padded = data.draw(st.sampled_from(["", " ", "\t "])) + written + data.draw(st.sampled_from(["", "  "]))
    assert CauseList("child").match(padded).cause == cause_map("child")[label]


@pytest.mark.parametrize("age_group", AGE_GROUPS)
@pytest.mark.parametrize("label", [*UNDETERMINED, "unspecified", " UNKNOWN "])
def test_undetermined_is_neither_other_nor_unmapped(age_group: str, label: str) -> None:
    match = CauseList(age_group).match(label)
    assert (match.cause, match.treatment) == (None, "undetermined")


def test_a_blank_cause_is_counted_on_its_own() -> None:
    assert CauseList("child").match(" ").treatment == "blank"
    assert CauseList("child").match(None).treatment == "blank"


def test_an_unknown_label_keeps_its_neighbours_mapped() -> None:
    found = convert(["pneumonia", "Pnuemonia", "Neonatal sepsis"], "neonate")
    assert [match.cause for match in found] == ["pneumonia", None, "sepsis_meningitis_inf"]
    assert found[1].treatment == "unmapped"


def test_nearest_names_are_offered_and_far_ones_are_not() -> None:
    assert CauseList("neonate").nearest("Pnuemonia")[0] == "pneumonia"
    assert CauseList("neonate").nearest("xyz") == []


def test_a_cause_of_the_other_age_group_is_recognised() -> None:
    assert other_age_group("nn_causes", "neonate") == "child"
    assert other_age_group("IPRE", "child") == "neonate"
    assert other_age_group("pneumonia", "child") == "neonate"
    assert other_age_group("xyz", "child") is None


def test_a_study_map_replaces_the_standard_names() -> None:
    causes = CauseList("neonate", {"LRI": "pneumonia", "Unknown": "other"})
    assert causes.match("lri ").cause == "LRI"
    assert causes.match("unknown").cause == "Unknown"
    assert causes.match("Unspecified").treatment == "undetermined"
    assert causes.match("pneumonia").treatment == "unmapped"


def test_other_matrices_bring_their_own_causes() -> None:
    causes = CauseList("child", broad_causes=["malaria", "fever"])
    assert causes.match("Fever").cause == "fever"
    assert causes.match("Malaria").cause == "malaria"
    assert causes.match("pneumonia").treatment == "unmapped"


@pytest.mark.parametrize("age_group", AGE_GROUPS)
def test_a_name_of_2016_and_one_of_2022_for_the_same_code_have_the_same_broad_cause(age_group: str) -> None:
    text = files("tasks.terms").joinpath("who2022_causes.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        if row["interva5"]:
            assert cause_map(age_group)[row["interva5"]] == row[age_group]
        if row["who_2016"]:
            assert who_map(age_group)[row["who_2016"].lower()] == row[age_group]


@pytest.mark.parametrize(
    ("label", "cause", "newer"),
    [
        ("10.01 Prematurity", "prematurity", False),
        ("VAs-10.01 Prematurity", "prematurity", False),
        ("vas-10.01 prematurity or low birth weight", "prematurity", True),
        ("10.03 Prematurity", None, False),
        ("98 Other and unspecified non-communicable disease", "other", False),
    ],
)
def test_a_name_after_its_own_code_is_the_name(label: str, cause: str | None, newer: bool) -> None:
    assert CauseList("neonate").match(label).cause == cause
    assert only_in_who_2022(label, "neonate") == newer


def test_what_a_label_means_goes_before_the_name_and_holds_after_a_code() -> None:
    causes = CauseList("neonate", cause_labels={"Neonatal sepsis": "other", "P95": "Stillbirth"})
    assert causes.match("10.04 Neonatal sepsis").cause == "other"
    assert causes.match("P95").treatment == "stillbirth"


@pytest.mark.parametrize("word", STILLBIRTHS)
def test_labels_of_stillbirths_count_as_other_where_stillbirths_do(word: str) -> None:
    causes = CauseList("child", cause_labels={"P95": word}, stillbirths="other")
    assert causes.match("P95").cause == "other"


def test_under_a_study_map_a_code_is_no_code() -> None:
    assert CauseList("neonate", {"Prematurity": "prematurity"}).match("10.01 Prematurity").cause is None
