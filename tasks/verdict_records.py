"""The share of the records received that a result leaves out: of a stratum, and of a roll-up's strata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from tasks.schema import ALL, TABLES, columns

_Key = tuple[str, str, str]  # level, stratum, algorithm
_STANDARD = {column.name for table in TABLES for column in columns(table)}
_COUNTED = ("stratum", "algorithm", "records", "used")
_FIXED_IDENTITY = ("age_group", "country")


def identity_columns(names: list[str]) -> list[str]:
    """Age group, country and the request's strata columns among a table's columns, in their order."""
    return [*_FIXED_IDENTITY, *(name for name in names if name not in _STANDARD and not _is_quantile(name))]


def left_out_shares(tables: Mapping[str, pa.Table]) -> dict[_Key, tuple[float, str]]:
    """Share of the records received that was not used, and whose records they are.

    By (level, stratum, algorithm) of csmf. An ensemble has the largest share among its stratum's algorithms
    and that algorithm's name. A key without records is absent.
    """
    identity = identity_columns(tables["records"].column_names)
    counts = _by_fit(tables["records"], identity)
    shares: dict[_Key, tuple[float, str]] = {}
    for stratum, algorithm, records, used in zip(*(counts[c] for c in _COUNTED), strict=True):
        _add(shares, ("stratum", stratum, algorithm), records, used)
    for unit in _roll_ups(tables["csmf"], identity):
        inside = pd.Series(True, index=counts.index)
        for name in identity:
            if unit[name] != ALL:
                inside &= counts[name] == unit[name]
        sums = counts[inside].groupby("algorithm", as_index=False)[["records", "used"]].sum()
        for algorithm, records, used in zip(*(sums[c] for c in _COUNTED[1:]), strict=True):
            _add(shares, (unit["level"], unit["stratum"], algorithm), records, used)
    return shares


def _is_quantile(name: str) -> bool:
    return name[:1] == "q" and name[1:].isdigit()


def _by_fit(records: pa.Table, identity: list[str]) -> pd.DataFrame:
    """One row for each stratum and algorithm: records received and used."""
    frame = records.select(["stratum", *identity, "algorithm", "disposition", "records"]).to_pandas()
    frame["used"] = frame["records"].where(frame["disposition"] == "used", 0)
    keys = ["stratum", *identity, "algorithm"]
    counts: pd.DataFrame = frame.groupby(keys, sort=False, as_index=False)[["records", "used"]].sum()
    return counts


def _roll_ups(csmf: pa.Table, identity: list[str]) -> list[dict[str, Any]]:
    frame = csmf.select(["level", "stratum", *identity]).to_pandas()
    units = frame[frame["level"] != "stratum"].drop_duplicates()
    return [{str(name): value for name, value in row.items()} for row in units.to_dict("records")]


def _add(shares: dict[_Key, tuple[float, str]], key: _Key, records: int, used: int) -> None:
    if records:
        shares[key] = (1 - used / records, key[2])
        ensemble = (*key[:2], "ensemble")
        shares[ensemble] = max(shares[key], shares.get(ensemble, shares[key]))
