"""CSV for spreadsheets: every cell as it is, nothing that runs, and the caveats inside."""

from __future__ import annotations

import csv
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made_run import description, places, tables

from tasks.errors import StateError
from tasks.export.csv import safe_text, write_csv
from tasks.results.store import Results, open_results
from tasks.results.write import publish

RUN = "moz-0123456789ab"


@pytest.fixture
def results(tmp_path: Path) -> Results:
    strange = places(["Gaza", '=HYPERLINK("x")', 'São Tomé; "e"\nPríncipe'])
    made = tables(strange, constants={"illustrative": True})
    publish(str(tmp_path / "r"), RUN, {name: [table] for name, table in made.items()}, description())
    return open_results(str(tmp_path / "r"))


def test_every_value_comes_back_from_the_file(results: Results, tmp_path: Path) -> None:
    paths = write_csv(results, str(tmp_path / "csv"))
    assert [Path(path).name for path in paths] == [
        f"{RUN}-{name}.csv" for name in ("csmf", "strata", "records")
    ]
    back = pd.read_csv(paths[0], encoding="utf-8-sig", keep_default_na=False, na_values=[""])
    expected = results.csmf
    assert list(back.columns) == list(expected.columns)
    for name in ("mean", "sd", "q025"):
        pd.testing.assert_series_equal(back[name], expected[name])
    assert back["province"].str.removeprefix("'").tolist() == expected["province"].tolist()


def test_a_spreadsheet_knows_the_encoding_and_finds_no_formula(results: Results, tmp_path: Path) -> None:
    for path in write_csv(results, str(tmp_path)):
        data = Path(path).read_bytes()
        assert data.startswith(b"\xef\xbb\xbf")
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            cells = {cell for row in csv.reader(file) for cell in row}
        assert not any(cell.startswith(("=", "+", "@")) for cell in cells)
        assert '\'=HYPERLINK("x")' in cells


@given(st.text())
def test_no_text_begins_like_a_formula_and_none_is_lost(text: str) -> None:
    safe = safe_text(text)
    assert not safe.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert safe in (text, f"'{text}")


def test_flags_caveat_and_provenance_are_in_every_row(results: Results, tmp_path: Path) -> None:
    for path in write_csv(results, str(tmp_path), ["csmf", "strata", "records", "matrices", "draws"]):
        frame = pd.read_csv(path, encoding="utf-8-sig")
        assert frame["caveat"].str.contains("not for publication").all()
        assert (frame["run"] == "moz-0123456789ab").all() and frame["inventory_checksum"].notna().all()


def test_spreadsheets_set_to_portuguese_get_decimal_commas(results: Results, tmp_path: Path) -> None:
    (path,) = write_csv(results, str(tmp_path), ["csmf"], decimal_comma=True)
    back = pd.read_csv(path, encoding="utf-8-sig", sep=";", decimal=",")
    pd.testing.assert_series_equal(back["mean"], results.csmf["mean"])


def test_a_table_that_the_run_has_not_is_refused_and_nothing_is_written(
    results: Results, tmp_path: Path
) -> None:
    with pytest.raises(StateError, match="has no table rollups; it has: csmf, draws"):
        write_csv(results, str(tmp_path / "csv"), ["csmf", "rollups"])
    assert not (tmp_path / "csv").exists()


@pytest.mark.r
def test_r_reads_the_file_as_it_is(results: Results, tmp_path: Path) -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    (path,) = write_csv(results, str(tmp_path), ["csmf"])
    code = (
        "x <- read.csv(commandArgs(TRUE), fileEncoding = 'UTF-8-BOM', na.strings = '');"
        "cat(nrow(x), names(x)[1], sum(is.na(x$sd)), sprintf('%.15g', sum(x$mean)))"
    )
    done = subprocess.run(["Rscript", "-e", code, path], capture_output=True, text=True, check=True)
    rows, first, missing, total = done.stdout.split()
    expected = results.csmf
    assert (int(rows), first, int(missing)) == (len(expected), "run", int(expected["sd"].isna().sum()))
    assert float(total) == pytest.approx(expected["mean"].sum(), rel=1e-12)
