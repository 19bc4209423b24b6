"""Files as other programs write them, column for column: each is read right, or refused with what to do.

The layouts are those of the programs' public documentation or source, named in each test; the records are made up.
`vacal check` and `vacal run` read and check alike: both begin with `prepare`.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import ROOT
from support.case import Case
from support.ingest_made import accounted, counts, deaths

DATA = Path(os.environ.get("VACAL_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
PLACE = "age_group=neonate/country=Mozambique"
MOST_PROBABLE = "take the most probable cause of each death first"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


class TestOpenVA:
    """openVA's getTopCOD and getIndivProb (manual of openVA 1.2 on CRAN), written by R's write.csv and write.csv2.

    getTopCOD gives ID, then cause1 (or cause), with n > 1 cause2 and on, with include.prob also prob1 or lik1.
    """

    TOP = (("d1", "Prematurity", "0.98"), ("d2", "Birth asphyxia", "0.4"), ("d3", "Undetermined", "NA"))

    @pytest.mark.parametrize("name", ["cause", "cause1"])
    def test_the_top_cause_is_read(self, case: Case, name: str) -> None:
        rows = "".join(f'"{n}","{id}","{cause}"\n' for n, (id, cause, _) in enumerate(self.TOP, start=1))
        found = case.check(case.file("cod.csv", f'"","ID","{name}"\n{rows}'))
        assert counts(found) == {"eava": {"prematurity": 1, "ipre": 1}}
        assert accounted(found)["excluded", "undetermined_cause"] == 1

    def test_of_several_causes_the_first_counts(self, case: Case) -> None:
        header = "ID;cause1;prob1;cause2;prob2;cause3;prob3"
        rows = "".join(
            f'"{id}";"{cause}";{prob.replace(".", ",")};"Malaria";0,01;NA;NA\n'
            for id, cause, prob in self.TOP
        )
        found = case.check(case.file("cod.csv", ";".join(f'"{c}"' for c in header.split(";")) + "\n" + rows))
        assert counts(found) == {"eava": {"prematurity": 1, "ipre": 1}}

    def test_the_development_version_leaves_cause_empty_and_fills_cause1(self, case: Case) -> None:
        """R/CSMF.r of verbal-autopsy-software/openVA, commit 0cc4242: with n = 1 both columns are there."""
        file = case.file("cod.csv", '"ID","cause","prob","cause1","prob1"\n"d1","",0,"Prematurity",0.8\n')
        assert case.refused(file) == (
            "cod.csv: has both columns 'cause' and 'cause1'; say which in columns.cause"
        )
        assert counts(case.check(file, columns={"cause": "cause1"})) == {"eava": {"prematurity": 1}}

    @pytest.mark.parametrize("first", ["ID", ""], ids=["summary(file=)", "getIndivProb"])
    @pytest.mark.parametrize("layout", ["records", "matrix"])
    def test_probabilities_of_every_cause_are_refused_with_what_to_do(
        self, case: Case, layout: str, first: str
    ) -> None:
        """InSilicoVA's indiv.prob: by summary.insilico(file =) all cells are texts, by write.csv IDs are row names."""
        header = f'"{first}","Sepsis (non-obstetric)","Prematurity","Birth asphyxia"\n'
        file = case.file("prob.csv", header + '"d1","1e-05","0.9","0.09999"\n"d2","0","0","1"\n')
        assert MOST_PROBABLE in case.refused(file, layout)

    def test_insilicova_of_2022_is_read_by_the_names_of_its_list(self, case: Case) -> None:
        """InSilicoVA2022 has the causes of the WHO 2022 instrument; it is read by getTopCOD's columns."""
        file = case.file(
            "cod.csv",
            '"ID","cause1"\n"d1","Prematurity or low birth weight"\n"d2","Tetanus (non-neonatal)"\n',
        )
        found = case.check(file, algorithms=["insilicova"])
        assert counts(found) == {"insilicova": {"prematurity": 1, "sepsis_meningitis_inf": 1}}


CLASSIC = "ID,MALPREV,HIVPREV,PREGSTAT,PREGLIK,CAUSE1,LIK1,CAUSE2,LIK2,CAUSE3,LIK3,INDET,COMCAT,COMNUM"
OF_2022 = "ID,MALPREV,HIVPREV,COVIDPREV,PREGSTAT,PREGLIK,CAUSE1,LIK1,CAUSE2,LIK2,CAUSE3,LIK3,INDET"


def interva(header: str, causes: list[str], *, more: tuple[str, ...] = (), quote: str = "") -> str:
    """A file as InterVA5(write = TRUE) and InterVA2022 write it: the header in quotation marks, blanks for nothing.

    Classic rows have no quotation marks, extended ones (more: a column for each cause) have them in every cell.
    """
    names = [*header.split(","), *more]
    lines = [",".join(f'"{name}"' for name in names)]
    for number, cause in enumerate(causes, start=1):
        cells = {"ID": f"d{number}", "PREGSTAT": "n/a", "MALPREV": "l", "HIVPREV": "l", "COVIDPREV": "v"}
        cells |= {"CAUSE1": cause or " ", "INDET": "2" if cause else "100", "COMCAT": "Multiple"}
        cells |= dict.fromkeys(more, "1e-05")
        lines.append(",".join(f"{quote}{cells.get(name, ' ')}{quote}" for name in names))
    return "\n".join(lines) + "\n"


class TestInterVA:
    """InterVA5.R of verbal-autopsy-software/InterVA5 and InterVA2022.R of .../InterVA2022: header and write.table."""

    CAUSES = ("Prematurity", "Birth asphyxia", "Acute resp infect incl pneumonia", "Fresh stillbirth", "")

    @pytest.mark.parametrize("extended", [False, True])
    def test_interva5_is_read_and_what_is_indeterminate_is_counted(self, case: Case, extended: bool) -> None:
        more = ("Not pregnant or recently delivered", "Prematurity", "Birth asphyxia", "Malaria", "Culture")
        text = interva(CLASSIC, [*self.CAUSES], more=more if extended else (), quote='"' if extended else "")
        found = case.check(case.file("VA5_result.csv", text), algorithms=["InterVA5"])
        assert counts(found) == {"interva": {"prematurity": 1, "ipre": 1, "pneumonia": 1}}
        assert accounted(found)["excluded", "blank_cause"] == 1
        assert accounted(found)["excluded", "stillbirth"] == 1

    def test_extended_output_is_no_matrix_of_marks(self, case: Case) -> None:
        text = interva(CLASSIC, ["Prematurity"], more=("Prematurity", "Birth asphyxia"), quote='"')
        assert MOST_PROBABLE in case.refused(case.file("VA5_result.csv", text), "matrix")

    def test_causes_with_their_group_code_are_the_same_causes(self, case: Case) -> None:
        codes = ("10.01 ", "10.02 ", "01.02 ", "11.01 ", "")
        text = interva(CLASSIC, [code + cause for code, cause in zip(codes, self.CAUSES, strict=True)])
        found = case.check(case.file("VA5_result.csv", text), algorithms=["interva"])
        assert counts(found) == {"interva": {"prematurity": 1, "ipre": 1, "pneumonia": 1}}
        assert accounted(found)["excluded", "stillbirth"] == 1

    def test_interva_2022_is_read_by_the_names_of_its_list(self, case: Case) -> None:
        causes = [
            "Prematurity or low birth weight",
            "Acute respiratory infection including (non-neonatal) pneumonia",
            "10.99 Other and unspecified perinatal CoD",
            "Macerated stillbirth",
            "",
        ]
        found = case.check(case.file("VA2022_result.csv", interva(OF_2022, causes)), algorithms=["interva"])
        assert counts(found) == {"interva": {"prematurity": 1, "pneumonia": 1, "other": 1}}
        assert accounted(found)["excluded", "stillbirth"] == accounted(found)["excluded", "blank_cause"] == 1

    def test_ids_with_a_comma_break_rows_that_have_no_quotation_marks(self, case: Case) -> None:
        text = interva(CLASSIC, ["Prematurity", "Prematurity"]).replace("d2,", "d2,b,")
        assert case.refused(case.file("VA5_result.csv", text), algorithms=["interva"]).startswith(
            "VA5_result.csv, row 3: 1 row with more or fewer cells than row 1"
        )


class TestEAVA:
    """codEAVA of the package EAVA (CRAN, 1.0.0): "a two-column data frame with unique identifier and cause"."""

    def test_its_two_columns_are_read(self, case: Case) -> None:
        text = '"","ID","cause"\n"1","12127","Intrapartum"\n"2","5527","Unspecified"\n"3","5528","Preterm"\n'
        found = case.check(case.file("eava.csv", text))
        assert counts(found) == {"eava": {"ipre": 1, "prematurity": 1}}
        assert accounted(found)["excluded", "undetermined_cause"] == 1


@pytest.mark.real
@pytest.mark.parametrize("age_group", ["neonate", "child"])
@pytest.mark.parametrize("write", ["write.csv(x, f)", "write.csv2(x, f, row.names = FALSE)"])
def test_comsas_outputs_as_r_writes_them_give_the_published_counts(
    case: Case, age_group: str, write: str
) -> None:
    """The data frames of vacalibration's comsamoz_CCVAoutput: ID and cause (EAVA) or cause1 (openVA)."""
    source = DATA / "comsamoz_CCVAoutput.rda"
    if not source.exists():
        pytest.skip("no ../shared/data/comsamoz_CCVAoutput.rda: real individual-level input is not here")
    names = ("eava", "insilicova", "interva")
    code = (
        f'load("{source}"); for (a in c("eava", "insilicova", "interva")) {{ '
        f'x <- comsamoz_CCVAoutput${age_group}[[a]]; f <- file.path("{case.folder}", paste0(a, ".csv")); {write} }}'
    )
    subprocess.run(["Rscript", "--vanilla", "-e", code], check=True, capture_output=True)
    uris = {name: f"{name}.csv" for name in names}
    found = case.check(uris, age_group=age_group, algorithms=list(names))
    published = json.loads((DATA / "reference.json").read_text())[f"moz_{age_group}_ensemble"]
    assert counts(found) == {
        name: {cause: n for cause, n in causes.items() if n}
        for name, causes in published["deaths_uncalibrated"].items()
    }
    assert sum(deaths(found).values()) == {"neonate": 1190, "child": 2798}[age_group]


INDIVIDUAL = (
    "sid,name1,name2,name3,name4,geography1,geography2,geography3,geography4,geography5,"
    "cause34,cause list #,icd10,age,sex,birth_date,death_date,interview_date"
)
SMARTVA = (
    ("Preterm Delivery", "5", "P07"),
    ("Birth asphyxia", "1", "P21"),
    ("Meningitis/Sepsis", "3", "P36"),
    ("Pneumonia", "4", "P23/J22"),
    ("Congenital malformation", "2", "Q89"),
    ("Stillbirth", "6", "P95"),
    ("Undetermined", "", "R99"),
)
CAUSES = ("prematurity", "ipre", "sepsis_meningitis_inf", "pneumonia", "congenital_malformation", "other")
OWN = "".join(
    f"prior,smartva,{true},{said},{40 if true == said else 4}\n" for true in CAUSES for said in CAUSES
)


class TestSmartVA:
    """SmartVA-Analyze 2: smartva/output_prep.py, tariff_prep.py and data/icds.py of ihmeuw/SmartVA-Analyze.

    Its algorithm (Tariff) has no published matrices: a request brings its own.
    """

    NAMES = {"Preterm Delivery": "prematurity", "Meningitis/Sepsis": "sepsis_meningitis_inf"}  # noqa: RUF012
    CODES = {  # noqa: RUF012
        "P07": "prematurity",
        "P21": "ipre",
        "P36": "sepsis_meningitis_inf",
        "P23/J22": "pneumonia",
        "Q00-Q99": "congenital_malformation",
        "P95": "Stillbirth",
        "R99": "Undetermined",
    }

    @pytest.fixture
    def own(self, case: Case) -> dict[str, object]:
        case.file("own.csv", "type,algorithm,champs_cause,va_cause,value\n" + OWN)
        return {"algorithms": ["smartva"], "matrix": {"source": str(case.folder / "own.csv")}}

    @staticmethod
    def individual(*more: str) -> str:
        rows = [
            f'VA_{n},A,B,C,D,Gaza,,,,,{cause},{number},{code},3 days,1,,,"Mar 26, 2018"'
            for n, (cause, number, code) in enumerate(SMARTVA)
        ]
        return "\r\n".join([INDIVIDUAL, *rows, *more]) + "\r\n"

    def test_each_column_with_another_name_is_named_with_the_field_that_says_it(
        self, case: Case, own: dict[str, object]
    ) -> None:
        assert case.refused(case.file("individual-cause-of-death.csv", self.individual()), **own) == (
            "individual-cause-of-death.csv: has no column 'ID'; did you mean 'sid'? Then say so in columns.id\n"
            "individual-cause-of-death.csv: has no column 'cause'; did you mean 'cause34'? Then say so in "
            "columns.cause"
        )

    @pytest.mark.parametrize(("column", "labels"), [("cause34", NAMES), ("icd10", CODES)])
    def test_names_and_codes_give_the_same_counts(
        self, case: Case, own: dict[str, object], column: str, labels: dict[str, str]
    ) -> None:
        columns = {"id": "sid", "cause": column, "strata": ["geography1"]}
        file = case.file("individual-cause-of-death.csv", self.individual())
        found = case.check(file, columns=columns, cause_labels=labels, **own)
        assert counts(found)["smartva"] == dict.fromkeys(
            ["prematurity", "ipre", "sepsis_meningitis_inf", "pneumonia", "congenital_malformation"], 1
        )
        assert accounted(found)["excluded", "stillbirth"] == 1
        assert accounted(found)["excluded", "undetermined_cause"] == 1
        assert deaths(found) == {f"{PLACE}/geography1=Gaza": 6}

    def test_its_labels_are_refused_with_the_nearest_and_the_field(
        self, case: Case, own: dict[str, object]
    ) -> None:
        file = case.file(
            "individual-cause-of-death.csv",
            self.individual('VA_9,A,B,C,D,Gaza,,,,,Homicide,16,Y09,48 years,1,,,"Mar 26, 2018"'),
        )
        problem = case.refused(file, columns={"id": "sid", "cause": "cause34"}, **own)
        assert (
            "'Preterm Delivery' is not a known cause of age group neonate; nearest known: 'preterm'"
            in problem
        )
        assert "row 9: 'Homicide' is not a known cause" in problem  # adults are in the same file
        assert "name them in cause_labels" in problem

    def test_the_number_of_a_cause_is_no_cause(self, case: Case, own: dict[str, object]) -> None:
        """neonate-predictions.csv has the number in `cause` and the name in `cause34`."""
        file = case.file(
            "neonate-predictions.csv", "sid,cause,cause34,age,sex\nVA_1,1.0,Birth asphyxia,3,1\n"
        )
        assert (
            "column 'cause', row 2: '1.0' is not a known cause of age group neonate; it is a number: if another "
            "column has the names, say so in columns.cause"
        ) in case.refused(file, columns={"id": "sid"}, **own)
        found = case.check(file, columns={"id": "sid", "cause": "cause34"}, **own)
        assert counts(found) == {"smartva": {"ipre": 1}}

    def test_its_table_of_counts_is_read_and_adults_are_counted_apart(self, case: Case) -> None:
        """causes-of-death.csv: module, cause34, age, sex, counts; its module child goes to 11 years."""
        text = (
            "module,cause34,age,sex,counts\nneonate,Birth asphyxia,0-7 days,Male,12\n"
            "neonate,Birth asphyxia,8-28 days,Male,3\nchild,Malaria,1-4 years,Female,7\n"
            "child,Malaria,1-4 years,Male,7\nadult,AIDS,12-19 years,Male,4\n"
        )
        file, fields = case.file("causes-of-death.csv", text), {"age_group": {"column": "module"}}
        fields |= {"columns": {"cause": "cause34", "count": "counts"}}
        assert "'adult' is not one of the age groups neonate, child (4 deaths)" in case.refused(
            file, "counts", **fields
        )
        found = case.check(file, "counts", bad_records="reject", **fields)
        assert counts(found) == {"eava": {"ipre": 15, "malaria": 14}}
        assert accounted(found)["rejected", "unknown_age_group"] == 4

    def test_fractions_are_no_counts(self, case: Case) -> None:
        """neonate-csmf.csv: cause34, cause list #, icd10, all, male, female."""
        text = "cause34,cause list #,icd10,all,male,female\nBirth asphyxia,1,P21,0.4,0.3,0.1\n"
        problem = case.refused(
            case.file("neonate-csmf.csv", text), "counts", columns={"cause": "cause34", "count": "all"}
        )
        assert problem.startswith(
            "neonate-csmf.csv, column 'all', row 2: 1 row without a whole number of deaths, 0 or more"
        )


WHO_2016 = """VAs-01.02 Acute respiratory infection, including pneumonia=pneumonia
VAs-01.04 Diarrheal diseases=sepsis_meningitis_inf
VAs-01.99 Unspecified infectious disease=sepsis_meningitis_inf
VAs-04.99 Other and unspecified cardiac disease=other
VAs-10.01 Prematurity=prematurity
VAs-10.02 Birth asphyxia=ipre
VAs-10.03 Neonatal pneumonia=pneumonia
VAs-10.04 Neonatal sepsis=sepsis_meningitis_inf
VAs-10.06 Congenital malformation=congenital_malformation
VAs-10.99 Other and unspecified perinatal cause of death=other
VAs-12.05 Accidental exposure to smoke, fire and flames=other
VAs-12.99 Other and unspecified external cause of death=other"""


class TestWHO:
    """Titles and codes of the WHO's cause list (manual of the 2016 instrument, appendix 1), its questionnaire as ODK
    exports it (CrossVA's vignette on CRAN), and the tables that the openVA pipeline writes from it for DHIS2."""

    @pytest.mark.parametrize("with_code", [True, False])
    def test_titles_of_the_list_of_2016_are_known_alone_and_after_their_code(
        self, case: Case, with_code: bool
    ) -> None:
        pairs = [line.split("=") for line in WHO_2016.splitlines()]
        rows = [
            f'{n},"{title if with_code else title.split(" ", 1)[1]}"' for n, (title, _) in enumerate(pairs)
        ]
        found = case.check(case.file("who.csv", "ID,cause\n" + "\n".join(rows) + "\n"))
        expected: dict[str, int] = {}
        for _, cause in pairs:
            expected[cause] = expected.get(cause, 0) + 1
        assert counts(found) == {"eava": expected}

    def test_a_title_after_another_code_is_refused(self, case: Case) -> None:
        problem = case.refused(case.file("who.csv", "ID,cause\n1,VAs-10.03 Neonatal sepsis\n"))
        assert "'VAs-10.03 Neonatal sepsis' is not a known cause of age group neonate; nearest" in problem

    def test_icd_codes_of_the_list_are_read_by_ranges(self, case: Case) -> None:
        """The appendix's fourth column: the ICD-10 categories that make each entity."""
        labels = {
            "P05-P07": "prematurity",
            "P20-P22": "ipre",
            "P23-P25": "pneumonia",
            "P36": "sepsis_meningitis_inf",
            "Q00-Q99": "congenital_malformation",
            "P95": "Stillbirth",
            "R95-R99": "Undetermined",
        }
        rows = "1,P07.3\n2,P21.9\n3,P23\n4,P36.9\n5,Q89\n6,P95\n7,R99\n"
        found = case.check(case.file("icd.csv", "ID,cause\n" + rows), cause_labels=labels)
        assert sum(counts(found)["eava"].values()) == 5
        assert accounted(found)["excluded", "stillbirth"] == 1
        assert accounted(found)["excluded", "undetermined_cause"] == 1

    def test_answers_without_a_cause_are_refused(self, case: Case) -> None:
        header = (
            "SubmissionDate,presets-Id10002,consented-deceased_CRVS-info_on_deceased-Id10019,isNeonatal,KEY"
        )
        file = case.file("va_who_v1_5_1.csv", header + '\n"Mar 26, 2018",high,male,1,uuid:1\n')
        assert case.refused(file) == "\n".join(
            f"va_who_v1_5_1.csv: has no column '{name}'; row 1 must hold the names of the columns; if it has another "
            f"name, say so in columns.{field}"
            for name, field in (("ID", "id"), ("cause", "cause"))
        )

    def test_the_pipelines_table_of_records_is_read_by_its_column_cod(self, case: Case) -> None:
        """recordStorage.csv of openva_pipeline; MISSING stands where the algorithm gave no cause."""
        header = "id,sex,dob,dod,age,cod,metadataCode,odkMetaInstanceID,i004a"
        rows = "d1,Male,,2018-03-01,0,Prematurity,InSilicoVA|1.1.4,uuid:1,y\nd2,Male,,,0,MISSING,x,uuid:2,y\n"
        file = case.file("recordStorage.csv", f"{header}\n{rows}")
        assert "say so in columns.cause" in case.refused(file)
        assert "'MISSING' is not a known cause" in case.refused(file, columns={"cause": "cod"})
        found = case.check(file, columns={"cause": "cod"}, cause_labels={"MISSING": "Undetermined"})
        assert counts(found) == {"eava": {"prematurity": 1}}
        assert accounted(found)["excluded", "undetermined_cause"] == 1

    def test_the_pipelines_long_table_is_refused(self, case: Case) -> None:
        """entityAttributeValue.csv: a row for each answer."""
        text = "ID,Attribute,Value\nd1,Cause of Death,Prematurity\nd1,Metadata,InSilicoVA|1.1.4\n"
        assert "has no column 'cause'" in case.refused(case.file("entityAttributeValue.csv", text))
