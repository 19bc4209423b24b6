"""The share of the records received that a result leaves out: of a stratum, and of a roll-up's strata.

Records whose age group, country or algorithm is not known belong to no stratum. They count for every result
that they could belong to: of an age group, country and algorithm, and over its strata in proportion to their
records. A record that states another age group, country or algorithm does not count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from tasks.results import ALL, TABLES, columns
from tasks.terms import AGE_GROUPS

if TYPE_CHECKING:
    import pandas as pd

_Key = tuple[str, str, str]  # level, stratum, algorithm
_STANDARD = {column.name for table in TABLES for column in columns(table)}
_COUNTED = ("stratum", "algorithm", "records", "used")
_FIXED_IDENTITY = ("age_group", "country")
_UNKNOWN, _NO_PLACE = "(unknown)", "("
_NO_DEATH = "stillbirth"
"""Reason of records that are no deaths of an age group: their absence makes no selection."""

Unplaced = Mapping[tuple[str, str, str], float]
"""By age group, country and algorithm: the share of records in no stratum among all it has or could have."""


def unplaced_shares(records: pa.Table) -> dict[tuple[str, str, str], float]:
    """The shares of `Unplaced` from the records of a whole run; a group without any such record is absent.

    records: age_group, country, algorithm, reason, records.
    """
    columns = [*_FIXED_IDENTITY, "algorithm", "reason"]
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for row in records.group_by(columns).aggregate([("records", "sum")]).to_pylist():
        if row["reason"] != _NO_DEATH:
            counts[row["age_group"], row["country"], row["algorithm"]] += row["records_sum"]
    placed = {key: n for key, n in counts.items() if not any(part.startswith(_NO_PLACE) for part in key)}
    loose = {key: n for key, n in counts.items() if _UNKNOWN in key}
    could = {
        key: sum(n for other, n in loose.items() if _could_be(other, key))
        for key in placed
        if key[0] in AGE_GROUPS
    }
    return {key: n / (n + placed[key]) for key, n in could.items() if n}


def _could_be(loose: tuple[str, str, str], key: tuple[str, str, str]) -> bool:
    return all(part in (_UNKNOWN, own) for part, own in zip(loose, key, strict=True))


def identity_columns(names: list[str]) -> list[str]:
    """Age group, country and the request's strata columns among a table's columns, in their order."""
    return [*_FIXED_IDENTITY, *(name for name in names if name not in _STANDARD and not _is_quantile(name))]


def left_out_shares(
    tables: Mapping[str, pa.Table], unplaced: Unplaced | None = None
) -> dict[_Key, tuple[float, str]]:
    """Share of the records received that was not used, and whose records they are.

    unplaced: of the whole run, where the tables are those of a part of it; None: from the table records.

    By (level, stratum, algorithm) of csmf. An ensemble has the largest share among its stratum's algorithms
    and that algorithm's name. A key without records is absent.
    """
    identity = identity_columns(tables["records"].column_names)
    loose = unplaced_shares(tables["records"]) if unplaced is None else unplaced
    counts = _by_fit(tables["records"], identity)
    shares: dict[_Key, tuple[float, str]] = {}
    for age, country, *fit in zip(*(counts[c] for c in (*_FIXED_IDENTITY, *_COUNTED)), strict=True):
        stratum, algorithm, records, used = fit
        _add(
            shares, ("stratum", stratum, algorithm), records, used, loose.get((age, country, algorithm), 0.0)
        )
    for names, units in _roll_ups(tables["csmf"], identity):
        sums = counts.groupby([*names, "algorithm"], sort=False, as_index=False)[["records", "used"]].sum()
        places = zip(*(sums[name] for name in names), strict=True)
        fits = zip(*(sums[name] for name in _COUNTED[1:]), strict=True)
        for place, (algorithm, records, used) in zip(places, fits, strict=True):
            where = dict(zip(names, place, strict=True))
            outside = loose.get((where["age_group"], where["country"], algorithm), 0.0)
            for level, key in units.get(place, ()):
                _add(shares, (level, key, algorithm), records, used, outside)
    return shares


def _is_quantile(name: str) -> bool:
    return name[:1] == "q" and name[1:].isdigit()


def _by_fit(records: pa.Table, identity: list[str]) -> pd.DataFrame:
    """One row for each stratum and algorithm: records received, stillbirths left out, and used."""
    wanted = ["stratum", *identity, "algorithm", "disposition", "reason", "records"]
    frame = records.select(wanted).to_pandas()
    frame = frame[frame["reason"] != _NO_DEATH]
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


def _add(shares: dict[_Key, tuple[float, str]], key: _Key, records: int, used: int, unplaced: float) -> None:
    """Adds a result of so many placed records; `unplaced`: the share of all records that is in no stratum."""
    if records:
        shares[key] = (1 - used / records * (1 - unplaced), key[2])
        ensemble = (*key[:2], "ensemble")
        shares[ensemble] = max(shares[key], shares.get(ensemble, shares[key]))
