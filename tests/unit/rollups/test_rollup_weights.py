"""The user's weights of roll-ups: read like the input, refused without showing what is in the cells."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import InputError
from tasks.rollups.weights import ROW, read_weights, weights_checksum

ROWS = [
    {"province": "Gaza", "year": "2022", "deaths": "12"},
    {"province": "Tete", "year": "(missing)", "deaths": "3.5"},
]
CSV = "province,year,deaths\nGaza,2022,12\nTete,,3.5\n"
COLUMNS = ("province", "year")


def written(folder: Path, data: bytes, name: str = "weights.csv") -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (CSV.encode(), "w.csv"),
        (CSV.replace(",", ";").encode(), "w.csv"),
        (CSV.replace(",", "\t").encode("utf-8-sig"), "w.csv"),
        (CSV.replace("\n", "\r\n").encode(), "w.csv"),
        (gzip.compress(CSV.encode()), "w.csv.gz"),
        (b"note,deaths,year,province\na,12,2022,Gaza\nb,3.5,NA, Tete \n", "w.csv"),
    ],
    ids=["commas", "semicolons", "tabs and mark", "Windows", "gzip", "other order"],
)
def test_weights_are_read_in_every_form_that_the_input_may_have(
    tmp_path: Path, data: bytes, name: str
) -> None:
    weights = read_weights(written(tmp_path, data, name), COLUMNS)
    assert weights.drop_columns([ROW]).to_pylist() == ROWS
    assert weights[ROW].to_pylist() == [2, 3]


def test_numbers_of_a_parquet_file_are_the_texts_of_the_strata(tmp_path: Path) -> None:
    table = pa.table({"province": ["Gaza", "Tete"], "year": [2022.0, None], "deaths": [12.0, 3.5]})
    pq.write_table(table, tmp_path / "w.parquet")
    weights = read_weights(str(tmp_path / "w.parquet"), COLUMNS)
    assert [row["year"] for row in weights.to_pylist()] == ["2022", "(missing)"]
    assert [float(row["deaths"]) for row in weights.to_pylist()] == [12, 3.5]


@pytest.mark.parametrize(
    ("data", "name", "problem"),
    [
        (b"province,deaths\nSecret,1,2\n", "w.csv", ", row 2: more or fewer cells than row 1"),
        ("province,deaths\nSécret,1\n".encode("latin-1"), "w.csv", "is not UTF-8 text; save it as CSV UTF-8"),
        (b'province,deaths\n"Secret,1\n', "w.csv", "a quotation mark is not closed"),
        (b"", "w.csv", "is empty"),
        (b"province,deaths\nSecret,1\n", "w.parquet", "is not a Parquet file"),
        (b"deaths,province,deaths\n1,Secret,2\n", "w.csv", "there is more than one column deaths"),
        (b"province,deaths\nSecret,1\n", "w.xlsx", "w.xlsx"),
    ],
)
def test_a_file_that_cannot_be_read_is_bad_input_and_no_cell_is_shown(
    tmp_path: Path, data: bytes, name: str, problem: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_weights(written(tmp_path, data, name), COLUMNS)
    (sentence,) = caught.value.problems
    assert sentence.startswith(f"roll_up_weights: {tmp_path}") and problem in sentence
    assert "cret" not in sentence
    assert caught.value.__suppress_context__


def test_weights_that_are_not_there_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"roll_up_weights: .*there is no such file"):
        read_weights(str(tmp_path / "none.csv"), COLUMNS)


def test_a_file_without_any_column_of_weights_has_no_rows(tmp_path: Path) -> None:
    assert read_weights(written(tmp_path, b"a,b\n1,2\n"), COLUMNS).num_columns == 0


@given(st.permutations(ROWS * 2), st.permutations(list(ROWS[0])))
def test_the_checksum_depends_on_the_rows_and_not_on_their_order(
    rows: list[dict[str, str]], names: list[str]
) -> None:
    ordered = weights_checksum(pa.Table.from_pylist(ROWS * 2))
    assert weights_checksum(pa.Table.from_pylist(rows).select(names)) == ordered
    assert len(ordered) == 64
    numbered = [{**row, ROW: number} for number, row in enumerate(rows)]
    assert weights_checksum(pa.Table.from_pylist(numbered)) == ordered
    changed = [{**rows[0], "deaths": "13"}, *rows[1:]]
    assert weights_checksum(pa.Table.from_pylist(changed)) != ordered
