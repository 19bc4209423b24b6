"""The same table in the dialects of many programs gives the same counts, or a refusal that names the cell.

R writes its own files: CSV by write.csv and write.csv2, Parquet by reticulate and pyarrow. Debian has neither arrow nor
nanoparquet for R; what R's arrow writes is what pyarrow writes, as both are the same library. readr's and Excel's files
are made after what these programs write.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ingest_made import counts, of_file, tabulated

from tasks.errors import InputError
from tasks.ingest import Tabulation

NAMES = ["algorithm", "cause", "deaths", "province", "year", "note"]
Rows = list[tuple[str, str, int, str, int | None, str]]
Write = Callable[[Rows, Path], Any]


def frame(rows: Rows) -> pd.DataFrame:
    """As pandas has it: years with gaps are floating numbers."""
    return pd.DataFrame(rows, columns=NAMES).astype({"year": "float64" if any_gap(rows) else "int64"})


def any_gap(rows: Rows) -> bool:
    return any(row[4] is None for row in rows)


def arrow(rows: Rows) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    types = [pa.string(), pa.string(), pa.int32(), pa.string(), pa.int16(), pa.string()]
    return pa.table([pa.array(one, type) for one, type in zip(columns, types, strict=True)], names=NAMES)


def written(
    rows: Rows, *, missing: str = "", line_end: str = "\r\n", row_names: bool = False, **given: Any
) -> str:
    """By Python's writer; numbers as texts without quotation marks, as all programs do."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=line_end, **given)
    first = [""] if row_names else []
    writer.writerow([*first, *NAMES])
    for number, row in enumerate(rows, start=1):
        cells = [missing if cell in (None, "") else cell for cell in row]
        writer.writerow([*([str(number)] if row_names else []), *cells])
    return out.getvalue()


READ = """
given <- commandArgs(trailingOnly = TRUE)
deaths <- jsonlite::fromJSON(given[1])
deaths$deaths <- as.numeric(deaths$deaths)
"""
PARQUET = """
reticulate::use_python(given[3], required = TRUE)
pa <- reticulate::import("pyarrow", convert = FALSE)
column <- function(x) {
  values <- lapply(x, function(value) if (is.na(value)) NULL else value)
  pa$array(values, type = if (is.character(x)) pa$string() else pa$float64())
}
reticulate::import("pyarrow.parquet")$write_table(pa$table(lapply(deaths, column)), given[2])
"""


def by_r(code: str) -> Write:
    """Written by R, from the same rows as JSON; row names, NA, and 1e+05 for 100000 are R's own."""

    def write(rows: Rows, path: Path) -> None:
        records = [
            dict(zip(NAMES, (None if cell == "" else cell for cell in row), strict=True)) for row in rows
        ]
        for name in ("province", "note"):  # so that R has a column of texts where all are missing
            if all(record[name] is None for record in records):
                for record in records:
                    record[name] = ""
        source = path.with_suffix(".json")
        source.write_text(json.dumps(records), encoding="utf-8")
        script = path.with_suffix(".R")
        script.write_text(READ + code, encoding="utf-8")
        subprocess.run(
            ["Rscript", "--vanilla", script, source, path, sys.executable],
            check=True,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )

    return write


def by_duckdb(rows: Rows, path: Path, options: str) -> None:
    with duckdb.connect() as db:
        db.register("deaths", arrow(rows))
        db.execute(f"COPY deaths TO '{path}' ({options})")


def text(make: Callable[[Rows], str], encoding: str = "utf-8") -> Write:
    return lambda rows, path: path.write_bytes(make(rows).encode(encoding))


DIALECTS: dict[str, tuple[str, Write]] = {
    "pandas": ("csv", lambda rows, path: frame(rows).to_csv(path, index=False)),
    "pandas with index": ("csv", lambda rows, path: frame(rows).to_csv(path)),
    "pandas, all quoted": (
        "csv",
        lambda rows, path: frame(rows).to_csv(path, index=False, quoting=csv.QUOTE_ALL, na_rep="NaN"),
    ),
    "pandas, tabs": ("csv", lambda rows, path: frame(rows).to_csv(path, index=False, sep="\t")),
    "pandas, gzip": ("csv.gz", lambda rows, path: frame(rows).to_csv(path, index=False)),
    "pandas, Parquet": ("parquet", lambda rows, path: frame(rows).to_parquet(path)),
    "pandas, Parquet of categories": (
        "parquet",
        lambda rows, path: (
            frame(rows).astype(dict.fromkeys(("cause", "province"), "category")).to_parquet(path)
        ),
    ),
    "R write.csv": ("csv", by_r("write.csv(deaths, given[2])")),
    "R write.csv2": ("csv", by_r("write.csv2(deaths, given[2])")),
    "R, Parquet": ("parquet", by_r(PARQUET)),
    "readr": ("csv", text(lambda rows: written(rows, missing="NA", line_end="\n"))),
    "readr for Excel": ("csv", text(lambda rows: written(rows, missing="NA", line_end="\n"), "utf-8-sig")),
    "Excel, English": ("csv", text(written, "utf-8-sig")),
    "Excel, Portuguese": ("csv", text(lambda rows: written(rows, delimiter=";"), "utf-8-sig")),
    "Excel, trailing column": (
        "csv",
        text(lambda rows: trailing(written(rows, delimiter=";"), ";"), "utf-8-sig"),
    ),
    "Excel, French, thousands": (
        "csv",
        text(lambda rows: written(with_spaces(rows), delimiter=";"), "utf-8-sig"),
    ),
    "Excel, Spanish, thousands": (
        "csv",
        text(lambda rows: written(with_dots(rows), delimiter=";"), "utf-8-sig"),
    ),
    "Excel, Unicode text": ("csv", text(lambda rows: written(rows, delimiter="\t"), "utf-16")),
    "DuckDB": ("csv", lambda rows, path: by_duckdb(rows, path, "FORMAT csv, HEADER")),
    "DuckDB, Parquet": ("parquet", lambda rows, path: by_duckdb(rows, path, "FORMAT parquet")),
    "Arrow": ("csv", lambda rows, path: pa_csv.write_csv(arrow(rows), path)),
    "Arrow, Parquet": ("parquet", lambda rows, path: pq.write_table(arrow(rows), path)),
    "Arrow, Parquet of decimals": (
        "parquet",
        lambda rows, path: pq.write_table(
            arrow(rows).set_column(2, "deaths", arrow(rows)["deaths"].cast(pa.decimal128(13, 3))), path
        ),
    ),
    "old Macintosh": ("csv", text(lambda rows: written(no_lines(rows), line_end="\r"))),
    "MySQL": (
        "csv",
        text(lambda rows: written(no_lines(rows), missing="\\N", line_end="\n", delimiter="\t")),
    ),
}


def trailing(content: str, sign: str) -> str:
    """Each row with one more, empty cell."""
    rows = list(csv.reader(io.StringIO(content, newline=""), delimiter=sign))
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=sign).writerows([*row, ""] for row in rows)
    return out.getvalue()


def with_spaces(rows: Rows) -> list[Any]:
    return [(*row[:2], f"{row[2]:,}".replace(",", "\u202f"), *row[3:]) for row in rows]


def with_dots(rows: Rows) -> list[Any]:
    return [(*row[:2], f"{row[2]:,}".replace(",", "."), *row[3:]) for row in rows]


def no_lines(rows: Rows) -> Rows:
    return [(*row[:5], " ".join(row[5].split())) for row in rows]


PROVINCES = [
    "Gaza",
    "Cabo Delgado",
    "Zamb\u00e9zia, N",
    'the "north"',
    "\u0928\u0947\u092a\u093e\u0932",
    "North; South",
    "007",
    "",
]
ROW = st.tuples(
    st.just("eava"),
    st.sampled_from(["Pneumonia", "prematurity", "Birth asphyxia", "other"]),
    st.one_of(st.integers(0, 999), st.sampled_from([1000, 12_000, 100_000, 1_234_567])),
    st.sampled_from(PROVINCES),
    st.sampled_from([2022, 2023, None]),
    st.sampled_from(["", "x", "two\nlines", 'said "no", twice', "a;b\tc", '5" nail']),
)
TABLES = st.lists(ROW, min_size=1, max_size=8, unique_by=lambda row: (row[1], row[3], row[4]))


def result(path: Path) -> Tabulation:
    return tabulated(of_file(path, layout="counts", columns={"strata": ["province", "year"]}))


def expected_of(rows: Rows) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for _, _, deaths, province, year, _ in rows:
        place = (province or "(missing)", "(missing)" if year is None else str(year))
        found[place] = found.get(place, 0) + deaths
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=TABLES.filter(lambda rows: sum(row[2] for row in rows) > 0))
def test_every_dialect_gives_the_same_counts_or_names_the_cell(dialect: str, rows: Rows) -> None:
    ending, write = DIALECTS[dialect]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"deaths.{ending}"
        write(rows, path)
        try:
            strata = result(path).strata.to_pylist()
        except InputError as refusal:
            assert may_refuse(dialect, rows), refusal
            assert named(path, refusal)
        else:
            assert {(row["province"], row["year"]): row["deaths"] for row in strata} == expected_of(rows)


def may_refuse(dialect: str, rows: Rows) -> bool:
    """Only what is not clear: digits in groups, and UTF-16."""
    return dialect == "Excel, Unicode text" or (
        "thousands" in dialect and any(row[2] >= 1000 for row in rows)
    )


def named(path: Path, refusal: InputError) -> bool:
    """The file is named, and the cell's column and row unless no cell can be read."""
    (problem,) = refusal.problems
    return problem.startswith(f"{path}, column 'deaths', row") or "UTF-16" in problem


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(gzip.compress(written([("eava", "ipre", 3, "Gaza", 2022, "")]).encode()))
    assert counts(result(tmp_path / "a.csv")) == {"eava": {"ipre": 3}}
