"""Commands about input: listing, preview, conversion, what is supported."""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path

import pandas as pd
import pytest
import typer
from support import ROOT
from typer.testing import CliRunner

from flows.cli import input as cli_input
from tasks.errors import InputError
from tasks.ingest.convert import convert_file

RECORDS = (
    "ID,cause,note\n00123,Birth asphyxia,a\n123,Undetermined,b\n9,Pneumonia ,c\n10,,d\n11,Moon fever,e\n"
)


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    cli_input.register(app)
    return app


def records(folder: Path, text: str = RECORDS) -> Path:
    file = folder / "deaths.csv"
    file.write_text(text)
    return file


class TestConvert:
    def test_every_row_keeps_its_place_and_its_text_and_gets_a_broad_cause(self, tmp_path: Path) -> None:
        convert_file(records(tmp_path), tmp_path / "out.csv", "neonate", "cause")
        with (tmp_path / "out.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["ID"] for row in rows] == ["00123", "123", "9", "10", "11"]
        assert [row["broad_cause"] for row in rows] == ["ipre", "", "pneumonia", "", ""]
        assert [row["note"] for row in rows] == list("abcde")

    def test_every_record_is_counted_by_what_became_of_it(self, tmp_path: Path) -> None:
        found = convert_file(records(tmp_path), tmp_path / "out.csv", "neonate", "cause")
        assert found.total() == 5
        assert {treatment for _, _, treatment in found} == {"mapped", "undetermined", "blank", "unmapped"}

    def test_unknown_causes_are_never_turned_into_other_and_make_the_exit_code_2(
        self, tmp_path: Path, app: typer.Typer
    ) -> None:
        arguments = ["convert", str(records(tmp_path)), str(tmp_path / "out.csv"), "--age-group", "neonate"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2
        assert "1 records have a cause that is not in the map" in done.output
        assert "00123" not in done.output

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("ID,kause\n1,ipre\n", "has no column 'cause'; its columns are ID, kause"),
            ("", "is empty; its first row must hold the names of the columns"),
        ],
    )
    def test_a_file_without_the_column_is_refused_and_nothing_written(
        self, tmp_path: Path, text: str, message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            convert_file(records(tmp_path, text), tmp_path / "out.csv", "neonate", "cause")
        assert not (tmp_path / "out.csv").exists()

    @pytest.mark.parametrize(
        ("text", "broad"),
        [
            ("ID;cause\n1;Pneumonia\n", ["pneumonia"]),
            ("id,CAUSE\n1,Pneumonia\n", ["pneumonia"]),
            ("\ufeffID,cause\r\n1,NA\r\n2,\r\n3,Pneumonia\r\n", ["", "", "pneumonia"]),
            ("ID,cause,note\n1,Pneumonia," + "x" * 140_000 + "\n2,ipre,y\n", ["pneumonia", "ipre"]),
        ],
        ids=["semicolons", "upper case", "NA", "a long cell"],
    )
    def test_it_reads_as_a_run_does(self, tmp_path: Path, text: str, broad: list[str]) -> None:
        found = convert_file(records(tmp_path, text), tmp_path / "out.csv", "neonate", "cause")
        assert "unmapped" not in {treatment for _, _, treatment in found}
        lines = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
        assert [re.split("[,;]", line)[-1] for line in lines] == ["broad_cause", *broad]

    def test_it_reads_compressed_files_and_parquet(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv.gz").write_bytes(gzip.compress(RECORDS.encode()))
        pd.read_csv(records(tmp_path), dtype=str, keep_default_na=False).to_parquet(tmp_path / "a.parquet")
        copies = []
        for name in ("deaths.csv", "a.csv.gz", "a.parquet"):
            convert_file(tmp_path / name, tmp_path / f"{name}.out", "neonate", "cause")
            copies.append((tmp_path / f"{name}.out").read_bytes())
        assert copies[0] == copies[1] == copies[2]

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"ID,cause\n1,Pneumonia,extra\n2,Prematurity\n", "row 2: more or fewer cells than row 1"),
            (b"ID,cause\n" + b"1,ipre\n" * 9999 + b"2,S\xe9psis\n", "is not UTF-8 text"),
            (b'ID,cause\n1,ipre\n2,"ipre\n3,ipre\n', "row 3: a quotation mark is not closed"),
            (b"PK\x03\x04", "is a workbook"),
        ],
        ids=["ragged", "Latin-1", "open quote", "workbook"],
    )
    def test_nothing_is_left_of_a_file_that_cannot_be_read_to_its_end(
        self, tmp_path: Path, data: bytes, message: str
    ) -> None:
        (tmp_path / "deaths.csv").write_bytes(data)
        with pytest.raises(InputError, match=message):
            convert_file(tmp_path / "deaths.csv", tmp_path / "out.csv", "neonate", "cause")
        assert [file.name for file in tmp_path.iterdir()] == ["deaths.csv"]

    def test_a_file_that_is_there_is_not_overwritten(self, tmp_path: Path) -> None:
        source = records(tmp_path)
        with pytest.raises(InputError, match="is there already"):
            convert_file(source, source, "neonate", "cause")
        assert source.read_text() == RECORDS


def test_examples_lists_every_example(app: typer.Typer) -> None:
    listed = CliRunner().invoke(app, ["examples"]).output
    for file in (ROOT / "examples").glob("*.yaml"):
        assert f"examples/{file.name}" in listed


def test_preview_shows_counts_and_no_ids(app: typer.Typer, tmp_path: Path) -> None:
    records(tmp_path, "ID,cause\nsecret-1,ipre\nsecret-2,ipre\nsecret-3,pneumonia\n")
    request = tmp_path / "request.yaml"
    request.write_text(
        "{name: a, input: {uri: {eava: deaths.csv}}, age_group: neonate, country: Mozambique, "
        "algorithms: [eava]}"
    )
    shown = CliRunner().invoke(app, ["preview", str(request)]).output
    assert "ipre" in shown
    assert "2" in shown
    assert "secret" not in shown


def test_supported_names_causes_options_and_countries(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tasks.matrices as inventory
    from tasks.matrices.find import load_inventory

    monkeypatch.setattr(inventory, "load_inventory", lambda: load_inventory("illustrative"))
    shown = " ".join(CliRunner().invoke(app, ["supported"]).output.split())
    for word in (
        "sepsis_meningitis_inf",
        "prior, fixed, samples",
        "per_stratum, joint",
        "records, matrix, counts",
    ):
        assert word in shown
    assert '"additionalProperties": false' in CliRunner().invoke(app, ["supported", "--json"]).output
