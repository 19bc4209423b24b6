"""The tables that an input becomes, and the check that they account for every record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.ingest.columns import stratum_columns
from tasks.ingest.judge import OK
from tasks.ingest.reading import Reading
from tasks.ingest.reduce import Records
from tasks.terms import MAX_LABELS, visible

OTHER_LABELS = "(other labels)"
MAX_MEMBERS = 62
"""Algorithms that are told apart in one number of 64 bits."""


@dataclass(frozen=True)
class Tabulation:
    """An input as counts.

    counts:   stratum, algorithm, cause, deaths: the deaths that go to calibration; what is absent is 0.
    strata:   stratum, age_group, country, the strata columns (text), deaths: received, whatever became of
              them; distinct IDs over the algorithms where there are IDs, else the largest number of an
              algorithm. Rows without a valid age group or country make the stratum "(unknown)", which has
              no used records.
    records:  stratum, algorithm, disposition (used, excluded, rejected), reason (null if used), records.
    causes:   age_group, algorithm, label, cause, treatment, records: what each cause label was taken for.
    received: stratum, algorithm, records: counted apart from `records`, which must add up to it.
    checksum: SHA-256 of the input's content, whatever its files are called.
    sources:  uri, bytes and sha256 of each file.
    notes:    what a reader must know about how the input was read, one sentence each.
    """

    counts: pa.Table
    strata: pa.Table
    records: pa.Table
    causes: pa.Table
    received: pa.Table
    checksum: str
    sources: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


def tables(records: Records, reading: Reading) -> dict[str, pa.Table]:
    """The tables of a Tabulation, from the tables `judged`, `place` and `records`."""
    return {
        "counts": records.query(
            "SELECT stratum, algorithm, cause, sum(n)::BIGINT AS deaths FROM judged "
            "WHERE disposition = 'used' GROUP BY ALL HAVING sum(n) > 0 ORDER BY ALL"
        ),
        "strata": _strata(records, reading),
        "records": records.query(
            "SELECT stratum, algorithm, disposition, reason, sum(n)::BIGINT AS records FROM judged "
            "GROUP BY ALL HAVING sum(n) > 0 ORDER BY stratum, algorithm, disposition, reason"
        ),
        "causes": _causes(records),
        "received": _received(records, reading),
    }


def _using(reading: Reading) -> str:
    return ", ".join(stratum_columns(reading))


def _received(records: Records, reading: Reading) -> pa.Table:
    """Records by stratum and algorithm straight from what was read, not by way of `judged`."""
    return records.query(
        f"""SELECT stratum, name AS algorithm, sum(n)::BIGINT AS records
        FROM records r JOIN place USING ({_using(reading)}) JOIN algorithm_label a ON a.code = r.algorithm
        GROUP BY ALL HAVING sum(n) > 0 ORDER BY ALL"""
    )


def _strata(records: Records, reading: Reading) -> pa.Table:
    asked = f"""SELECT p.stratum, r.id, a.name, r.n FROM records r JOIN place p USING ({_using(reading)})
        JOIN algorithm_label a ON a.code = r.algorithm
        LEFT JOIN treatment t ON t.age_group = r.age_group AND t.label = r.cause
        WHERE a.state = '{OK}' AND t.treatment IS DISTINCT FROM 'stillbirth'"""
    if records.has_ids:
        _see(records, reading, asked)
        deaths = "SELECT stratum, sum(deaths)::BIGINT AS deaths FROM seen GROUP BY stratum"
    else:
        deaths = f"""SELECT stratum, max(total)::BIGINT AS deaths FROM
            (SELECT stratum, name, sum(n) AS total FROM ({asked}) GROUP BY ALL) GROUP BY stratum"""
    names = ("age_group", "country", *reading.columns.strata)
    shown = ", ".join(
        f'{column}_value AS "{name.replace(chr(34), chr(34) * 2)}"'
        for column, name in zip(stratum_columns(reading), names, strict=True)
    )
    return records.query(
        f"""SELECT DISTINCT stratum, {shown}, coalesce(d.deaths, 0) AS deaths
        FROM place LEFT JOIN ({deaths}) d USING (stratum) ORDER BY stratum"""
    )


def _see(records: Records, reading: Reading, asked: str) -> None:
    """The table `seen`: deaths by stratum and `members`, the algorithms that have them (bit k: the k-th)."""
    bits = " ".join(f"WHEN '{name}' THEN {1 << k}" for k, name in enumerate(reading.algorithms[:MAX_MEMBERS]))
    records.db.execute(
        f"""CREATE TEMP TABLE seen AS SELECT stratum, members, count(*) AS deaths FROM
            (SELECT stratum, id, bit_or((CASE name {bits} ELSE 0 END)::BIGINT) AS members FROM ({asked})
            WHERE id IS NOT NULL GROUP BY stratum, id) GROUP BY stratum, members"""
    )


def _causes(records: Records) -> pa.Table:
    """What each label was taken for; labels that are in no list only in part: they could be anything."""
    found = records.rows(
        """SELECT e.name, algorithm, label, cause, treatment, sum(n)::BIGINT AS records FROM judged
        JOIN age_group_label e ON e.code = judged.age_group
        WHERE disposition = 'used'
           OR reason IN ('blank_cause', 'stillbirth', 'undetermined_cause', 'unmapped_cause')
        GROUP BY ALL HAVING sum(n) > 0 ORDER BY e.name, algorithm, records DESC, label"""
    )
    rows: dict[tuple[Any, ...], int] = {}
    unmapped: dict[tuple[str, str], set[int]] = {}
    for age_group, algorithm, code, cause, treatment, count in found:
        label = visible(records.codes["cause"].labels[code] or "")
        if treatment == "unmapped":
            seen = unmapped.setdefault((age_group, algorithm), set())
            label = label if len(seen) < MAX_LABELS else OTHER_LABELS
            seen.add(code)
        key = (age_group, algorithm, label, cause, treatment)
        rows[key] = rows.get(key, 0) + count
    ordered = sorted(rows.items(), key=lambda row: (row[0][0], row[0][1], -row[1], row[0][2]))
    names = ("age_group", "algorithm", "label", "cause", "treatment")
    schema = pa.schema([(name, pa.string()) for name in names] + [("records", pa.int64())])
    return pa.Table.from_pylist(
        [{**dict(zip(names, key, strict=True)), "records": count} for key, count in ordered], schema=schema
    )


def check_records_add_up(tabulation: Tabulation, records: pa.Table | None = None) -> None:
    """Holds received = used + not fitted + excluded + rejected, and used = counts, by stratum and algorithm.

    records: the table after the flow has moved some records to not_fitted; by default the tabulation's own.
    Raises RuntimeError naming the first stratum that does not add up: a defect, never the user's fault.
    """
    table = tabulation.records if records is None else records
    _same("received", _sums(tabulation.received, "records"), _sums(table, "records"))
    if records is None:
        used = table.filter(pc.equal(table["disposition"], pa.scalar("used")))
        _same("used", _sums(tabulation.counts, "deaths"), _sums(used, "records"))


def _sums(table: pa.Table, value: str) -> dict[tuple[str, str], int]:
    grouped = table.group_by(["stratum", "algorithm"]).aggregate([(value, "sum")])
    names = ("stratum", "algorithm", f"{value}_sum")
    return {(s, a): total for s, a, total in zip(*(grouped[n].to_pylist() for n in names), strict=True)}


def _same(what: str, expected: dict[tuple[str, str], int], found: dict[tuple[str, str], int]) -> None:
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key, 0) != found.get(key, 0):
            raise RuntimeError(
                f"records do not add up in stratum {key[0]}, algorithm {key[1]}: "
                f"{what} {expected.get(key, 0)}, accounted for {found.get(key, 0)}"
            )


def content_checksum(parts: Iterable[tuple[str, dict[str, str], str]]) -> str:
    """SHA-256 over the content of all files, each with its algorithm and folders' columns, in any order."""
    lines = sorted(
        json.dumps([algorithm, columns, digest], sort_keys=True) for algorithm, columns, digest in parts
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
