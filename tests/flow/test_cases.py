"""Inputs that once gave a wrong number without a word: each is read right or refused, as `vacal check` shows.

`vacal check` and `vacal run` read and check alike: both begin with `prepare`.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.case import Case
from support.ingest_made import accounted, counts, deaths

from tasks.errors import InputError

PLACE = "age_group=neonate/country=Mozambique"
OPEN_QUOTE = "a quotation mark is not closed"
THOUSANDS = "could be thousands or a decimal fraction: write plain digits, such as 12000 or 12"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


class TestQuotationMarks:
    def test_one_that_is_not_closed_in_an_unused_column_swallows_no_rows(self, case: Case) -> None:
        rows = '1,Pneumonia,ok\n2,Prematurity,"she said\n3,ipre,ok\n4,ipre,ok\n5,ipre,"no more\n6,ipre,ok\n'
        problem = case.refused(case.file("a.csv", "ID,cause,narrative\n" + rows))
        assert problem.startswith(f"a.csv: row 3: {OPEN_QUOTE} (the next one, in line 6, ends no cell)")

    def test_nor_in_counts(self, case: Case) -> None:
        rows = 'eava,Pneumonia,10,"see annex\neava,Prematurity,20,ok\neava,ipre,30,"see\neava,Other,5,ok\n'
        problem = case.refused(case.file("a.csv", "algorithm,cause,deaths,note\n" + rows), "counts")
        assert problem.startswith(f"a.csv: row 2: {OPEN_QUOTE}")

    def test_cells_of_several_lines_go_on_being_read_and_those_like_rows_are_noted(self, case: Case) -> None:
        text = 'ID,cause,note\n1,ipre,"line one\nline two"\n2,ipre,"x\n3,ipre,y\n4,z,w"\n5,ipre,5" nail\n'
        found = case.check(case.file("a.csv", text))
        assert counts(found) == {"eava": {"ipre": 3}}
        assert any("row 3: a cell of several lines holds lines that look like rows" in n for n in found.notes)


class TestNumbers:
    @pytest.mark.parametrize("number", ["12.000", "12,000", "1.234.567"])
    def test_dots_and_commas_before_three_digits_are_asked_about(self, case: Case, number: str) -> None:
        text = f"algorithm;cause;deaths\neava;Pneumonia;{number}\neava;Prematurity;950\n"
        assert case.refused(case.file("a.csv", text), "counts") == (
            f"a.csv, column 'deaths', row 2: 1 row with a number that {THOUSANDS}"
        )

    @pytest.mark.parametrize("number", ["12", "12.0", "12.00", "1.2e+01"])
    def test_whole_numbers_as_programs_write_them_are_read(self, case: Case, number: str) -> None:
        found = case.check(case.file("a.csv", f"algorithm,cause,deaths\neava,ipre,{number}\n"), "counts")
        assert counts(found) == {"eava": {"ipre": 12}}

    @pytest.mark.parametrize("number", ["1_0", "10%", "-1", "1.5", "sNaN"])
    def test_other_numbers_are_refused_with_their_cell(self, case: Case, number: str) -> None:
        problem = case.refused(case.file("a.csv", f"algorithm,cause,deaths\neava,ipre,{number}\n"), "counts")
        assert problem.startswith("a.csv, column 'deaths', row 2: 1 row without a whole number of deaths")

    @pytest.mark.parametrize("cell", ["sNaN", "0_1", "\u0661"])
    def test_a_matrix_cell_that_is_no_plain_number_is_no_mark(self, case: Case, cell: str) -> None:
        problem = case.refused(case.file("a.csv", f"ID,pneumonia,ipre\n1,{cell},0\n2,1,0\n"), "matrix")
        assert problem.startswith("a.csv, row 2: 1 row without exactly one cause marked 1")


class TestMissing:
    MAP = {"NA": "other", "LRI": "pneumonia"}  # noqa: RUF012

    def test_a_cause_that_the_request_names_is_never_missing(self, case: Case) -> None:
        found = case.check(
            case.file("a.csv", "ID,cause\n1,NA\n2,LRI\n3,\n4,NULL\n"), study_cause_map=self.MAP
        )
        assert counts(found) == {"eava": {"NA": 1, "LRI": 1}}
        assert accounted(found)["excluded", "blank_cause"] == 2

    def test_nor_is_a_label_that_the_request_names(self, case: Case) -> None:
        found = case.check(case.file("a.csv", "ID,cause\n1,NA\n2,NaN\n"), cause_labels={"NA": "other"})
        assert accounted(found) == {("used", ""): 1, ("excluded", "blank_cause"): 1}

    def test_text_of_a_parquet_file_is_text(self, case: Case) -> None:
        table = pd.DataFrame({"ID": ["1", "2"], "cause": ["ipre", "ipre"], "place": ["NA", None]})
        found = case.check(case.file("a.parquet", table), columns={"strata": ["place"]})
        assert deaths(found) == {f"{PLACE}/place=(missing)": 1, f"{PLACE}/place=NA": 1}
        assert any("column 'place': a text such as NA makes a stratum of its own" in n for n in found.notes)

    def test_the_missing_whole_number_of_r_is_no_year(self, case: Case) -> None:
        """reticulate 1.28 (Debian 12) hands R's integers to pandas bit by bit, and NA becomes -2147483648."""
        table = pd.DataFrame({"ID": ["1", "2"], "cause": ["ipre", "ipre"], "year": [2023, -(2**31)]})
        file = case.file("a.parquet", table)
        assert case.refused(file, columns={"strata": ["year"]}).startswith(
            "a.parquet, column 'year', row 2: holds -2147483648, R's missing whole number"
        )
        assert counts(case.check(file)) == {"eava": {"ipre": 2}}  # nobody reads the column

    @pytest.mark.parametrize("text", ["", "NA", "NaN", "#N/A", "NULL", "<NA>", "n/a"])
    def test_what_programs_write_for_nothing_makes_one_stratum(self, case: Case, text: str) -> None:
        found = case.check(
            case.file("a.csv", f"ID,cause,place\n1,ipre,{text}\n2,ipre,\n"), columns={"strata": ["place"]}
        )
        assert deaths(found) == {f"{PLACE}/place=(missing)": 2}


class TestStrata:
    def test_a_year_is_one_stratum_however_it_is_written(self, case: Case) -> None:
        files = [
            case.file("a.csv", "ID,cause,year\n1,Pneumonia,2023\n2,Prematurity,2024\n"),
            case.file("b.csv", "ID,cause,year\n3,Pneumonia,2023.0\n4,ipre,\n"),
        ]
        found = case.check(
            files, columns={"strata": ["year"]}, contrasts=[{"between": "year"}], matrix_sharing="per_stratum"
        )
        assert deaths(found) == {
            f"{PLACE}/year={year}": n for year, n in [("(missing)", 1), ("2023", 2), ("2024", 1)]
        }
        assert any("column 'year': 1 further spelling of a value" in note for note in found.notes)

    def test_months_with_and_without_a_zero_are_one(self, case: Case) -> None:
        text = "ID,cause,month\n1,ipre,01\n2,ipre,1\n3,ipre,1.0\n4,ipre,12\n"
        found = case.check(case.file("a.csv", text), columns={"strata": ["month"]})
        assert deaths(found) == {f"{PLACE}/month=1": 3, f"{PLACE}/month=12": 1}

    def test_a_date_is_the_same_in_parquet_and_csv(self, case: Case) -> None:
        months = pd.to_datetime(["2023-04-01", "2023-05-01", None])
        table = pd.DataFrame({"ID": ["1", "2", "3"], "cause": ["ipre"] * 3, "month": months})
        found = [
            deaths(case.check(file, columns={"strata": ["month"]}))
            for file in (
                case.file("a.parquet", table),
                case.file("a.csv", table.to_csv(index=False)),
                case.file("b.csv", table.to_csv(index=False, date_format="%Y-%m-%d %H:%M:%S")),
            )
        ]
        assert found[0] == {
            f"{PLACE}/month={month}": 1 for month in ("(missing)", "2023-04-01", "2023-05-01")
        }
        assert found[0] == found[1] == found[2]


class TestTheSameTwice:
    @pytest.mark.parametrize(
        "text",
        [
            "algorithm,cause,deaths\neava,Pneumonia,30\nEAVA,PNEUMONIA,30\neava,Prematurity,50\n",
            "algorithm,cause,deaths,\neava,Pneumonia,30,\neava,Pneumonia,31,\neava,Prematurity,50,\n",
            ",algorithm,cause,deaths\n1,eava,Pneumonia,30\n2,eava,Pneumonia,30\n3,eava,Prematurity,50\n",
            "algorithm,cause,deaths,note\neava,Pneumonia,30,\neava,Pneumonia,31,\neava,Prematurity,50,\n",
            "algorithm,cause,deaths,sex\neava,Pneumonia,30,f\neava,Pneumonia,30,f\neava,Prematurity,50,m\n",
        ],
        ids=["case", "empty column", "row names", "column without values", "equal rows"],
    )
    def test_counts_that_are_there_twice_are_refused(self, case: Case, text: str) -> None:
        assert case.refused(case.file("a.csv", text), "counts") == (
            "a.csv, rows 2, 3: 2 rows that give deaths for the same algorithm, cause and stratum; "
            "keep one of each"
        )

    def test_two_names_of_one_broad_cause_are_two_causes(self, case: Case) -> None:
        text = "algorithm,cause,deaths\neava,Pneumonia,30\neava,Neonatal pneumonia,30\n"
        assert counts(case.check(case.file("a.csv", text), "counts")) == {"eava": {"pneumonia": 60}}

    def test_counts_in_the_request_are_refused_under_two_spellings(self, case: Case) -> None:
        with pytest.raises(InputError, match="cause 'pneumonia' is given more than once"):
            case.check(None, input={"counts": {"eava": {"Pneumonia": 30, "PNEUMONIA": 30}}})

    def test_one_file_by_two_addresses_is_refused(self, case: Case) -> None:
        case.file("a.csv", "ID,cause\n1,ipre\n")
        (case.folder / "link.csv").symlink_to(case.folder / "a.csv")
        assert case.refused(["a.csv", "link.csv"]) == (
            f"a.csv: is given more than once, also as {case.folder}/link.csv; each file is read once".replace(
                f"{case.folder}/", ""
            )
        )

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("b.csv", "algorithm,cause,deaths\neava,ipre,3\neava,Other,4\n"),
            ("b.csv", "cause,deaths,algorithm\nOTHER,4,EAVA\nIPRE,3.0,eava\n"),
            ("b.csv.gz", gzip.compress(b"algorithm;cause;deaths\neava;Other;4\neava;ipre;3\n")),
        ],
        ids=["copy", "another order", "another form"],
    )
    def test_a_second_file_with_the_same_counts_is_refused(
        self, case: Case, name: str, content: str | bytes
    ) -> None:
        first = case.file("a.csv", "algorithm,cause,deaths\neava,ipre,3\neava,Other,4\n")
        assert f"{name}: has the same co" in case.refused([first, case.file(name, content)], "counts")

    def test_folders_tell_equal_counts_apart(self, case: Case) -> None:
        for month in (1, 2):
            case.file(f"d/month={month}/a.csv", "algorithm,cause,deaths\neava,ipre,3\n")
        assert counts(case.check("d", "counts")) == {"eava": {"ipre": 6}}


def deaths_by_province() -> str:
    causes = ("Prematurity", "ipre", "Neonatal sepsis", "Pneumonia", "Congenital malformation", "Other")
    rows = (f"eava,{cause},{20 + n},{p}" for p in ("Gaza", "Tete") for n, cause in enumerate(causes))
    return "algorithm,cause,deaths,province\n" + "\n".join(rows) + "\n"


class TestWeights:
    @pytest.mark.parametrize(
        ("weights", "problem"),
        [
            (
                "province;deaths\nGaza;1.234\nTete;987\n",
                f"w.csv, column 'deaths', row 2: a number {THOUSANDS}",
            ),
            (
                "province,deaths\nGaza,0\nTete,0\n",
                f"the weights of all strata of {PLACE} are 0",
            ),
            ("province,deaths\nGaza,1\nGaza ,2\nTete,1\n", "row 3: the stratum is there twice"),
            ("province,deaths\nGaza,1\nTete,many\n", "w.csv, column 'deaths', row 3: is not a number"),
        ],
    )
    def test_weights_that_say_nothing_sure_are_refused(self, case: Case, weights: str, problem: str) -> None:
        uri = case.file("a.csv", deaths_by_province())
        case.file("w.csv", weights)
        found = case.refused(
            uri,
            "counts",
            columns={"strata": ["province"]},
            roll_ups=[[]],
            roll_up_weights="w.csv",
            matrix_sharing="per_stratum",
        )
        assert (
            found == f"roll_up_weights: {problem}"
            or found.startswith(f"roll_up_weights, {problem}")
            or (found.startswith(f"roll_up_weights: {problem}"))
        )

    def test_weights_of_places_that_the_input_does_not_have_are_noted(self, case: Case) -> None:
        uri = case.file("a.csv", deaths_by_province())
        case.file("w.csv", "Province,Deaths\nGaza,30\nTete,20\nTotal,50\n")
        given = {"columns": {"strata": ["province"]}, "roll_ups": [[]], "matrix_sharing": "per_stratum"}
        notes = case.check(uri, "counts", roll_up_weights="w.csv", **given).notes
        assert any("roll_up_weights: up to 50.0% of a roll-up's weight belongs to places" in n for n in notes)


class TestFilesOfTheWrongKind:
    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"PK\x03\x04....", "is a workbook or another zip archive"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1..", "is an Excel workbook"),
            ("ID,cause\n1,ipre\n".encode("utf-16"), "is UTF-16 text"),
            ("ID,cause\n1,ipre\n".encode("utf-16-le"), "is not text, or is UTF-16"),
            ("ID,cause\n1,S\u00e9psis\n".encode("latin-1"), "is not UTF-8 text"),
            (b"ID,cause\n", "has no rows below its header"),
            (b"ID,cause", "has no rows below its header"),
            (b"<!DOCTYPE html><html>", "is a web page"),
            (b'{"ID": 1}', "is JSON"),
        ],
    )
    def test_is_named_for_what_it_is(self, case: Case, content: bytes, what: str) -> None:
        assert case.refused(case.file("a.csv", content)).startswith(f"a.csv: {what}")

    def test_parquet_by_another_name_and_other_files_by_its_name(self, case: Case) -> None:
        table = pd.DataFrame({"ID": ["1"], "cause": ["ipre"]})
        case.file("a.parquet", table)
        (case.folder / "a.parquet").rename(case.folder / "a.csv")
        assert case.refused("a.csv").startswith("a.csv: is a Parquet file; let its name end in .parquet")
        assert "is a workbook" in case.refused(case.file("b.parquet", b"PK\x03\x04...."))

    def test_a_column_of_lists_is_named(self, case: Case) -> None:
        table = pa.table({"ID": ["1"], "cause": [["ipre"]], "unused": [[1, 2]]})
        pq.write_table(table, case.folder / "a.parquet")
        assert case.refused("a.parquet").startswith("a.parquet: column 'cause' holds lists")

    def test_counts_that_are_all_zero_are_no_input(self, case: Case) -> None:
        text = "algorithm,cause,deaths\neava,ipre,0\neava,Other,0\n"
        assert case.refused(case.file("a.csv", text), "counts") == (
            "every number of deaths of algorithm eava in the input is 0"
        )

    def test_a_header_of_several_lines_is_a_header(self, case: Case) -> None:
        found = case.check(
            case.file("a.csv", 'ID,"Cause\nof death"\n1,ipre\n'), columns={"cause": "cause of death"}
        )
        assert counts(found) == {"eava": {"ipre": 1}}


class TestAddresses:
    @pytest.mark.parametrize(
        "uri", [["d/year=2023/a.csv", "d/year=2024/a.csv"], ["d/year=2023", "d/year=2024/*.csv"], "d"]
    )
    def test_files_of_a_partitioned_data_set_keep_the_columns_of_their_folders(
        self, case: Case, uri: Any
    ) -> None:
        case.file("d/year=2023/a.csv", "ID,cause\n1,ipre\n")
        case.file("d/year=2024/a.csv", "ID,cause\n2,ipre\n")
        found = case.check(uri, columns={"strata": ["year"]})
        assert deaths(found) == {f"{PLACE}/year=2023": 1, f"{PLACE}/year=2024": 1}

    def test_a_column_of_the_file_goes_before_one_of_its_own_address(self, case: Case) -> None:
        case.file("d/year=2023/a.csv", "ID,cause,year\n1,ipre,2022\n")
        found = case.check("d/year=2023/a.csv", columns={"strata": ["year"]})
        assert deaths(found) == {f"{PLACE}/year=2022": 1}

    def test_the_home_folder_may_be_named(self, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(case.folder / "home"))
        case.file("home/deaths.csv", "ID,cause\n1,ipre\n")
        assert counts(case.check("~/deaths.csv")) == {"eava": {"ipre": 1}}

    def test_a_colon_in_a_name_makes_no_scheme(self, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(case.folder)
        assert counts(case.check(case.file("input:v2.csv", "ID,cause\n1,ipre\n"))) == {"eava": {"ipre": 1}}
