"""What a reader must know about an input in order: counts, never an ID nor a value of a strata column."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from tasks.ingest.judge import UNKNOWN, values_of
from tasks.ingest.reading import Reading
from tasks.ingest.reduce import Records
from tasks.ingest.tables import MAX_MEMBERS
from tasks.results import MANY_SET_ASIDE
from tasks.sources import MISSING_TEXTS
from tasks.terms import AGE_GROUPS, ALIASES, BROAD_CAUSES, MAX_LABELS, alias_note, amount, normal, show

COVERED = 0.9
"""Share of the deaths received below which it is said that an algorithm saw fewer."""

MOST_OTHER = 0.3
"""Share of "other" among an algorithm's mapped records above which the age group is doubted."""

MOST_NEONATAL = 0.25
"""Share of neonatal causes among an algorithm's mapped child records above which the age group is doubted."""

_MARKS = "-_'`\u2010\u2011\u2012\u2013\u2018\u2019\u02bc"

ENOUGH = 20
"""Mapped records of an algorithm below which its causes say nothing about the age group."""

MAIN_CAUSES: Mapping[str, tuple[str, ...]] = {
    "neonate": ("prematurity", "ipre"),
    "child": ("pneumonia", "diarrhea"),
}
"""Causes of which some deaths are expected in any population of the age group."""


def notes_on_fates(table: pa.Table) -> list[str]:
    """Many records set aside, then stillbirths; table: the records of a tabulation."""
    rows = [row for row in table.to_pylist() if row["reason"] != "algorithm_not_requested"]
    received = sum(row["records"] for row in rows)
    why: Counter[str] = Counter()
    for row in rows:
        if row["disposition"] == "rejected" or row["reason"] == "stillbirth":
            why[row["reason"]] += row["records"]
    stillbirths = why.pop("stillbirth", 0)
    notes, rejected = [], why.total()
    if rejected > MANY_SET_ASIDE * received:
        each = ", ".join(f"{reason.replace('_', ' ')} {n:,}" for reason, n in why.most_common())
        share = f"{rejected:,} of {received:,} records ({rejected / received:.0%})"
        notes.append(f"{share} are set aside and in no result: {each}")
    if stillbirths:
        are = "is" if stillbirths == 1 else "are"
        notes.append(
            f"{amount(stillbirths, 'record')} of stillbirths {are} left out: they are no deaths of an age "
            "group; stillbirths: other counts them as other, as the published package does"
        )
    return notes


def notes_on_records(records: Records, causes: pa.Table, reading: Reading) -> list[str]:
    """Notes on the names of algorithms, the deaths they saw, the age group and the strata's values.

    causes: the table of that name of the tabulation. Needs the tables `place` and `seen`.
    """
    return [
        *_alias_notes(records, reading),
        *_few(_coverage(records, reading)),
        *_few(_age_groups(causes, reading)),
        *_alike(records, reading),
    ]


def _alias_notes(records: Records, reading: Reading) -> Iterator[str]:
    labels = {normal(label or "") for label in records.codes["algorithm"].labels}
    for alias, name in ALIASES.items():
        if alias in reading.aliases or (alias in labels and name in reading.algorithms):
            yield alias_note(alias)


def _few(notes: Iterable[str]) -> list[str]:
    found = list(notes)
    left = len(found) - MAX_LABELS
    return found if left <= 0 else [*found[:MAX_LABELS], f"{amount(left, 'more such note')}"]


def _coverage(records: Records, reading: Reading) -> Iterator[str]:
    """Algorithms that saw clearly fewer deaths than were received, by age group and country."""
    names = reading.algorithms
    if not (records.has_ids and 2 <= len(names) <= MAX_MEMBERS):
        return
    seen: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for age_group, country, members, deaths in records.rows(
        """SELECT age_group_value, country_value, members, sum(deaths)::BIGINT FROM seen
        JOIN (SELECT DISTINCT stratum, age_group_value, country_value FROM place) USING (stratum)
        GROUP BY ALL ORDER BY ALL"""
    ):
        if age_group in AGE_GROUPS and country != UNKNOWN:
            seen.setdefault((age_group, country), []).append((members, deaths))
    for (age_group, country), parts in seen.items():
        total = sum(deaths for _, deaths in parts)
        of = [sum(deaths for members, deaths in parts if members >> k & 1) for k in range(len(names))]
        if min(of) < COVERED * total:
            each = ", ".join(f"{name} to {n}" for name, n in zip(names[1:], of[1:], strict=True))
            shared = sum(deaths for members, deaths in parts if members == (1 << len(names)) - 1)
            yield (
                f"age group {age_group}, {country}: {names[0]} gave a cause or none to {of[0]} of "
                f"{total} deaths received, {each}; {shared} {'is' if shared == 1 else 'are'} in "
                f"{'both' if len(names) == 2 else 'all'}: did the algorithms see the same deaths, "
                "and are the IDs spelled alike?"
            )


def _age_groups(causes: pa.Table, reading: Reading) -> Iterator[str]:
    """Causes that the declared age group would hardly have, by age group and algorithm."""
    study = {normal(name): normal(broad) for name, broad in (reading.study_cause_map or {}).items()}
    deaths: dict[tuple[str, str], dict[str, int]] = {}
    for row in causes.to_pylist():
        if row["treatment"] == "mapped":
            broad = study.get(normal(row["cause"]), normal(row["cause"]))
            of = deaths.setdefault((row["age_group"], row["algorithm"]), {})
            of[broad] = of.get(broad, 0) + row["records"]
    for (age_group, algorithm), of in deaths.items():
        total = sum(of.values())
        if age_group not in AGE_GROUPS or total < ENOUGH or not set(of) <= set(BROAD_CAUSES[age_group]):
            continue
        main = MAIN_CAUSES[age_group]
        doubt = f"is this really age group {age_group}?"
        if not any(of.get(cause) for cause in main):
            yield f"{algorithm}: no deaths at all from {', '.join(main)}: {doubt}"
        elif of.get("other", 0) > MOST_OTHER * total:
            yield f"{algorithm}: {of['other'] / total:.0%} of {total} mapped records are other: {doubt}"
        elif of.get("nn_causes", 0) > MOST_NEONATAL * total:
            share = of["nn_causes"] / total
            yield f"{algorithm}: {share:.0%} of {total} mapped records are of neonatal causes: {doubt}"


def _alike(records: Records, reading: Reading) -> Iterator[str]:
    """Values of a strata column that are one value but for their spelling; the values are not shown."""
    for index, column in enumerate(reading.columns.strata):
        labels = [label for label in records.codes[f"s{index}"].labels if label is not None]
        if set(labels) & set(MISSING_TEXTS):
            yield (
                f"column {show(column)}: a text such as NA makes a stratum of its own, as only a cell of a CSV file is "
                "missing by such a text; in Parquet write null where a value is missing"
            )
        values = sorted(set(values_of(labels)))
        if several := len(labels) - len(values):
            yield (
                f"column {show(column)}: {amount(several, 'further spelling')} of a value (as 2023.0 is of "
                "2023, or 01 of 1, or by spaces); the strata have one form of each"
            )
        if more := len(values) - _different(values):
            yield (
                f"column {show(column)}: {amount(more, 'value')} {'differs' if more == 1 else 'differ'} from "
                "another only in upper and lower case, spaces, accents, hyphens or apostrophes; each makes a "
                "stratum of its own"
            )


def _different(labels: Sequence[str]) -> int:
    decomposed = (unicodedata.normalize("NFKD", label.casefold()) for label in labels)
    return len(
        {
            "".join(c for c in text if not (unicodedata.combining(c) or c.isspace() or c in _MARKS))
            for text in decomposed
        }
    )
