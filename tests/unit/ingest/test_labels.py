"""Labels that mean a broad cause, the WHO 2022 list, stillbirths: what they become, and that no number moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.ingest_made import (
    accounted,
    counts,
    csv,
    deaths,
    fields,
    of_file,
    problems_of,
    refused,
    tabulated,
)

from tasks.errors import InputError
from tasks.request import CalibrationRequest, parse_request
from tasks.run import prepare

LABELS = {
    "P07": "prematurity",
    "P20-P29": "ipre",
    "A00-B99": "sepsis_meningitis_inf",
    "Pneumonie": "Pneumonia",
    "Q00\N{EN DASH}Q99": "congenital_malformation",
    "R99": "other",
    "R95": "Undetermined",
}
BROAD = {
    "P07.3": "prematurity", "p072": "prematurity", "P21.9": "ipre", "A41.9": "sepsis_meningitis_inf",
    "B99": "sepsis_meningitis_inf", "PNEUMONIE": "pneumonia", "Q24.9": "congenital_malformation",
    "R99": "other", "R95.0": "Undetermined", "prematurity": "prematurity",
}  # fmt: skip
DEATHS = {label: 3 + 2 * place for place, label in enumerate(BROAD)}


def records(folder: Path, say: Callable[[str], str]) -> CalibrationRequest:
    causes = [say(label) for label, n in DEATHS.items() for _ in range(n)]
    lines = "\n".join(f"{i},{cause}" for i, cause in enumerate(causes))
    return of_file(csv(folder, f"ID,cause\n{lines}"))


def matrix(folder: Path, say: Callable[[str], str]) -> CalibrationRequest:
    columns = list(dict.fromkeys(map(say, BROAD)))
    causes = [say(label) for label, n in DEATHS.items() for _ in range(n)]
    cells = (",".join("1" if name == cause else "0" for name in columns) for cause in causes)
    lines = "\n".join(f"{i},{row}" for i, row in enumerate(cells))
    return of_file(csv(folder, f"ID,{','.join(columns)}\n{lines}"), layout="matrix")


def table(folder: Path, say: Callable[[str], str]) -> CalibrationRequest:
    lines = "\n".join(f"{say(label)},{n},{label}" for label, n in DEATHS.items())
    return of_file(csv(folder, f"cause,deaths,was\n{lines}"), layout="counts")


def inline(folder: Path, say: Callable[[str], str]) -> CalibrationRequest:
    given: dict[str, int] = {}
    for label, n in DEATHS.items():
        given[say(label)] = given.get(say(label), 0) + n
    return parse_request(fields(input={"counts": {"eava": given}}))


def with_labels(request: CalibrationRequest, labels: dict[str, Any] = LABELS) -> CalibrationRequest:
    return parse_request(request.model_dump() | {"cause_labels": labels})


@pytest.mark.parametrize("layout", [records, matrix, table, inline])
def test_labels_and_their_broad_causes_are_the_same_work_to_the_last_bit(
    layout: Callable[..., CalibrationRequest], tmp_path: Path
) -> None:
    broad = layout(tmp_path / "broad", lambda label: BROAD[label])
    coded = with_labels(layout(tmp_path / "coded", lambda label: label))
    ours, theirs = (prepare(request.model_copy(update={"matrix": _made_up()})) for request in (broad, coded))
    assert ours.tabulation.counts.equals(theirs.tabulation.counts)
    assert ours.tabulation.records.equals(theirs.tabulation.records)
    assert ours.tabulation.strata.equals(theirs.tabulation.strata)
    for one, two in zip(ours.chunks, theirs.chunks, strict=True):
        assert one.id == two.id
        for name, value in vars(one.batch).items():
            assert np.array_equal(value, getattr(two.batch, name)), name


def _made_up() -> Any:
    return parse_request(fields(matrix={"source": "illustrative"})).matrix


def test_each_age_group_can_have_labels_of_its_own(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause,age\n1,P07,neonate\n2,A09,neonate\n3,A09,child\n4,P07,child")
    labels = {
        "neonate": {"P00-P96": "prematurity", "A00-B99": "sepsis_meningitis_inf"},
        "child": {"P00-P96": "nn_causes", "A09": "diarrhea"},
    }
    found = tabulated(of_file(path, age_group={"column": "age"}, cause_labels=labels))
    assert counts(found)["eava"] == {
        "prematurity": 1,
        "sepsis_meningitis_inf": 1,
        "diarrhea": 1,
        "nn_causes": 1,
    }


def test_a_flat_map_that_one_age_group_cannot_have_asks_for_two(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause,age\n1,P07,neonate\n2,P07,child")
    request = of_file(path, age_group={"column": "age"}, cause_labels={"P07": "prematurity"})
    assert refused(request, tmp_path) == [
        "cause_labels: 'P07' is said to mean 'prematurity', which is no broad cause of age group child; give "
        "each age group a map of its own: {neonate: {...}, ...}"
    ]


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ({}, "is empty: leave it out, or name the labels"),
        ({"a": "other", "A ": "other"}, "'a' is given more than once"),
        ({"A00-B99": "other", "A41": "other"}, "'A00-B99' and 'A41' have codes in common"),
        ({"P07": "other", "P07.3": "other"}, "'P07' and 'P07.3' have codes in common"),
        ({"A50-B20": "other", "B20.1-C10": "other"}, "'A50-B20' and 'B20.1-C10' have codes in common"),
        ({"B99-A00": "other"}, "'B99-A00' ends before it begins"),
        ({" ": "other"}, "an empty label is a missing cause"),
        ({"child": {"A00": "other"}}, "is never used: the request's age group is neonate"),
        ("codes.csv", "must be a map from label to broad cause"),
    ],
)
def test_a_map_that_is_wrong_or_ambiguous_is_refused(labels: Any, problem: str) -> None:
    (found,) = problems_of(cause_labels=labels)
    assert found.startswith("cause_labels")
    assert problem in found


def test_a_map_beside_a_study_map_is_refused() -> None:
    (found,) = problems_of(cause_labels={"A": "other"}, study_cause_map={"A": "other"})
    assert found.startswith("cause_labels: cannot be given together with study_cause_map")


def test_an_unknown_target_is_refused_with_the_nearest_cause() -> None:
    request = parse_request(fields(cause_labels={"A00-B99": "sepsis"}))
    with pytest.raises(InputError, match=r"'A00-B99' is said to mean 'sepsis', which is no broad cause"):
        tabulated(request)


def test_what_is_no_code_of_a_range_stays_unknown(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,A00\n2,C00\n3,P07")
    found = refused(of_file(path, cause_labels={"A00-B99": "other", "P07.3": "other"}), tmp_path)
    assert ["'C00'" in found[0], "'P07'" in found[1], len(found)] == [True, True, 3]


def test_the_hint_for_codes_names_the_field_that_changes_no_result(tmp_path: Path) -> None:
    text = "\n".join(refused(of_file(csv(tmp_path, "ID,cause\n1,P36.9")), tmp_path))
    assert "cause_labels" in text
    assert "study_cause_map" not in text


# --- the WHO 2022 list


def test_names_of_the_who_2022_list_are_known_alone_and_after_their_code(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        """ID,cause
        1,Acute respiratory infection including (non-neonatal) pneumonia
        2,Tetanus (non-neonatal)
        3,Prematurity or low birth weight
        4,Coronavirus disease (COVID-19)
        5,01.04 Diarrhoeal diseases""",
    )
    assert counts(tabulated(of_file(path, age_group="child")))["eava"] == {
        "pneumonia": 1, "other_infections": 2, "nn_causes": 1, "diarrhea": 1,
    }  # fmt: skip


def test_a_code_of_the_who_before_another_name_is_not_taken_for_it(tmp_path: Path) -> None:
    (problem, _) = refused(of_file(csv(tmp_path, "ID,cause\n1,01.05 Diarrhoeal diseases")), tmp_path)
    assert "'01.05 Diarrhoeal diseases' is not a known cause" in problem


# --- stillbirths

BIRTHS = "ID,cause\n1,Fresh stillbirth\n2,macerated stillbirth\n3,ipre\n4,Other\n5,Stillbirth"


def test_stillbirths_are_left_out_counted_and_named(tmp_path: Path) -> None:
    found = tabulated(of_file(csv(tmp_path, BIRTHS)))
    assert counts(found) == {"eava": {"ipre": 1, "other": 1}}
    assert accounted(found) == {("excluded", "stillbirth"): 3, ("used", ""): 2}
    assert deaths(found) == {"age_group=neonate/country=Mozambique": 2}  # a stillbirth is no death of it
    assert any(note.startswith("3 records of stillbirths are left out") for note in found.notes)


def test_stillbirths_count_as_other_where_the_request_says_so(tmp_path: Path) -> None:
    found = tabulated(of_file(csv(tmp_path, BIRTHS), stillbirths="other"))
    assert counts(found) == {"eava": {"ipre": 1, "other": 4}}
    assert deaths(found) == {"age_group=neonate/country=Mozambique": 5}


def test_a_map_may_say_what_a_stillbirth_means(tmp_path: Path) -> None:
    found = tabulated(of_file(csv(tmp_path, BIRTHS), cause_labels={"Fresh stillbirth": "ipre"}))
    assert counts(found) == {"eava": {"ipre": 2, "other": 1}}


# --- many records set aside


def test_many_records_set_aside_are_the_first_note(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},ipre,{'neonate' if i < 8 else ''}" for i in range(20))
    request = of_file(
        csv(tmp_path, f"ID,cause,age\n{rows}"), age_group={"column": "age"}, bad_records="reject"
    )
    assert tabulated(request).notes[0] == (
        "12 of 20 records (60%) are set aside and in no result: missing age group 12"
    )
