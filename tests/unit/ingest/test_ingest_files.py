"""The same records give the same result however they are stored: files, folders, formats, encodings, S3."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from support.ingest_made import accounted, counts, csv, fields, of_file, refused, tabulated

from tasks.errors import StorageError
from tasks.ingest.tabulate import Tabulation
from tasks.request.model import parse_request

if TYPE_CHECKING:
    from support.s3 import Server

pytest_plugins = ["support.s3"]

TEXT = """ID,cause,province,note
00123,Pneumonia,"Zambézia, N","said ""x"",
in two lines"
2,Birth asphyxia,Nampula,
3,Unspecified,,
4,ipre,Nampula,x
"""
STRATA = {"strata": ["province"]}


def tables(found: Tabulation) -> list[Any]:
    return [t.to_pylist() for t in (found.counts, found.strata, found.records, found.causes, found.received)]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.csv"
    path.write_text(TEXT, encoding="utf-8")
    return path


def stored(plain: Path, kind: str) -> Path:
    data = TEXT.encode()
    path = plain.with_name("other.csv")
    if kind == "gzip":
        path = plain.with_name("other.csv.gz")
        path.write_bytes(gzip.compress(data))
    elif kind == "gzip under another name":
        path.write_bytes(gzip.compress(data))
    elif kind == "BOM":
        path.write_bytes(b"\xef\xbb\xbf" + data)
    elif kind == "gzip with BOM":
        path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + data))
    elif kind == "Windows line ends":
        path.write_bytes(data.replace(b"\n", b"\r\n"))
    elif kind == "no newline at the end":
        path.write_bytes(data.rstrip(b"\n"))
    elif kind == "everything quoted":
        table = pa_csv.read_csv(plain, parse_options=pa_csv.ParseOptions(newlines_in_values=True))
        text = table.set_column(0, "ID", pa.array(["00123", "2", "3", "4"]))
        pa_csv.write_csv(text, path, pa_csv.WriteOptions(quoting_style="all_valid"))
    elif kind in ("semicolons", "tabs"):
        sign = {"semicolons": ";", "tabs": "\t"}[kind]
        head, rest = TEXT.split("\n", 1)
        rows = rest.replace(",Pneumonia,", f"{sign}Pneumonia{sign}").replace('N","', f'N"{sign}"')
        for row in ("2,Birth asphyxia,Nampula,", "3,Unspecified,,", "4,ipre,Nampula,x"):
            rows = rows.replace(row, row.replace(",", sign))
        path.write_text(head.replace(",", sign) + "\n" + rows, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "gzip",
        "gzip under another name",
        "BOM",
        "gzip with BOM",
        "Windows line ends",
        "no newline at the end",
        "everything quoted",
        "semicolons",
        "tabs",
    ],
)
def test_how_a_csv_file_is_written_does_not_matter(plain: Path, kind: str) -> None:
    expected = tabulated(of_file(plain, columns=STRATA))
    assert accounted(expected) == {("used", ""): 3, ("excluded", "undetermined_cause"): 1}
    assert tables(tabulated(of_file(stored(plain, kind), columns=STRATA))) == tables(expected)


@pytest.mark.parametrize("kind", ["text", "dictionary", "large_string", "numbers"])
def test_parquet_columns_of_any_type_are_read_as_text(tmp_path: Path, kind: str) -> None:
    path = csv(tmp_path, "ID,cause,year\n1,ipre,2023\n2,Pneumonia,2022\n3,ipre,")
    ids, cause, year = (
        pa.array(["1", "2", "3"]),
        pa.array(["ipre", "Pneumonia", "ipre"]),
        pa.array(["2023", "2022", None]),
    )
    if kind == "dictionary":
        cause, year = cause.dictionary_encode(), year.dictionary_encode()
    elif kind == "large_string":
        ids, cause = ids.cast(pa.large_string()), cause.cast(pa.large_string())
    elif kind == "numbers":
        ids, year = ids.cast(pa.int32()), year.cast(pa.float64())
    pq.write_table(pa.table({"ID": ids, "cause": cause, "year": year}), tmp_path / "d.parquet")
    columns = {"strata": ["year"]}
    expected = tabulated(of_file(path, columns=columns))
    assert tables(tabulated(of_file(tmp_path / "d.parquet", columns=columns))) == tables(expected)


def test_rows_of_a_parquet_file_are_counted_from_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"ID": ["1", None], "cause": ["ipre", "ipre"]}), tmp_path / "d.parquet")
    assert (
        refused(of_file(tmp_path / "d.parquet"), tmp_path)[0]
        == "d.parquet, column 'ID', row 2: 1 row without an ID"
    )


def test_row_numbers_are_right_beyond_the_first_block(tmp_path: Path) -> None:
    long = "x" * 1000
    rows = [f"{n},ipre,{long}" for n in range(40_000)]  # about 40 MB: several blocks
    rows[20_000] = "20000,Xyz," + long
    rows[30_000] = "30000,ipre"
    rows[39_999] = ",ipre,y"
    path = csv(tmp_path, "ID,cause,note\n" + "\n".join(rows))
    found = refused(of_file(path), tmp_path)
    assert "row 30002: 1 row with more or fewer cells" in found[0]
    assert "row 40001: 1 row without an ID" in found[1]
    assert "row 20002: 'Xyz'" in found[3]


def test_a_folder_of_partitions_gives_columns(tmp_path: Path) -> None:
    folder = tmp_path / "deaths"
    csv(folder, "ID,cause\n1,ipre\n2,ipre", "province=Nampula/year=2022/part-0.csv")
    csv(folder, "ID,cause\n3,ipre", "province=Cabo%20Delgado/year=2023/part-0.csv")
    csv(folder, "ID,cause\n4,ipre", "province=__HIVE_DEFAULT_PARTITION__/year=2023/part-0.csv")
    for name in ("_SUCCESS", ".part.crc", "_temporary/part.csv"):
        csv(folder, "junk", name)
    found = tabulated(of_file(folder, columns={"strata": ["province", "year"]}))
    assert found.strata.select(["province", "year", "deaths"]).to_pylist() == [
        {"province": "(missing)", "year": "2023", "deaths": 1},
        {"province": "Cabo Delgado", "year": "2023", "deaths": 1},
        {"province": "Nampula", "year": "2022", "deaths": 2},
    ]


def test_age_group_and_algorithm_may_be_partitions(tmp_path: Path) -> None:
    csv(tmp_path, "ID,cause\n1,ipre", "algorithm=EAVA/age_group=neonate/a.csv")
    csv(tmp_path, "ID,cause\n1,malaria", "algorithm=interva/age_group=child/a.csv")
    found = tabulated(of_file(tmp_path, age_group={"column": "age_group"}, algorithms=["eava", "interva"]))
    assert counts(found) == {"eava": {"ipre": 1}, "interva": {"malaria": 1}}


def test_a_column_both_in_the_file_and_its_folder_is_refused(tmp_path: Path) -> None:
    csv(tmp_path, "ID,cause,year\n1,ipre,2022", "year=2023/a.csv")
    assert refused(of_file(tmp_path, columns={"strata": ["year"]}), tmp_path) == [
        "year=2023/a.csv: has more than one column 'year'; rename the others"
    ]


def test_patterns_lists_and_splits_of_files_give_the_result_of_the_whole(tmp_path: Path) -> None:
    rows = [f"{n},{cause}" for n, cause in enumerate(["ipre", "Pneumonia", "Unspecified", "other"] * 5)]
    whole = csv(tmp_path, "ID,cause\n" + "\n".join(rows), "whole.csv")
    parts = [csv(tmp_path, "ID,cause\n" + "\n".join(rows[n::3]), f"parts/{n}.csv") for n in range(3)]
    expected = tables(tabulated(of_file(whole)))
    for given in (
        parts,
        tmp_path / "parts",
        tmp_path / "parts" / "*.csv",
        [parts[0], tmp_path / "parts" / "[12].csv"],
    ):
        assert tables(tabulated(of_file(given))) == expected


def test_the_format_may_be_said_where_the_ending_does_not(tmp_path: Path) -> None:
    path = csv(tmp_path, "ID,cause\n1,ipre", "deaths.txt")
    request = parse_request(fields(input={"uri": str(path), "format": "csv"}))
    assert counts(tabulated(request)) == {"eava": {"ipre": 1}}


def test_columns_are_found_without_regard_to_case_but_exact_names_first(tmp_path: Path) -> None:
    path = csv(tmp_path, '"Id","CAUSE","Year","year"\n1,ipre,a,b')
    found = tabulated(of_file(path, columns={"strata": ["year"]}))
    assert found.strata["year"].to_pylist() == ["b"]


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    path = csv(tmp_path, "ID,cause\n1,ipre")
    tabulated(of_file(path))
    refused(of_file(path, algorithms=["interva", "eava"], columns={"algorithm": "cause"}), tmp_path)
    assert list(room.iterdir()) == []


def test_input_on_s3_is_read_like_local_input(s3_root: str, plain: Path) -> None:
    fs, root = fsspec.filesystem("s3"), s3_root.removeprefix("s3://")
    expected = tabulated(of_file(plain, columns=STRATA))
    table = pa.table(
        {
            "ID": ["00123", "2", "3", "4"],
            "cause": ["Pneumonia", "Birth asphyxia", "Unspecified", "ipre"],
            "province": ["Zambézia, N", "Nampula", None, "Nampula"],
        }
    )
    pq.write_table(table, plain.with_name("d.parquet"))
    fs.pipe_file(f"{root}/csv/deaths.csv", TEXT.encode())
    fs.pipe_file(f"{root}/gz/deaths.csv.gz", gzip.compress(TEXT.encode()))
    fs.put_file(str(plain.with_name("d.parquet")), f"{root}/parquet/year=2023/d.parquet")
    uris = [f"{s3_root}/csv/deaths.csv", f"{s3_root}/gz/*.gz", f"{s3_root}/parquet"]
    found = [tabulated(parse_request(fields(input={"uri": uri}, columns=STRATA))) for uri in uris]
    assert [tables(one) for one in found] == [tables(expected)] * 3
    assert found[0].checksum == expected.checksum
    assert found[2].sources[0]["uri"] == f"{s3_root}/parquet/year=2023/d.parquet"


def test_what_is_not_on_s3_is_refused(s3_root: str, tmp_path: Path) -> None:
    request = parse_request(fields(input={"uri": f"{s3_root}/none.csv"}))
    assert refused(request, tmp_path) == [f"{s3_root}/none.csv: there is no such file, or no file in it"]


def test_a_refused_credential_is_a_storage_error_without_the_credential(
    s3_root: str, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-2")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(StorageError, match="access denied") as raised:
        tabulated(parse_request(fields(input={"uri": f"{s3_root}/deaths.csv"})))
    assert "secret" not in str(raised.value)
