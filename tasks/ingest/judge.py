"""What becomes of each record: used, excluded or rejected, with one reason each, by SQL over codes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from tasks.errors import InputError
from tasks.ingest.columns import NOT_ONE_CAUSE, UNREADABLE, stratum_columns
from tasks.ingest.reading import Reading
from tasks.ingest.reduce import Records
from tasks.terms import (
    AGE_GROUPS,
    MISSING,
    CauseList,
    code_range,
    nearest,
    nearest_countries,
    normal,
    one_form,
    one_name,
    other_age_group,
    resolve_country,
    show,
)

UNKNOWN = "(unknown)"
ELSEWHERE = "(another)"
"""Age group or algorithm of records that state one which is no part of any request."""
OTHER_AGES = frozenset(
    {"adult", "adults", "adolescent", "adolescents", "elderly", "stillbirth", "stillbirths"}
)
OTHER_ALGORITHMS = frozenset({"smartva", "tariff", "tariff 2.0", "tariff2", "nbc", "pcva", "physician"})
INVENTORY_ALGORITHMS = ("eava", "insilicova", "interva")
"""Algorithms that the published inventory knows: an input may hold their records unasked for."""

OK, ABSENT, WRONG, NOT_ASKED = "ok", "missing", "wrong", "not_asked"


def judge(records: Records, reading: Reading, causes: Mapping[str, CauseList]) -> None:
    """Makes the tables `place` (stratum of a combination of codes) and `judged` (records by disposition)."""
    _label_meanings(records, reading)
    _duplicates(records)
    place = ", ".join(stratum_columns(reading))
    records.db.execute(
        f"""CREATE TEMP TABLE groups AS
        SELECT algorithm, cause, {place}, bad, {_no_id(records)} AS no_id,
               d.id IS NOT NULL AS duplicate, sum(n)::BIGINT AS n, count(*) AS rows
        FROM records LEFT JOIN duplicates d USING (algorithm, id) GROUP BY ALL"""
    )
    _places(records, reading)
    _cause_meanings(records, causes)
    records.db.execute(_judged(place))


def _no_id(records: Records) -> str:
    return "id IS NULL" if records.has_ids else "false"


REASONS = (
    ("unreadable_row", f"g.bad = {UNREADABLE}"),
    ("missing_algorithm", f"a.state = '{ABSENT}'"),
    ("unknown_algorithm", f"a.state = '{WRONG}'"),
    ("algorithm_not_requested", f"a.state = '{NOT_ASKED}'"),
    ("missing_age_group", f"e.state = '{ABSENT}'"),
    ("unknown_age_group", f"e.state = '{WRONG}'"),
    ("missing_country", f"c.state = '{ABSENT}'"),
    ("unknown_country", f"c.state = '{WRONG}'"),
    ("missing_id", "g.no_id"),
    ("duplicate_id", "g.duplicate"),
    ("not_exactly_one_cause", f"g.bad = {NOT_ONE_CAUSE}"),
    ("blank_cause", "t.treatment = 'blank'"),
    ("stillbirth", "t.treatment = 'stillbirth'"),
    ("undetermined_cause", "t.treatment = 'undetermined'"),
    ("unmapped_cause", "t.treatment = 'unmapped'"),
)
"""Every reason why a record is not used, and its condition in SQL; a record has the first that holds."""

EXCLUDED = ("algorithm_not_requested", "blank_cause", "stillbirth", "undetermined_cause", "unmapped_cause")
"""Reasons of records that are in order and yet not calibrated; all other reasons are of records set aside."""


def _judged(place: str) -> str:
    reason = " ".join(f"WHEN {condition} THEN '{name}'" for name, condition in REASONS)
    return f"""CREATE TEMP TABLE judged AS
        SELECT *, CASE WHEN reason IS NULL THEN 'used' WHEN reason IN {EXCLUDED} THEN 'excluded'
                  ELSE 'rejected' END AS disposition
        FROM (SELECT p.stratum, a.name AS algorithm, g.cause AS label, t.cause, t.treatment, g.age_group, g.n,
            CASE {reason} END AS reason
        FROM groups g
        JOIN algorithm_label a ON a.code = g.algorithm
        JOIN age_group_label e ON e.code = g.age_group
        JOIN country_label c ON c.code = g.country
        JOIN place p USING ({place})
        LEFT JOIN treatment t ON t.age_group = g.age_group AND t.label = g.cause)"""


def _duplicates(records: Records) -> None:
    """IDs that an algorithm has more than once, over all files and strata."""
    records.db.execute(
        f"""CREATE TEMP TABLE duplicates AS SELECT algorithm, id FROM records
        JOIN algorithm_label a ON a.code = algorithm
        WHERE id IS NOT NULL AND a.state = '{OK}' GROUP BY algorithm, id HAVING count(*) > 1"""
    )


def _label_meanings(records: Records, reading: Reading) -> None:
    meanings = {
        "algorithm": [_algorithm(label, reading) for label in records.codes["algorithm"].labels],
        "age_group": [_age_group(label) for label in records.codes["age_group"].labels],
        "country": [_country(label) for label in records.codes["country"].labels],
    }
    for column, known in meanings.items():
        rows = [(code, name, state) for code, (name, state) in enumerate(known)]
        records.lookup(f"{column}_label", ("code", "name", "state"), rows)


def _algorithm(label: str | None, reading: Reading) -> tuple[str, str]:
    if label is None:
        return UNKNOWN, ABSENT
    name = one_name(label)
    if name in reading.algorithms:
        return name, OK
    if name in INVENTORY_ALGORITHMS:
        return name, NOT_ASKED
    return (ELSEWHERE if name in OTHER_ALGORITHMS else UNKNOWN), WRONG


def _age_group(label: str | None) -> tuple[str, str]:
    if label is None:
        return UNKNOWN, ABSENT
    name = normal(label)
    if name in AGE_GROUPS:
        return name, OK
    return (ELSEWHERE if name in OTHER_AGES else UNKNOWN), WRONG


def _country(label: str | None) -> tuple[str, str]:
    if label is None:
        return UNKNOWN, ABSENT
    try:
        return resolve_country(label), OK
    except InputError:
        return UNKNOWN, WRONG


def _places(records: Records, reading: Reading) -> None:
    """The stratum of each combination of codes of age group, country and strata columns."""
    columns = stratum_columns(reading)
    found = records.rows(f"SELECT DISTINCT {', '.join(columns)} FROM groups")
    ages, countries = (
        dict(records.rows(f"SELECT code, name FROM {c}_label")) for c in ("age_group", "country")
    )
    written = {c: values_of(records.codes[c].labels) for c in columns[2:]}
    rows: list[Sequence[int | str | None]] = []
    for codes in found:
        values = [ages[codes[0]], countries[codes[1]]]
        values += [written[c][n] for c, n in zip(columns[2:], codes[2:], strict=True)]
        if not _is_placed(values):
            values = [*values[:2], *([UNKNOWN] * len(values[2:]))]
        names = ("age_group", "country", *reading.columns.strata)
        rows.append([*codes, stratum_key(dict(zip(names, values, strict=True))), *values])
    titles = [*columns, "stratum", *(f"{column}_value" for column in columns)]
    records.lookup("place", titles, rows)


def _is_placed(values: Sequence[str]) -> bool:
    """Whether age group and country, the first two values, are those of a stratum."""
    return not {UNKNOWN, ELSEWHERE} & set(values[:2])


def values_of(labels: Sequence[str | None]) -> list[str]:
    """The strata column's value that each of its labels stands for."""
    forms = one_form(label for label in labels if label is not None)
    return [MISSING if label is None else forms[label] or MISSING for label in labels]


def stratum_key(values: Mapping[str, str]) -> str:
    """The text key of a stratum: age_group=neonate/country=Mali/province=Kayes.

    Where age group or country is not known, it says of the two what is known and nothing else; "(unknown)"
    where neither is.
    """
    place = [values["age_group"], values["country"]]
    if place == [UNKNOWN, UNKNOWN]:
        return UNKNOWN
    named = values if _is_placed(place) else dict(zip(("age_group", "country"), place, strict=True))
    return "/".join(f"{_escaped(name)}={_escaped(value)}" for name, value in named.items())


def _escaped(text: str) -> str:
    """Percent-escapes what divides a key ('/', '='), '%' itself, and what cannot be seen."""
    return "".join(quote(c, safe="") if c in "/=%" or not c.isprintable() else c for c in text)


def _cause_meanings(records: Records, causes: Mapping[str, CauseList]) -> None:
    """The table `treatment`: what each label is in each age group that it occurs in."""
    ages = dict(records.rows("SELECT code, name FROM age_group_label"))
    rows = []
    for age, label in records.rows("SELECT DISTINCT age_group, cause FROM groups"):
        if ages[age] in causes:
            match = causes[ages[age]].match(records.codes["cause"].labels[label])
            rows.append((age, label, match.cause, match.treatment))
    records.lookup("treatment", ("age_group", "label", "cause", "treatment"), rows)


def unknown_label(column: str, label: str, known: Iterable[str]) -> str:
    """What is wrong with a label of the algorithm, age group or country column."""
    if column == "country":
        near = nearest_countries(label)
        return f"{show(label)} is not a country; nearest names: {', '.join(near)}"
    names = list(known)
    near = nearest(label, names, limit=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    what = "age group" if column == "age_group" else column
    return f"{show(label)} is not one of the {what}s {', '.join(names)}{hint}"


def unmapped_label(label: str, causes: CauseList) -> str:
    """What is wrong with a cause that maps to nothing, with the nearest known names."""
    sentence = f"{show(label)} is not a known cause of age group {causes.age_group}"
    if code_range(label):
        return (
            f"{sentence}; it looks like an ICD-10 code: say in cause_labels which codes or ranges mean which "
            "broad cause"
        )
    if _NUMBER.fullmatch(label.strip()):
        return f"{sentence}; it is a number: if another column has the names, say so in columns.cause"
    near = ", ".join(show(name) + _meaning(name, causes) for name in causes.nearest(label))
    other = other_age_group(label, causes.age_group)
    elsewhere = f"; it is a cause of age group {other}" if other else ""
    return sentence + (f"; nearest known: {near}" if near else "") + elsewhere


_NUMBER = re.compile(r"\d+(\.\d+)?")


def _meaning(name: str, causes: CauseList) -> str:
    """The broad cause of a known name, in brackets, where it is another."""
    broad = causes.known[name]
    return "" if normal(broad) == normal(name) else f" ({broad})"
