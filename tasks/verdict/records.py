"""The share of the records received that a result leaves out: of a stratum, and of a roll-up's strata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd
import pyarrow as pa

from tasks.results import ALL, TABLES, columns

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
    for names, units in _roll_ups(tables["csmf"], identity):
        sums = counts.groupby([*names, "algorithm"], sort=False, as_index=False)[["records", "used"]].sum()
        places = zip(*(sums[name] for name in names), strict=True)
        fits = zip(*(sums[name] for name in _COUNTED[1:]), strict=True)
        for place, (algorithm, records, used) in zip(places, fits, strict=True):
            for level, key in units.get(place, ()):
                _add(shares, (level, key, algorithm), records, used)
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


_Units = dict[tuple[str, ...], list[tuple[str, str]]]
"""Level and key of the roll-ups at a place."""


def _roll_ups(csmf: pa.Table, identity: list[str]) -> Iterator[tuple[list[str], _Units]]:
    """The roll-ups of each level: the columns that tell their places, and the roll-ups by place."""
    frame = csmf.select(["level", "stratum", *identity]).to_pandas()
    found: dict[tuple[str, ...], _Units] = {}
    for unit in frame[frame["level"] != "stratum"].drop_duplicates().to_dict("records"):
        names = tuple(name for name in identity if unit[name] != ALL)
        place = tuple(unit[name] for name in names)
        found.setdefault(names, {}).setdefault(place, []).append((unit["level"], unit["stratum"]))
    return ((list(names), units) for names, units in found.items())


def _add(shares: dict[_Key, tuple[float, str]], key: _Key, records: int, used: int) -> None:
    if records:
        shares[key] = (1 - used / records, key[2])
        ensemble = (*key[:2], "ensemble")
        shares[ensemble] = max(shares[key], shares.get(ensemble, shares[key]))
