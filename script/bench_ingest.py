"""Measures how fast and in how much memory an input is tabulated: rows a second and peak resident memory.

    python script/bench_ingest.py --rows 20000000 --format csv

Writes a made-up national input (three algorithms of the same deaths; province, year, sex and age group) into
a temporary folder, and tabulates it in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from tasks.ingest import tabulate
from tasks.request import CalibrationRequest, parse_request
from tasks.run import reading_of
from tasks.terms import AGE_GROUPS, cause_map

ALGORITHMS = ("eava", "insilicova", "interva")
CHUNK = 1_000_000


def write_input(path: Path, rows: int, seed: int = 1) -> None:
    """Writes `rows` rows, a third for each algorithm; the format is the file's ending."""
    deaths, random = rows // len(ALGORITHMS), np.random.default_rng(seed)
    labels = [[*cause_map(age), "Unspecified"] for age in AGE_GROUPS]
    writer: Any = None
    for algorithm in ALGORITHMS:
        for start in range(0, deaths, CHUNK):
            ids = np.arange(start, min(start + CHUNK, deaths))
            table = _rows(algorithm, ids, labels, random)
            if writer is None:
                opened = pq.ParquetWriter if path.suffix == ".parquet" else pa_csv.CSVWriter
                target: Any = pa.output_stream(path) if path.suffix == ".gz" else str(path)
                writer = opened(target, table.schema)
            writer.write_table(table)
    writer.close()


def _rows(algorithm: str, ids: np.ndarray, labels: list[list[str]], random: np.random.Generator) -> pa.Table:
    place = np.random.default_rng(ids[0]).integers(
        0, 11 * 5 * 2 * 2, len(ids)
    )  # the same for every algorithm
    age = place % 2
    cause = [np.array(known, dtype=object)[random.integers(0, len(known), len(ids))] for known in labels]
    return pa.table(
        {
            "ID": pa.array([f"uuid:{n:012d}" for n in ids]),
            "cause": pa.array(np.where(age == 0, cause[0], cause[1])),
            "algorithm": pa.array([algorithm] * len(ids)),
            "age_group": pa.array(np.array(AGE_GROUPS, dtype=object)[age]),
            "province": pa.array(
                np.array([f"Province {n}" for n in range(11)], dtype=object)[place // 2 % 11]
            ),
            "year": pa.array((2019 + place // 22 % 5).astype(str)),
            "sex": pa.array(np.array(["female", "male"], dtype=object)[place // 110]),
        }
    )


def request(path: Path) -> CalibrationRequest:
    """The request that tabulates the file by province, year and sex."""
    return parse_request(
        {
            "name": "bench",
            "input": {"uri": str(path)},
            "columns": {"strata": ["province", "year", "sex"]},
            "age_group": {"column": "age_group"},
            "country": "Mozambique",
            "algorithms": ALGORITHMS,
        }
    )


def measure(path: Path) -> dict[str, float]:
    """Tabulates the file in this process: seconds, peak MB, and what came out."""
    start = time.perf_counter()
    found = tabulate(reading_of(request(path)))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": seconds,
        "cpu": time.process_time(),
        "peak_mb": peak,
        "strata": found.strata.num_rows,
        "counts": found.counts.num_rows,
    }


def main() -> None:
    """Writes the input, tabulates it in a fresh process and prints one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--format", choices=["csv", "csv.gz", "parquet"], default="csv")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"deaths.{given.format}"
        write_input(path, given.rows)
        size = path.stat().st_size / 2**20
        command = [sys.executable, __file__, "--measure", str(path)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(
        f"{given.rows:,} rows, {given.format}, {size:,.0f} MB: {found['seconds']:.1f} s "
        f"({found['cpu']:.1f} s of CPU), {given.rows / found['seconds']:,.0f} rows/s, "
        f"peak memory {found['peak_mb']:,.0f} MB, {found['strata']} strata, {found['counts']} counts"
    )


if __name__ == "__main__":
    main()
