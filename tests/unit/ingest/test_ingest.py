"""Known answers: what inputs in order become."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ROOT
from support.ingest_made import accounted, counts, csv, deaths, fields, of_file, tabulated

from tasks.errors import InputError
from tasks.ingest.tabulate import check_records_add_up
from tasks.request.model import load_request, parse_request

DATA = ROOT.parent / "shared" / "data"
REFERENCE = DATA / "reference.json"
COMSA = DATA / "comsamoz_CCVAoutput.rda"
NEONATE = "age_group=neonate/country=Mozambique"


def test_inline_counts_become_broad_causes_and_all_is_accounted_for() -> None:
    given = {"eava": {"Pneumonia": 3, "ipre": 4, "intrapartum": 1, "Unspecified": 5, "sepsis": 0}}
    found = tabulated(parse_request(fields(input={"counts": given})))
    assert counts(found) == {"eava": {"pneumonia": 3, "ipre": 5}}
    assert accounted(found) == {("used", ""): 8, ("excluded", "undetermined_cause"): 5}
    assert deaths(found) == {NEONATE: 13}


def test_records_of_a_column_are_counted_by_algorithm_and_stratum(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        """ID,cause,algorithm,age_group,land,province,year
        1,Pneumonia,EAVA,neonate,MOZ,Nampula,2023
        2,Birth asphyxia,eava,neonate,Mozambique,Nampula,2023
        1,Malaria,interva,neonate,mozambique,Nampula,2023
        3,Malaria,interva,child,Mali,Kayes,2022
        3,Malaria,eava,child,Mali,Kayes,2022""",
    )
    found = tabulated(
        of_file(
            path,
            columns={"strata": ["province", "year"]},
            age_group={"column": "age_group"},
            country={"column": "land"},
            algorithms=["eava", "interva"],
        )
    )
    child = "age_group=child/country=Mali/province=Kayes/year=2022"
    neonate = "age_group=neonate/country=Mozambique/province=Nampula/year=2023"
    assert found.counts.to_pylist() == [
        {"stratum": child, "algorithm": "eava", "cause": "malaria", "deaths": 1},
        {"stratum": child, "algorithm": "interva", "cause": "malaria", "deaths": 1},
        {"stratum": neonate, "algorithm": "eava", "cause": "ipre", "deaths": 1},
        {"stratum": neonate, "algorithm": "eava", "cause": "pneumonia", "deaths": 1},
        {"stratum": neonate, "algorithm": "interva", "cause": "sepsis_meningitis_inf", "deaths": 1},
    ]
    assert found.strata.to_pylist() == [
        {
            "stratum": child,
            "age_group": "child",
            "country": "Mali",
            "province": "Kayes",
            "year": "2022",
            "deaths": 1,
        },
        {
            "stratum": neonate,
            "age_group": "neonate",
            "country": "Mozambique",
            "province": "Nampula",
            "year": "2023",
            "deaths": 2,
        },
    ]


@pytest.mark.parametrize("case", ["neonate", "child"])
def test_real_individual_records_give_the_published_counts(tmp_path: Path, case: str) -> None:
    if not COMSA.exists() or not REFERENCE.exists():
        pytest.skip("no ../shared/data/comsamoz_CCVAoutput.rda: real individual-level input is not here")
    import rdata

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the parser's, about a class attribute that is not needed
        records = rdata.read_rda(COMSA)["comsamoz_CCVAoutput"][case]
    uris = {}
    for algorithm, frame in records.items():  # column cause or cause1, as the algorithms' software names it
        uris[algorithm] = str(tmp_path / f"{algorithm}.csv")
        frame.assign(ID=frame["ID"].astype(int)).to_csv(uris[algorithm], index=False)
    found = tabulated(parse_request(fields(input={"uri": uris}, age_group=case, algorithms=list(uris))))
    published = json.loads(REFERENCE.read_text())[f"moz_{case}_ensemble"]["deaths_uncalibrated"]
    assert counts(found) == {
        algorithm: {cause: n for cause, n in causes.items() if n} for algorithm, causes in published.items()
    }
    undetermined = {"neonate": 250, "child": 439}[case]
    assert accounted(found)[("excluded", "undetermined_cause")] == undetermined
    assert sum(deaths(found).values()) == {"neonate": 1190, "child": 2798}[case]


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "examples").glob("*.yaml")) + sorted((ROOT / "examples").glob("*.json")),
    ids=lambda p: p.name,
)
def test_every_example_can_be_tabulated(path: Path) -> None:
    found = tabulated(load_request(path))
    assert found.counts.num_rows
    assert {row["disposition"] for row in found.records.to_pylist()} <= {"used", "excluded"}


@pytest.mark.parametrize(
    ("example", "case"),
    [
        ("comsa-mozambique-neonate", "moz_neonate_ensemble"),
        ("comsa-mozambique-child", "moz_child_ensemble"),
        ("ca-code-bangladesh", "cacode_bangladesh_neonate_eava"),
    ],
)
def test_the_examples_are_the_reference_cases(example: str, case: str) -> None:
    if not REFERENCE.exists():
        pytest.skip("no ../shared/data/reference.json here")
    published = json.loads(REFERENCE.read_text())[case]["deaths_uncalibrated"]
    found = counts(tabulated(load_request(ROOT / "examples" / f"{example}.yaml")))
    assert found == {a: {cause: n for cause, n in causes.items() if n} for a, causes in published.items()}


def test_a_study_cause_map_keeps_the_study_causes(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,lri\n2,LRI\n3,Tetanus\n4,Unknown")
    found = tabulated(of_file(path, study_cause_map={"LRI": "pneumonia", "Tetanus": "sepsis_meningitis_inf"}))
    assert counts(found) == {"eava": {"LRI": 2, "Tetanus": 1}}


def test_causes_of_ones_own_matrices_are_understood(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,Fever\n2,pneumonia")
    found = tabulated(of_file(path), broad_causes={"neonate": ["fever", "pneumonia"]})
    assert counts(found) == {"eava": {"fever": 1, "pneumonia": 1}}


def test_ids_are_text(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n00123,ipre\n123,ipre\n1e2,ipre\n100,ipre")
    assert deaths(tabulated(of_file(path))) == {NEONATE: 4}


def test_the_same_id_of_two_algorithms_is_one_death(tmp_path: Path) -> None:
    one, two = (
        csv(tmp_path, "ID,cause\n1,ipre\n2,ipre", "e.csv"),
        csv(tmp_path, "ID,cause\n2,ipre\n3,ipre", "i.csv"),
    )
    given = {"uri": {"eava": str(one), "interva": str(two)}}
    found = tabulated(parse_request(fields(input=given, algorithms=["eava", "interva"])))
    assert deaths(found) == {NEONATE: 3}


def test_whole_numbers_that_became_floats_are_the_same_ids(tmp_path: Path) -> None:
    pq.write_table(pa.table({"ID": [1.0, 2.0], "cause": ["ipre", "ipre"]}), tmp_path / "e.parquet")
    two = csv(tmp_path, "ID,cause\n1,ipre\n2,ipre", "i.csv")
    given = {"uri": {"eava": str(tmp_path / "e.parquet"), "interva": str(two)}}
    assert deaths(tabulated(parse_request(fields(input=given, algorithms=["eava", "interva"])))) == {
        NEONATE: 2
    }


def test_a_small_district_without_some_causes_works(tmp_path: Path) -> None:
    assert counts(tabulated(of_file(csv(tmp_path, "ID,cause\n1,ipre")))) == {"eava": {"ipre": 1}}


def test_broad_and_specific_causes_may_be_mixed(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,sepsis_meningitis_inf\n2,Neonatal sepsis\n3,Other\n4,other")
    assert counts(tabulated(of_file(path))) == {"eava": {"sepsis_meningitis_inf": 2, "other": 2}}


def test_blank_and_missing_causes_are_counted_on_their_own(tmp_path: Path) -> None:
    path = csv(tmp_path, 'ID,cause\n1,ipre\n2,\n3,"  "\n4,NA\n5,Unspecified')
    found = tabulated(of_file(path))
    assert accounted(found) == {
        ("used", ""): 1,
        ("excluded", "blank_cause"): 3,
        ("excluded", "undetermined_cause"): 1,
    }


def test_outer_white_space_does_not_split_counts(tmp_path: Path) -> None:
    path = csv(tmp_path, 'ID,cause,province\n1,"ipre ",A\n2," IPRE","A "\n3,ipre,A')
    found = tabulated(of_file(path, columns={"strata": ["province"]}))
    assert found.counts.to_pylist() == [
        {"stratum": f"{NEONATE}/province=A", "algorithm": "eava", "cause": "ipre", "deaths": 3}
    ]


def test_unmapped_causes_can_be_excluded_and_are_reported(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,ipre\n2,Snake bite\n3,Snake bite")
    found = tabulated(of_file(path, unmapped_causes="exclude"))
    assert accounted(found) == {("used", ""): 1, ("excluded", "unmapped_cause"): 2}
    assert found.causes.to_pylist()[0] == {
        "age_group": "neonate",
        "algorithm": "eava",
        "label": "Snake bite",
        "cause": None,
        "treatment": "unmapped",
        "records": 2,
    }


def test_the_mapping_table_shows_few_unknown_labels_and_each_in_part(tmp_path: Path) -> None:
    rows = "\n".join(f"{n},free text number {n} {'x' * 80}" for n in range(30))
    found = tabulated(of_file(csv(tmp_path, f"ID,cause\n{rows}\n99,ipre"), unmapped_causes="exclude"))
    unmapped = [row for row in found.causes.to_pylist() if row["treatment"] == "unmapped"]
    assert len(unmapped) == 21
    assert unmapped[0]["label"] == "(other labels)"
    assert unmapped[0]["records"] == 10
    assert all(len(row["label"]) <= 60 for row in unmapped)


def test_a_matrix_of_ones_and_zeros_is_read(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,Pneumonia,ipre,Unspecified,weight\n1,1,0,0,7\n2,0,1.0,0,8\n3,0,0,1,9")
    found = tabulated(of_file(path, layout="matrix"))
    assert counts(found) == {"eava": {"pneumonia": 1, "ipre": 1}}
    assert accounted(found)[("excluded", "undetermined_cause")] == 1


def test_a_matrix_without_ids_says_that_duplicates_cannot_be_found(tmp_path: Path) -> None:
    found = tabulated(of_file(csv(tmp_path, "pneumonia,ipre\n1,0\n0,1\n0,1"), layout="matrix"))
    assert deaths(found) == {NEONATE: 3}
    assert "the input has no IDs: duplicate deaths cannot be found" in found.notes


def test_a_table_of_counts_is_read(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        """algorithm,cause,deaths,province
        eava,Sepsis,3,A
        eava,NNT,4.0,A
        eava,Unspecified,5,A
        interva,ipre,1e+01,A
        interva,ipre,0,B""",
    )
    columns = {"strata": ["province"]}
    found = tabulated(of_file(path, layout="counts", columns=columns, algorithms=["eava", "interva"]))
    assert counts(found) == {"eava": {"sepsis_meningitis_inf": 7}, "interva": {"ipre": 10}}
    assert deaths(found) == {f"{NEONATE}/province=A": 12, f"{NEONATE}/province=B": 0}


def test_records_of_a_known_algorithm_that_was_not_asked_for_are_reported(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause,algorithm\n1,ipre,eava\n1,anything,InterVA\n1,anything,interva")
    found = tabulated(of_file(path))
    assert accounted(found) == {("used", ""): 1, ("excluded", "algorithm_not_requested"): 2}
    assert deaths(found) == {NEONATE: 1}


def test_keys_of_strata_escape_what_divides_them(tmp_path: Path) -> None:
    path = csv(tmp_path, 'ID,cause,province\n1,ipre,A/B=C%\n2,ipre,\n3,ipre,"Zambézia, N"')
    found = tabulated(of_file(path, columns={"strata": ["province"]}))
    assert list(deaths(found)) == [
        f"{NEONATE}/province=(missing)",
        f"{NEONATE}/province=A%2FB%3DC%25",
        f"{NEONATE}/province=Zambézia, N",
    ]
    assert found.strata["province"].to_pylist() == ["(missing)", "A/B=C%", "Zambézia, N"]


def test_the_checksum_is_of_the_content_not_of_the_name(tmp_path: Path) -> None:
    text = "ID,cause\n1,ipre"
    first, second = csv(tmp_path, text, "a.csv"), csv(tmp_path, text, "b/c.csv")
    other = csv(tmp_path, "ID,cause\n1,other", "d.csv")
    one, two, three = (tabulated(of_file(path)) for path in (first, second, other))
    assert one.checksum == two.checksum != three.checksum
    assert one.sources[0]["bytes"] == first.stat().st_size


def test_swapping_the_files_of_two_algorithms_changes_the_checksum(tmp_path: Path) -> None:
    a, b = str(csv(tmp_path, "ID,cause\n1,ipre", "a.csv")), str(csv(tmp_path, "ID,cause\n1,other", "b.csv"))
    found = [
        tabulated(parse_request(fields(input={"uri": uri}, algorithms=["eava", "interva"]))).checksum
        for uri in ({"eava": a, "interva": b}, {"eava": b, "interva": a})
    ]
    assert found[0] != found[1]


def test_a_table_that_does_not_add_up_fails_the_run(tmp_path: Path) -> None:
    found = tabulated(of_file(csv(tmp_path, "ID,cause\n1,ipre\n2,ipre")))
    short = found.records.set_column(4, "records", pa.array([1], pa.int64()))
    with pytest.raises(RuntimeError, match="records do not add up in stratum age_group=neonate"):
        check_records_add_up(found, short)


def test_moving_records_to_not_fitted_still_adds_up(tmp_path: Path) -> None:
    found = tabulated(of_file(csv(tmp_path, "ID,cause\n1,ipre\n2,ipre")))
    moved = found.records.set_column(2, "disposition", pa.array(["not_fitted"]))
    check_records_add_up(found, moved)


def test_an_unknown_cause_in_the_request_itself_is_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,LRI")
    request = of_file(path, study_cause_map={"LRI": "pnuemonia"}, do_not_calibrate=["othr"])
    with pytest.raises(InputError) as raised:
        tabulated(request)
    assert raised.value.problems == (
        "study_cause_map.LRI: 'pnuemonia' is no broad cause of age group neonate; nearest: pneumonia",
        "do_not_calibrate: 'othr' is no cause of age group neonate; nearest: other",
    )
