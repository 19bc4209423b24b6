"""Notes on an input that is in order: what would make its results other than the reader expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.ingest_made import counts, csv, fields, of_file, problems_of, tabulated

from tasks.request.model import CalibrationRequest, parse_request

BOTH = ["eava", "interva"]
INTERVA5 = "algorithm interva5 is read as interva: the matrices of interva are used"
SPLIT = (
    "age group neonate, Mozambique: eava gave a cause or none to 300 of 450 deaths received, interva to 150; "
    "0 are in both: did the algorithms see the same deaths, and are the IDs spelled alike?"
)


def _by_algorithm(folder: Path, **ids: range) -> CalibrationRequest:
    uri = {
        name: str(csv(folder, "ID,cause\n" + "\n".join(f"{n},ipre" for n in of), f"{name}.csv"))
        for name, of in ids.items()
    }
    return parse_request(fields(input={"uri": uri}, algorithms=list(ids)))


def _of_causes(age_group: str = "neonate", **deaths: int) -> list[str]:
    given = {"input": {"counts": {"eava": deaths}}, "age_group": age_group}
    return [note for note in tabulated(parse_request(fields(**given))).notes if "age group" in note]


@pytest.mark.parametrize("spelling", ["InterVA5", "InterVA-5", "interva4"])
def test_a_version_of_interva_in_the_algorithm_column_is_interva_and_is_said(
    tmp_path: Path, spelling: str
) -> None:
    path = csv(tmp_path, f"ID,cause,algorithm\n1,ipre,{spelling}\n1,ipre,InSilicoVA")
    found = tabulated(of_file(path, algorithms=["interva", "insilicova"]))
    assert counts(found) == {"interva": {"ipre": 1}, "insilicova": {"ipre": 1}}
    assert f"algorithm {spelling.lower()} is read as interva: the matrices of interva are used" in found.notes


@pytest.mark.parametrize("as_file", [True, False])
def test_a_version_of_interva_in_the_request_is_interva_and_is_said(tmp_path: Path, as_file: bool) -> None:
    given: dict[str, Any] = {"counts": {"InterVA5": {"ipre": 1}}}
    if as_file:
        given = {"uri": {"InterVA5": str(csv(tmp_path, "ID,cause\n1,ipre"))}}
    request = parse_request(fields(input=given, algorithms=["InterVA5"], do_not_calibrate={"InterVA5": []}))
    found = tabulated(request)
    assert request.algorithms == ("interva",)
    assert counts(found) == {"interva": {"ipre": 1}}
    assert INTERVA5 in found.notes


def test_the_name_itself_needs_no_note() -> None:
    found = tabulated(
        parse_request(fields(input={"counts": {"InterVA": {"ipre": 1}}}, algorithms=["interva"]))
    )
    assert not [note for note in found.notes if "is read as" in note]


@pytest.mark.parametrize("key", ["uri", "counts"])
def test_two_versions_of_interva_are_never_taken_for_one(key: str) -> None:
    of: Any = "a.csv" if key == "uri" else {"ipre": 1}
    (problem,) = problems_of(input={key: {"InterVA4": of, "InterVA5": of}}, algorithms=["interva"])
    assert problem.endswith("'interva' is given more than once (also spelled interva4, interva5)")


def test_algorithms_that_saw_different_deaths_are_told_with_counts(tmp_path: Path) -> None:
    assert SPLIT in tabulated(_by_algorithm(tmp_path, eava=range(300), interva=range(300, 450))).notes


def test_one_of_three_algorithms_that_saw_fewer_deaths_is_told(tmp_path: Path) -> None:
    request = _by_algorithm(tmp_path, eava=range(100), interva=range(100), insilicova=range(89))
    (note,) = (note for note in tabulated(request).notes if "deaths received" in note)
    assert "100 of 100 deaths received, interva to 100, insilicova to 89; 89 are in all: did" in note


def test_algorithms_that_saw_nearly_the_same_deaths_need_no_note(tmp_path: Path) -> None:
    notes = tabulated(_by_algorithm(tmp_path, eava=range(100), interva=range(5, 100))).notes
    assert not [note for note in notes if "deaths received" in note]


def test_deaths_seen_are_told_for_the_country_that_lacks_them_and_over_its_strata(tmp_path: Path) -> None:
    whole = [f"m{n},ipre,{a},Mozambique,{n % 2}" for n in range(20) for a in BOTH]
    part = [f"k{n},ipre,{BOTH[n % 2]},Kenya,{n}" for n in range(20)]
    path = csv(tmp_path, "\n".join(["ID,cause,algorithm,land,year", *whole, *part]))
    request = of_file(path, algorithms=BOTH, country={"column": "land"}, columns={"strata": ["year"]})
    (note,) = (note for note in tabulated(request).notes if "deaths received" in note)
    assert note.startswith("age group neonate, Kenya: eava gave a cause or none to 10 of 20 deaths received")


@pytest.mark.parametrize(
    ("age_group", "deaths", "note"),
    [
        (
            "neonate",
            {"pneumonia": 30, "sepsis_meningitis_inf": 4},
            "eava: no deaths at all from prematurity, ipre: is this really age group neonate?",
        ),
        (
            "neonate",
            {"ipre": 26, "other": 14},
            "eava: 35% of 40 mapped records are other: is this really age group neonate?",
        ),
        (
            "child",
            {"injury": 30},
            "eava: no deaths at all from pneumonia, diarrhea: is this really age group child?",
        ),
        (
            "child",
            {"pneumonia": 20, "diarrhea": 5, "nn_causes": 15},
            "eava: 38% of 40 mapped records are of neonatal causes: is this really age group child?",
        ),
    ],
)
def test_causes_that_the_age_group_hardly_has_put_it_in_doubt(
    age_group: str, deaths: dict[str, int], note: str
) -> None:
    assert _of_causes(age_group, **deaths) == [note]


def test_an_age_group_is_not_doubted_for_usual_causes_or_a_few_deaths() -> None:
    assert not _of_causes(prematurity=1, pneumonia=30, other=13)
    assert not _of_causes(pneumonia=19)


def test_study_causes_count_as_their_broad_cause_for_the_age_group() -> None:
    given = {"eava": {"LRI": 15, "Preterm": 15}}
    request = fields(input={"counts": given}, study_cause_map={"LRI": "pneumonia", "Preterm": "prematurity"})
    assert not [note for note in tabulated(parse_request(request)).notes if "age group" in note]


def test_values_of_strata_that_differ_in_spelling_only_are_counted_and_not_shown(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "ID,cause,province,year\n1,ipre,Zambézia,2022\n2,ipre,ZAMBEZIA,2022\n3,ipre,Cabo  Delgado,2023\n"
        "4,ipre,Cabo Delgado,2023\n5,ipre,Tete,2023\n6,ipre,,2023",
    )
    found = tabulated(of_file(path, columns={"strata": ["province", "year"]}, ensemble=False))
    assert found.notes == [
        "column 'province': 1 further spelling of a value (as 2023.0 is of 2023, or 01 of 1, or by spaces); "
        "the strata have one form of each",
        "column 'province': 1 value differs from another only in upper and lower case, spaces, accents, "
        "hyphens or apostrophes; each makes a stratum of its own",
    ]
