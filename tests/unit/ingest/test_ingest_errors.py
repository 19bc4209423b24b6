"""Bad input is refused before any work: every problem at once, in exact words, and no ID shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.ingest_made import accounted, counts, csv, deaths, fields, of_file, refused, tabulated

from tasks.errors import InputError, StorageError
from tasks.request.model import parse_request

GO_ON = "to go on without such rows, set bad_records: reject; they are then counted and reported"
LEAVE_OUT = (
    "to have labels of another list mean a broad cause (or Undetermined, or Stillbirth), name them in cause_labels; "
    "to leave unmapped causes out, counted and reported, set unmapped_causes: exclude (known causes: vacal causes {})"
)
OPEN_QUOTE = "a quotation mark is not closed, so that rows run into each other; correct the file"


def test_a_misspelled_cause_is_named_with_its_rows_its_count_and_the_nearest_names(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,Pnuemonia\n2,ipre\n3,Pnuemonia\n4,Xyz")
    assert refused(of_file(path), tmp_path) == [
        "deaths.csv, column 'cause', rows 2, 4: 'Pnuemonia' is not a known cause of age group neonate; "
        "nearest "
        "known: 'pneumonia' (2 records)",
        "deaths.csv, column 'cause', row 5: 'Xyz' is not a known cause of age group neonate (1 record)",
        LEAVE_OUT.format("neonate"),
    ]


def test_one_typo_does_not_turn_a_broad_file_into_a_specific_one(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,ipre\n2,prematurity\n3,pnemonia")
    (problem, _) = refused(of_file(path), tmp_path)
    assert "row 4: 'pnemonia' is not a known cause" in problem


def test_causes_of_the_other_age_group_ask_whether_the_age_group_is_right(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,nn_causes\n2,injury")
    assert refused(of_file(path), tmp_path)[:3] == [
        *(
            f"deaths.csv, column 'cause', row {row}: '{cause}' is not a known cause of age group neonate; it "
            "is a cause of age group child (1 record)"
            for row, cause in ((2, "nn_causes"), (3, "injury"))
        ),
        "2 of 2 cause labels of age group neonate belong to age group child: is the age group right?",
    ]


def test_the_age_group_is_not_doubted_where_most_labels_are_its_own(tmp_path: Path) -> None:
    path = csv(
        tmp_path, "ID,cause\n1,Sepsis\n2,Meningitis\n3,Diarrhea/Dysentery\n4,Malaria\n5,Pneumonia\n6,HIV"
    )
    found = refused(of_file(path, age_group="child"), tmp_path)
    assert found[0] == (
        "deaths.csv, column 'cause', row 2: 'Sepsis' is not a known cause of age group child; nearest known: "
        "'sepsis (non-obstetric)' (other_infections), 'neonatal sepsis' (other_infections), "
        "'pregnancy-related sepsis' (other_infections); it is a cause of age group neonate (1 record)"
    )
    assert "'meningitis and encephalitis' (other_infections)" in found[1]
    assert not any("is the age group right?" in line for line in found)


def test_undetermined_causes_are_refused_if_asked_for(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,ipre\n2,Unspecified\n3,unknown")
    assert refused(of_file(path, undetermined_causes="error"), tmp_path) == [
        "deaths.csv, column 'cause', row 3: 'Unspecified' says that no cause was determined (1 record)",
        "deaths.csv, column 'cause', row 4: 'unknown' says that no cause was determined (1 record)",
        "to leave undetermined causes out, counted and reported, set undetermined_causes: exclude",
    ]


def test_duplicate_ids_are_counted_and_never_shown(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\nuuid:7,ipre\n8,ipre\nuuid:7,other\n9,ipre\n9,ipre\n9,ipre")
    found = refused(of_file(path), tmp_path)
    assert found == [
        "deaths.csv, column 'ID', rows 2, 4, 5, 6, 7: 2 IDs of algorithm eava occur more than once, in 5 "
        "rows",
        GO_ON,
    ]
    assert "uuid" not in "".join(found)


@pytest.mark.parametrize(
    ("rows", "algorithms"),
    [("1,ipre,interva7\n2,ipre,interva7", ["interva"]), (",ipre,eava\n1,ipre,interva", ["eava", "interva"])],
)
def test_rejecting_is_not_advised_where_it_leaves_nothing(
    tmp_path: Path, rows: str, algorithms: list[str]
) -> None:
    path = csv(tmp_path, f"ID,cause,algorithm\n{rows}")
    assert refused(of_file(path, algorithms=algorithms), tmp_path)[-1] == (
        f"without such rows nothing is left of {algorithms[0]}: correct the input or the request"
    )


@pytest.mark.parametrize("code", ["P07.3", "p36", "P219", "A41.90"])
def test_an_icd_10_code_is_told_as_such(tmp_path: Path, code: str) -> None:
    assert refused(of_file(csv(tmp_path, f"ID,cause\n1,{code}")), tmp_path)[0] == (
        f"deaths.csv, column 'cause', row 2: '{code}' is not a known cause of age group neonate; it looks "
        "like an ICD-10 code: say in cause_labels which codes or ranges mean which broad cause (1 record)"
    )


@pytest.mark.parametrize("text", ["Deaths of 2023,,\nID,cause,sex\n1,ipre,f", "a,b\nx,y,z"])
def test_a_first_row_that_is_no_header_is_told_as_such(tmp_path: Path, text: str) -> None:
    assert refused(of_file(csv(tmp_path, text)), tmp_path)[0] == (
        "deaths.csv: has no column 'ID'; row 1 does not look like a header; it must hold the names of the "
        "columns"
    )


def test_duplicates_are_found_over_files_and_strata_of_one_algorithm(tmp_path: Path) -> None:
    one = csv(tmp_path, "ID,cause,province\n1,ipre,A\n2,ipre,A", "a.csv")
    two = csv(tmp_path, "ID,cause,province\n3,ipre,B\n1,ipre,B", "b.csv")
    assert refused(of_file([one, two], columns={"strata": ["province"]}), tmp_path) == [
        "a.csv, column 'ID', row 2; b.csv, column 'ID', row 3: 1 ID of algorithm eava occurs more than "
        "once, in 2 "
        "rows",
        GO_ON,
    ]


def test_many_bad_rows_show_the_first_five_and_the_number_of_the_others(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n" + "\n".join(",ipre" for _ in range(12)) + "\n1,ipre")
    assert refused(of_file(path), tmp_path) == [
        "deaths.csv, column 'ID', rows 2, 3, 4, 5, 6 and 7 more: 12 rows without an ID",
        GO_ON,
    ]


def test_missing_and_unknown_age_groups_countries_and_algorithms_are_told_at_once(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        """ID,cause,algorithm,age,land
        1,ipre,eava,neonate,Mozambique
        2,ipre,,neonate,Mozambique
        3,ipre,evaa,neonate,Mozambique
        4,ipre,eava,,Mozambique
        5,ipre,eava,adult,Mozambique
        6,ipre,eava,neonate,NA
        7,ipre,eava,neonate,Mozambik""",
    )
    request = of_file(path, age_group={"column": "age"}, country={"column": "land"})
    assert refused(request, tmp_path) == [
        "deaths.csv, column 'algorithm', row 3: 1 row without an algorithm",
        "deaths.csv, column 'algorithm', row 4: 'evaa' is not one of the algorithms eava; did you mean "
        "eava? (1 "
        "record)",
        "deaths.csv, column 'age', row 5: 1 row without an age group",
        "deaths.csv, column 'age', row 6: 'adult' is not one of the age groups neonate, child (1 record)",
        "deaths.csv, column 'land', row 7: 1 row without a country (NA is read as missing; for Namibia "
        "write its "
        "name)",
        "deaths.csv, column 'land', row 8: 'Mozambik' is not a country; nearest names: Mozambique, Zambia, "
        "Gambia (1 record)",
        GO_ON,
    ]


def test_reject_sets_bad_rows_aside_and_counts_them_by_reason(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        """ID,cause,algorithm,age,land
        1,ipre,eava,neonate,Mozambique
        2,ipre,,neonate,Mozambique
        3,ipre,evaa,neonate,Mozambique
        4,ipre,eava,,Mozambique
        5,ipre,eava,adult,Mozambique
        6,ipre,eava,neonate,NA
        7,ipre,eava,neonate,Mozambik
        ,ipre,eava,neonate,Mozambique
        9,ipre,eava,neonate,Mozambique
        9,other,eava,neonate,Mozambique
        10,ipre,eava,neonate,Mozambique,too many""",
    )
    found = tabulated(
        of_file(path, age_group={"column": "age"}, country={"column": "land"}, bad_records="reject")
    )
    neonate = "age_group=neonate/country=Mozambique"
    assert counts(found) == {"eava": {"ipre": 1}}
    assert [tuple(row.values()) for row in found.records.to_pylist()] == [
        ("(unknown)", "(unknown)", "rejected", "unreadable_row", 1),
        ("age_group=(another)/country=Mozambique", "eava", "rejected", "unknown_age_group", 1),
        ("age_group=(unknown)/country=Mozambique", "eava", "rejected", "missing_age_group", 1),
        ("age_group=neonate/country=(unknown)", "eava", "rejected", "missing_country", 1),
        ("age_group=neonate/country=(unknown)", "eava", "rejected", "unknown_country", 1),
        (neonate, "(unknown)", "rejected", "missing_algorithm", 1),
        (neonate, "(unknown)", "rejected", "unknown_algorithm", 1),
        (neonate, "eava", "rejected", "duplicate_id", 2),
        (neonate, "eava", "rejected", "missing_id", 1),
        (neonate, "eava", "used", None, 1),
    ]
    assert deaths(found) == {
        "(unknown)": 0,
        "age_group=(another)/country=Mozambique": 1,
        "age_group=(unknown)/country=Mozambique": 1,
        "age_group=neonate/country=(unknown)": 2,
        neonate: 2,
    }


def test_reject_does_not_set_unmapped_causes_aside(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,ipre\n2,Xyz")
    assert len(refused(of_file(path, bad_records="reject"), tmp_path)) == 2


def test_a_missing_column_is_named_with_the_one_that_may_be_meant(tmp_path: Path) -> None:
    path = csv(tmp_path, "Idd,cause_of_death,distrito\n1,ipre,A")
    request = of_file(path, columns={"cause": "cause of death", "strata": ["district", "year"]})
    assert refused(request, tmp_path) == [
        "deaths.csv: has no column 'district'; did you mean 'distrito'?",
        "deaths.csv: has no column 'year'; row 1 must hold the names of the columns",
        "deaths.csv: has no column 'ID'; did you mean 'Idd'? Then say so in columns.id",
        "deaths.csv: has no column 'cause of death'; did you mean 'cause_of_death'?",
    ]


def test_a_file_without_a_header_does_not_show_its_first_record(tmp_path: Path) -> None:
    found = refused(of_file(csv(tmp_path, "00123,Snake bite\n00124,ipre")), tmp_path)
    assert found == [
        f"deaths.csv: has no column '{name}'; row 1 must hold the names of the columns; if it has another name, "
        f"say so in columns.{field}"
        for name, field in (("ID", "id"), ("cause", "cause"))
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ID,cause,cause1\n1,ipre,ipre", "has both columns 'cause' and 'cause1'; say which in columns.cause"),
        ("ID,cause,cause\n1,ipre,ipre", "has more than one column 'cause'; rename the others"),
    ],
)
def test_an_ambiguous_cause_column_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    assert refused(of_file(csv(tmp_path, text)), tmp_path) == [f"deaths.csv: {problem}"]


def test_several_algorithms_need_a_column_or_a_file_each(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,ipre")
    assert refused(of_file(path, algorithms=["eava", "interva"]), tmp_path) == [
        "deaths.csv: has no column 'algorithm'; row 1 must hold the names of the columns; if it has another name, say "
        "so in columns.algorithm"
    ]


def test_an_algorithm_without_any_record_is_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause,algorithm\n1,ipre,eava")
    assert refused(of_file(path, algorithms=["eava", "interva"]), tmp_path) == [
        "the input has no records of algorithm interva, which the request names"
    ]


def test_an_input_without_a_usable_record_is_refused_with_the_reasons(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,Unspecified\n2,Unknown\n3,")
    assert refused(of_file(path), tmp_path) == [
        "no record of the input can be calibrated (undetermined cause 2, blank cause 1)"
    ]


def test_only_a_header_is_no_input(tmp_path: Path) -> None:
    assert refused(of_file(csv(tmp_path, "ID,cause")), tmp_path) == [
        "deaths.csv: has no rows below its header"
    ]


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert refused(of_file(csv(tmp_path, "")), tmp_path) == [
        "deaths.csv: is empty; its first row must hold the names of the columns"
    ]


def test_rows_of_another_length_are_refused_by_their_numbers(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,ipre\n2\n3,ipre,x\n4,Xyz")
    found = refused(of_file(path), tmp_path)
    assert (
        found[0]
        == "deaths.csv, rows 3, 4: 2 rows with more or fewer cells than row 1, which names the columns"
    )
    assert "row 5: 'Xyz'" in found[2]


def test_blank_rows_are_no_records_and_keep_the_row_numbers(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,ipre\n\n,\n4,Xyz\n\n")
    assert refused(of_file(path), tmp_path)[0].startswith("deaths.csv, column 'cause', row 5: 'Xyz'")
    found = tabulated(of_file(path, unmapped_causes="exclude"))
    assert accounted(found) == {("used", ""): 1, ("excluded", "unmapped_cause"): 1}
    assert any("blank row" in note for note in found.notes)


@pytest.mark.parametrize(
    "text", ['ID,cause\n1,"ipre\n2,ipre', 'ID,cause,note\n1,ipre,"a\n2,ipre,b\n3,ipre,c']
)
def test_a_quotation_mark_that_is_not_closed_does_not_swallow_records(tmp_path: Path, text: str) -> None:
    assert refused(of_file(csv(tmp_path, text)), tmp_path) == [f"deaths.csv: row 2: {OPEN_QUOTE}"]


def test_a_cell_of_several_lines_is_not_shown(tmp_path: Path) -> None:
    path = csv(tmp_path, 'ID,cause\n1,ipre\n2,"ipre\n77,ipre"')
    found = refused(of_file(path), tmp_path)
    assert (
        found[0]
        == f"deaths.csv, column 'cause', row 3: 1 row with a cell of several lines; most often {OPEN_QUOTE}"
    )
    assert "77" not in "".join(found)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deaths.csv"
    for text in ("ID,cause,província\n1,ipre,A\n", "ID,cause,p\n1,ipre,Zambézia\n"):
        path.write_bytes(text.encode("latin-1"))
        assert refused(of_file(path), tmp_path) == ["deaths.csv: is not UTF-8 text; save it as CSV UTF-8"]


def test_control_characters_of_a_label_are_made_visible_and_long_labels_cut(tmp_path: Path) -> None:
    path = csv(tmp_path, f"ID,cause\n1,ip\x1b[31mre\n2,{'y' * 90}")
    found = refused(of_file(path), tmp_path)
    assert "'ip\\x1b[31mre' is not" in found[0]
    assert f"'{'y' * 57}...' is not" in found[1]


def test_at_most_twenty_labels_are_shown(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n" + "\n".join(f"{n},label {n}" for n in range(33)))
    found = refused(of_file(path), tmp_path)
    assert len(found) == 22
    assert found[20] == "13 more such labels in column 'cause' (13 records)"


def test_probabilities_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,pneumonia,ipre\n1,0.7,0.3\n2,1,0")
    for option in ("refuse", "reject"):
        assert refused(of_file(path, layout="matrix", bad_records=option), tmp_path) == [
            "deaths.csv, row 2: 1 row with probabilities; take the most probable cause of each death "
            "first, and "
            "mark it 1"
        ]


def test_a_matrix_row_has_exactly_one_cause(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,pneumonia,ipre\n1,1,1\n2,0,0\n3,1,\n4,2,0\n5,x,1\n6,1,0")
    assert refused(of_file(path, layout="matrix"), tmp_path) == [
        "deaths.csv, rows 2, 3, 4, 5, 6: 5 rows without exactly one cause marked 1, all others 0",
        GO_ON,
    ]
    found = tabulated(of_file(path, layout="matrix", bad_records="reject"))
    assert accounted(found) == {("used", ""): 1, ("rejected", "not_exactly_one_cause"): 5}


def test_a_misspelled_cause_column_of_a_matrix_is_named(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,pnuemonia,ipre,sex\n1,1,0,1\n2,0,1,0")
    assert refused(of_file(path, layout="matrix"), tmp_path)[0] == (
        "deaths.csv, row 2: 1 row without exactly one cause marked 1, all others 0 (not known as causes: "
        "'pnuemonia')"
    )


def test_the_same_count_given_twice_is_refused_unless_other_columns_tell_the_rows_apart(
    tmp_path: Path,
) -> None:
    path = csv(tmp_path, "cause,deaths\nipre,3\nother,1\nipre,4")
    assert refused(of_file(path, layout="counts"), tmp_path) == [
        "deaths.csv, rows 2, 4: 2 rows that give deaths for the same algorithm, cause and stratum; keep "
        "one of each"
    ]
    path = csv(tmp_path, "cause,deaths,sex\nipre,3,f\nother,1,f\nipre,4,m")
    assert counts(tabulated(of_file(path, layout="counts"))) == {"eava": {"ipre": 7, "other": 1}}


def test_a_matrix_without_cause_columns_is_refused(tmp_path: Path) -> None:
    assert refused(of_file(csv(tmp_path, "ID,a,b\n1,1,0"), layout="matrix"), tmp_path) == [
        "deaths.csv: no column is named by a cause; see vacal causes for the names"
    ]


@pytest.mark.parametrize("option", ["refuse", "reject"])
def test_counts_are_whole_numbers_and_an_unknown_number_cannot_be_set_aside(
    tmp_path: Path, option: str
) -> None:
    path = csv(tmp_path, "cause,deaths\nipre,3\nother,-1\nother,1.5\nother,\nother,many\nother,1e12")
    assert refused(of_file(path, layout="counts", bad_records=option), tmp_path) == [
        "deaths.csv, column 'deaths', rows 3, 4, 5, 6, 7: 5 rows without a whole number of deaths, 0 or more"
    ]


def test_problems_of_inline_counts_name_the_field(tmp_path: Path) -> None:
    request = parse_request(fields(input={"counts": {"eava": {"Pnuemonia": 3, "ipre": 1}}}))
    assert refused(request, tmp_path)[0] == (
        "input.counts, column 'cause': 'Pnuemonia' is not a known cause of age group neonate; nearest known: "
        "'pneumonia' (3 deaths)"
    )


def test_a_column_with_too_many_values_is_not_what_it_is_taken_for(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n" + "\n".join(f"{n},ipre" for n in range(100_002)))
    (problem,) = refused(of_file(path, columns={"id": "cause", "strata": ["ID"]}), tmp_path)
    assert problem == "deaths.csv: column 'ID' has more than 100,000 different values; is it the right one?"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none.csv", "none.csv: there is no such file, or no file in it"),
        ("*.csv", "*.csv: no file fits this pattern"),
        ("empty", "empty: there is no such file, or no file in it"),
        ("book.xlsx", "book.xlsx: is a spreadsheet; save it as CSV UTF-8"),
        (
            "notes.txt",
            "notes.txt: its ending is none of .csv, .csv.gz and .parquet; rename it, or set input.format",
        ),
        ("bad.parquet", "bad.parquet: is not a Parquet file, or not a whole one"),
    ],
)
def test_files_that_cannot_be_input_are_refused(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "empty").mkdir()
    for file in ("book.xlsx", "notes.txt", "bad.parquet"):
        (tmp_path / file).write_bytes(b"PAR1 nothing")
    assert refused(of_file(tmp_path / name), tmp_path) == [problem]


def test_a_cut_off_gzip_file_is_refused(tmp_path: Path) -> None:
    import gzip

    data = gzip.compress(("ID,cause\n" + "".join(f"{n},ipre\n" for n in range(100_000))).encode())
    (tmp_path / "deaths.csv.gz").write_bytes(data[: len(data) // 2])
    assert refused(of_file(tmp_path / "deaths.csv.gz"), tmp_path) == [
        "deaths.csv.gz: the compressed data are damaged or cut off"
    ]


def test_a_parquet_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id_number": ["1"], "cause": ["ipre"]}), tmp_path / "d.parquet")
    assert refused(of_file(tmp_path / "d.parquet"), tmp_path) == [
        "d.parquet: has no column 'ID'; row 1 must hold the names of the columns; if it has another name, say "
        "so in columns.id"
    ]


def test_a_file_given_twice_is_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,ipre")
    assert refused(of_file([path, tmp_path / "*.csv"]), tmp_path) == [
        "deaths.csv: is given more than once; each file is read once"
    ]


def test_all_addresses_that_are_wrong_are_told_at_once(tmp_path: Path) -> None:
    assert len(refused(of_file([tmp_path / "a.csv", tmp_path / "b.csv"]), tmp_path)) == 2


def test_no_value_of_other_columns_is_in_any_problem(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"bad_records": "refuse", "columns": {"strata": ["village"]}},
        {"bad_records": "refuse", "unmapped_causes": "exclude"},
    ]
    path = csv(
        tmp_path,
        """ID,cause,village,name
        SECRET1,ipre,SECRETplace,SECRETname
        SECRET1,Xyz,SECRETplace,SECRETname
        ,ipre,SECRETplace,SECRETname
        SECRET4,ipre,SECRETplace""",
    )
    for changes in rows:
        with pytest.raises(InputError) as raised:
            tabulated(of_file(path, **changes))
        assert "SECRET" not in str(raised.value)


def test_no_room_for_temporary_files_says_what_to_do(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n" + "\n".join(f"{n},ipre" for n in range(300_000)))
    with pytest.raises(
        StorageError, match=r"no room to tabulate the input in the temporary folder .* set TMPDIR"
    ):
        tabulated(of_file(path), memory="4MB")
