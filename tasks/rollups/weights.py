"""The user's own weights of strata in roll-ups: deaths by stratum, from a file like the input's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import InputError
from tasks.sources import FileReader, find_files
from tasks.terms import MISSING

SHOWN_ROWS = 10


def read_weights(uri: str, strata_columns: Sequence[str]) -> pa.Table:
    """The columns age_group, country, those of the strata and deaths, as far as the file has them, as text.

    The file is read as the input is (CSV with any of its separators, or Parquet); a stratum's missing value
    is `(missing)`, as in the results. Raises InputError, without what is in the cells, if it cannot be read.
    """
    try:
        return _read(uri, ("age_group", "country", *strata_columns, "deaths"))
    except InputError as error:
        raise InputError([f"roll_up_weights: {problem}" for problem in error.problems]) from None


def weights_checksum(weights: pa.Table) -> str:
    """sha256 (hex) of the rows, in whichever order they and their columns are."""
    rows = sorted(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in weights.to_pylist())
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _read(uri: str, names: Sequence[str]) -> pa.Table:
    sources = find_files(uri)
    if len(sources) > 1:
        raise InputError(f"{uri}: is {len(sources)} files; give one")
    reader = FileReader(sources[0])
    reader.read_header()
    wanted = [name for name in names if name in reader.names]
    if twice := [name for name in wanted if reader.names.count(name) > 1]:
        raise InputError(f"{uri}: there is more than one column {', '.join(twice)}")
    rows = pa.concat_tables(_tables(reader, wanted))
    if reader.ragged:
        numbers = ", ".join(map(str, reader.ragged[:SHOWN_ROWS]))
        raise InputError(f"{uri}: {len(reader.ragged)} rows have too few or too many cells: row {numbers}")
    return rows


def _tables(reader: FileReader, wanted: Sequence[str]) -> Iterator[pa.Table]:
    yield pa.schema([(name, pa.string()) for name in wanted]).empty_table()
    if wanted:
        for batch in reader.batches(wanted):
            columns = {
                name: values if name == "deaths" else pc.fill_null(values, MISSING)
                for name, values in batch.columns.items()
            }
            yield pa.table(columns)
