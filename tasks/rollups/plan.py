"""Which strata make up each roll-up, and with which weight."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import InputError
from tasks.results import ALL
from tasks.rollups.weights import ROW
from tasks.terms import value_key

NATION = "nation"  # level of a roll-up over all strata of a country and age group
NO_PLACE = "("  # begins age group or country of rejected records, which belong to no roll-up
_SHOWN = 20  # problems of one kind


@dataclass(frozen=True)
class Plan:
    """Members and groups of all roll-ups; a group is one row of a level, as the province Nampula is.

    `members`: level, group (key of the group), stratum, weight (deaths), share (of the group's weight, 0 to
    1). `groups`: level, group, age_group, country, the strata columns (`(all)` where summed over), strata
    (how many), weight (deaths; also those of user's weights for strata that the data do not have).
    """

    members: pa.Table
    groups: pa.Table

    @property
    def share_elsewhere(self) -> float:
        """Largest share of a roll-up's weight that belongs to places which the data do not have."""
        shares = self.members.group_by(["level", "group"]).aggregate([("share", "sum")])["share_sum"]
        return max((1 - share for share in shares.to_pylist()), default=0.0)

    def only(self, strata: Iterable[str]) -> Plan:
        """The part of the plan that these strata need."""
        members = self.members.filter(pc.is_in(self.members["stratum"], pa.array(list(strata), pa.string())))
        return Plan(
            members, self.groups.filter(pc.is_in(self.groups["group"], members["group"].combine_chunks()))
        )


def plan(
    strata: pa.Table,
    strata_columns: Sequence[str],
    roll_ups: Sequence[Sequence[str]],
    weights: pa.Table | None = None,
) -> Plan:
    """The roll-ups of a request: one group for each age group, country and value of the level's columns.

    `strata`: stratum, age_group, country, the strata columns, deaths (received). `weights`: the strata
    columns, `deaths`, and age_group and country where the data hold more than one; they replace the deaths
    received. A roll-up always stays within one age group and country, so that a level that names them is the
    level without them; levels that are the same count once. Raises InputError with everything that is wrong
    with the weights.
    """
    rows = [
        row
        for row in strata.to_pylist()
        if not any(row[name].startswith(NO_PLACE) for name in ("age_group", "country"))
    ]
    unseen: list[dict[str, Any]] = []
    if weights is not None:
        unseen = _weigh(rows, strata_columns, weights)
    members: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    for columns in _levels(roll_ups, strata_columns):
        found = _level(rows, columns, strata_columns, unseen)
        groups += [group for group, _ in found]
        if weights is not None and (empty := [group["group"] for group, own in found if not _weight(own)]):
            raise InputError(
                [f"roll_up_weights: the weights of all strata of {group} are 0" for group in empty]
            )
        members += [member for _, own in found for member in own]
    if len({(group["level"], group["group"]) for group in groups}) < len(groups):
        raise ValueError("two roll-ups have the same level and group")
    texts = ("level", "group", "age_group", "country", *strata_columns)
    group_schema = [(name, pa.string()) for name in texts] + [
        ("strata", pa.int64()),
        ("weight", pa.float64()),
    ]
    member_schema = [(name, pa.string()) for name in ("level", "group", "stratum")]
    member_schema += [("weight", pa.float64()), ("share", pa.float64())]
    return Plan(
        pa.Table.from_pylist(members, pa.schema(member_schema)),
        pa.Table.from_pylist(groups, pa.schema(group_schema)),
    )


def _weight(members: Sequence[Mapping[str, Any]]) -> float:
    return math.fsum(member["weight"] for member in members)


def level_name(columns: Iterable[str], strata_columns: Sequence[str]) -> str:
    """The level of a roll-up by these columns: them in the order of the strata columns, or `nation`."""
    return "/".join(name for name in strata_columns if name in tuple(columns)) or NATION


def _levels(roll_ups: Sequence[Sequence[str]], strata_columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Each level once, as its strata columns in the order of the request's strata."""
    ordered = (tuple(name for name in strata_columns if name in columns) for columns in roll_ups)
    return list(dict.fromkeys(ordered))


def _level(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    strata_columns: Sequence[str],
    unseen: Sequence[Mapping[str, Any]],
) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Groups of one level, each with its members, in the order of their keys."""
    level = level_name(columns, strata_columns)
    by_group: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_group.setdefault(_group_key(row["stratum"], columns, strata_columns), []).append(row)
    found = []
    for key, own in sorted(by_group.items()):
        place = {name: own[0][name] for name in ("age_group", "country", *columns)}
        absent = [row["deaths"] for row in unseen if all(row[name] == value for name, value in place.items())]
        weight = math.fsum([*(row["deaths"] for row in own), *absent])
        group = {"level": level, "group": key, "strata": len(own), "weight": weight}
        members = [
            {
                "level": level,
                "group": key,
                "stratum": row["stratum"],
                "weight": float(row["deaths"]),
                "share": row["deaths"] / weight if weight else 0.0,
            }
            for row in own
        ]
        found.append(({**dict.fromkeys(strata_columns, ALL), **place, **group}, members))
    return found


def _group_key(stratum: str, columns: Sequence[str], strata_columns: Sequence[str]) -> str:
    """The stratum's key with the parts of these columns only; its values stay as they are escaped there."""
    age_group, country, *parts = stratum.split("/")
    kept = [part for name, part in zip(strata_columns, parts, strict=True) if name in columns]
    return "/".join([age_group, country, *kept])


def _weigh(
    rows: list[dict[str, Any]], strata_columns: Sequence[str], weights: pa.Table
) -> list[dict[str, Any]]:
    """Give the strata the user's weights; returns the rows of weights that no stratum has."""
    places = ("age_group", "country", *strata_columns)
    known = {name: {row[name] for row in rows} for name in ("age_group", "country")}
    missing = [
        name
        for name in (*places, "deaths")
        if name not in weights.column_names and len(known.get(name, ("", ""))) > 1
    ]
    if missing:
        raise InputError([f"roll_up_weights: there is no column {name}" for name in missing])
    only = {name: next(iter(values)) for name, values in known.items() if name not in weights.column_names}
    given: dict[tuple[str, ...], float] = {}
    problems: list[str] = []
    columns = {name: {value_key(row[name]): row[name] for row in rows} for name in places}
    for place, row in enumerate(weights.to_pylist(), start=1):
        number = row.get(ROW, place)
        texts = {name: str({**row, **only}[name]) for name in places}
        key = tuple(columns[name].get(value_key(text), text.strip()) for name, text in texts.items())
        if key in given:
            problems.append(f"roll_up_weights, row {number}: the stratum is there twice")
        try:
            given[key] = float(row["deaths"])
        except (TypeError, ValueError):
            given[key] = math.nan
        if not 0 <= given[key] < math.inf:
            problems.append(f"roll_up_weights, row {number}: deaths must be a number of at least 0")
    absent = [row["stratum"] for row in rows if tuple(row[name] for name in places) not in given]
    problems += [f"roll_up_weights: no deaths for the stratum {stratum}" for stratum in absent]
    if problems:
        more = [f"roll_up_weights: {len(problems) - _SHOWN} more problems"] if len(problems) > _SHOWN else []
        raise InputError(problems[:_SHOWN] + more)
    for row in rows:
        row["deaths"] = given.pop(tuple(row[name] for name in places))
    return [{**dict(zip(places, key, strict=True)), "deaths": deaths} for key, deaths in given.items()]
