"""Individual records, 0/1 matrices or counts, reduced to counts by stratum, algorithm and cause.

This is the only place that sees individual records. Every one of them is accounted for: received = used +
excluded + rejected (the flow later moves some from used to not fitted), or the run fails.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import InputError, StorageError
from tasks.ingest.columns import (
    UNREADABLE,
    ColumnPlan,
    label_columns,
    labels_of,
    one_cause,
    others_of,
    plan_columns,
    whole_numbers,
)
from tasks.ingest.judge import judge
from tasks.ingest.notes import notes_on_fates, notes_on_records
from tasks.ingest.problems import Problems, nothing_to_use
from tasks.ingest.reading import Part, Reading
from tasks.ingest.reduce import MAX_DISTINCT, MEMORY, Records, TooManyValues
from tasks.ingest.tables import Tabulation, check_records_add_up, content_checksum, tables
from tasks.sources import MISSING_TEXTS, FileReader, RowBatch, find_files, inline_batches, row_numbers
from tasks.terms import AGE_GROUPS, CauseList, amount, nearest, normal, says_no_cause, show

INLINE = "input.counts"


@dataclass
class _Source:
    """A file of the input, or the counts in the request; its columns' parts; its records, once read."""

    name: str
    plan: ColumnPlan
    reader: FileReader | None = None
    records: int = 0


def tabulate(
    reading: Reading,
    broad_causes: Mapping[str, Sequence[str]] | None = None,
    memory: str = MEMORY,
) -> Tabulation:
    """Reads an input and tabulates it.

    broad_causes: causes by age group of the user's own matrices; None: the standard ones.
    memory: what DuckDB may use before it spills to disk.
    Raises InputError with every problem of the input, StorageError if files cannot be reached or there is no
    room for temporary ones.
    """
    causes = _cause_lists(reading, broad_causes)
    sources, problems = _sources(reading, list(causes.values()))
    problems += _unknown_names(reading, causes)
    if problems:
        raise InputError(problems)
    has_ids = any(source.plan.id for source in sources)
    with _room(), Records(label_columns(reading), has_ids=has_ids, memory=memory) as records:
        for number, source in enumerate(sources):
            _read(records, number, source, reading, _named(reading, source.plan, causes))
        judge(records, reading, causes)
        names, plans = [source.name for source in sources], [source.plan for source in sources]
        found = [*_same_content(sources), *Problems(records, reading, causes, names, plans).run()]
        if found := found or _only_headers(sources) or nothing_to_use(records, reading):
            raise InputError(found)
        found_tables = tables(records, reading)
        notes = [
            *notes_on_fates(found_tables["records"]),
            *_notes(sources, reading),
            *notes_on_records(records, found_tables["causes"], reading),
        ]
        tabulation = _tabulation(found_tables, sources, reading, notes)
    check_records_add_up(tabulation)
    read, received = (
        sum(source.records for source in sources),
        pc.sum(tabulation.received["records"]).as_py() or 0,
    )
    if read != received:
        raise RuntimeError(f"records do not add up: {read} were read, {received} were tabulated")
    return tabulation


@contextmanager
def _room() -> Iterator[None]:
    """A full disk or memory in words; DuckDB's own message is dropped."""
    try:
        yield
    except (duckdb.IOException, duckdb.OutOfMemoryException):
        folder = tempfile.gettempdir()
        raise StorageError(
            f"no room to tabulate the input in the temporary folder {folder}; free some, or set TMPDIR"
        ) from None


def _cause_lists(reading: Reading, broad_causes: Mapping[str, Sequence[str]] | None) -> dict[str, CauseList]:
    ages = [reading.age_group.text] if reading.age_group.text else list(AGE_GROUPS)
    given = broad_causes or {}
    return {
        age: CauseList(
            age,
            reading.study_cause_map,
            given.get(age),
            reading.cause_labels.get(age, {}),
            reading.stillbirths,
        )
        for age in ages
    }


def _unknown_names(reading: Reading, causes: Mapping[str, CauseList]) -> list[str]:
    """Causes that the request itself names and that are in no list."""
    ages = " or ".join(causes)
    broad = {normal(cause): cause for known in causes.values() for cause in known.broad}
    problems = [
        f"study_cause_map.{study}: {show(cause)} is no broad cause of age group {ages}{_near(cause, broad)}"
        for study, cause in (reading.study_cause_map or {}).items()
        if normal(cause) not in broad
    ]
    problems += _unknown_meanings(reading, causes)
    known = broad | {normal(name): name for each in causes.values() for name in each.known.values()}
    return problems + [
        f"do_not_calibrate: {show(name)} is no cause of age group {ages}{_near(name, known)}"
        for name in reading.not_calibrated or ()
        if normal(name) not in known
    ]


def _unknown_meanings(reading: Reading, causes: Mapping[str, CauseList]) -> list[str]:
    """Broad causes that `cause_labels` names and that an age group of the request does not have."""
    found = []
    for age_group, known in causes.items():
        broad = {normal(cause): cause for cause in known.broad}
        for label, cause in reading.cause_labels.get(age_group, {}).items():
            if normal(cause) not in broad and not says_no_cause(cause):
                elsewhere = [age for age in causes if normal(cause) in map(normal, causes[age].broad)]
                hint = (
                    f"; give each age group a map of its own: {{{elsewhere[0]}: {{...}}, ...}}"
                    if elsewhere
                    else _near(cause, broad)
                )
                found.append(
                    f"cause_labels: {show(label)} is said to mean {show(cause)}, which is no broad cause of "
                    f"age group {age_group}{hint}"
                )
    return found


def _near(name: str, known: Mapping[str, str]) -> str:
    near = nearest(name, known.values(), limit=3)
    return f"; nearest: {', '.join(near)}" if near else f"; they are: {', '.join(known.values())}"


def _sources(reading: Reading, causes: Sequence[CauseList]) -> tuple[list[_Source], list[str]]:
    """Every source with its columns' parts, and what is wrong with any of them."""
    if reading.counts is not None:
        parts = {"algorithm": Part("algorithm"), "cause": Part("cause")}
        parts |= {"age_group": reading.age_group, "country": reading.country}
        return [_Source(INLINE, ColumnPlan(parts, count="deaths"))], []
    sources: list[_Source] = []
    problems: list[str] = []
    for file in find_files(reading.uri, reading.format):
        reader = FileReader(file)
        try:
            reader.read_header()
        except InputError as error:
            problems += error.problems
            continue
        plan = plan_columns(reader, reading, causes)
        problems += plan.problems
        sources.append(_Source(file.name, plan, reader))
    if len({source.plan.id is None for source in sources}) > 1:
        problems.append("some files of the input have an ID column and others have none")
    return sources, problems


NamedCauses = Mapping[str, Collection[str]]
"""By column: texts, in lower case, that the request names and that are values whatever else they mean."""


def _named(reading: Reading, plan: ColumnPlan, causes: Mapping[str, CauseList]) -> NamedCauses:
    words = [normal(text) for text in MISSING_TEXTS]
    texts = {
        "cause": {text for text in words if any(one.match(text).cause for one in causes.values())},
        "algorithm": reading.algorithms,
    }
    columns = {role: plan.labels[role].column for role in texts if role in plan.labels}
    return {column: texts[role] for role, column in columns.items() if column}


def _read(records: Records, number: int, source: _Source, reading: Reading, named: NamedCauses) -> None:
    """Adds every row of a source to the records."""
    try:
        for batch in _batches(source, reading, named):
            source.records += _add(records, number, source, batch)
    except TooManyValues as error:
        role = str(error)
        name = source.plan.labels[role].column or role
        raise InputError(
            f"{source.name}: column {show(name)} has more than {MAX_DISTINCT:,} different values; "
            "is it the right one?"
        ) from None
    if source.reader is not None and source.reader.ragged:
        rows = np.array(source.reader.ragged, dtype=np.int64)
        labels = dict.fromkeys(records.codes) | {"algorithm": source.plan.labels["algorithm"].text}
        records.add(number, rows, labels, bad=np.full(len(rows), UNREADABLE, dtype=np.int8))
        source.records += len(rows)


def _batches(source: _Source, reading: Reading, named: NamedCauses) -> Iterator[RowBatch]:
    if source.reader is None:
        return inline_batches(reading.counts or {})
    return source.reader.batches(source.plan.wanted, named)


def _add(records: Records, number: int, source: _Source, batch: RowBatch) -> int:
    """Adds a batch; returns the deaths that it counts (rows, unless it has counts)."""
    plan = source.plan
    labels, n, bad, others = labels_of(plan, batch), None, None, others_of(plan, batch)
    if plan.count is not None:
        typed = source.reader is None or plan.count in source.reader.typed
        n, bad = whole_numbers(batch.columns[plan.count], typed=typed)
    if plan.causes:
        labels["cause"], bad = one_cause(batch.columns, plan.causes)
    ids = batch.columns[plan.id] if plan.id else None
    records.add(number, batch.rows, labels, ids, n, bad, others)
    return len(batch.rows) if n is None else int(n.sum())


def _tabulation(
    found: dict[str, pa.Table],
    sources: Sequence[_Source],
    reading: Reading,
    notes: list[str],
) -> Tabulation:
    readers = [source.reader for source in sources if source.reader is not None]
    if readers:
        checksum = content_checksum((r.source.algorithm or "", r.columns, r.sha256) for r in readers)
        listed = [{"uri": r.source.name, "bytes": r.bytes, "sha256": r.sha256} for r in readers]
    else:
        data = json.dumps(reading.counts, sort_keys=True).encode()
        checksum = hashlib.sha256(data).hexdigest()
        listed = [{"uri": INLINE, "bytes": len(data), "sha256": checksum}]
    return Tabulation(**found, checksum=checksum, sources=listed, notes=notes)


def _same_content(sources: Sequence[_Source]) -> Iterator[str]:
    """Files that are copies of one another: of one algorithm and with the same columns from their folders."""
    first: dict[tuple[str, ...], str] = {}
    for reader in (source.reader for source in sources if source.reader is not None and source.reader.total):
        content = (reader.source.algorithm or "", json.dumps(reader.columns, sort_keys=True), reader.sha256)
        name = first.setdefault(content, reader.source.name)
        if name != reader.source.name:
            yield f"{reader.source.name}: has the same content as {name}; give one of them"


def _only_headers(sources: Sequence[_Source]) -> list[str]:
    """Nothing but first rows in all files."""
    readers = [source.reader for source in sources if source.reader is not None]
    if any(reader.total for reader in readers):
        return []
    return [f"{reader.source.name}: has no rows below its header" for reader in readers]


def _notes_on_files(sources: Sequence[_Source]) -> Iterator[str]:
    for reader in (source.reader for source in sources if source.reader is not None):
        name = reader.source.name
        if reader.blank:
            yield f"{name}: {amount(reader.blank, 'blank row')} skipped"
        if not reader.total:
            yield f"{name}: has no rows below its header"
        if reader.swallowed:
            yield (
                f"{name}, {row_numbers(reader.swallowed)}: a cell of several lines holds lines that look "
                "like rows, and these are not counted: are its quotation marks right?"
            )


def _notes(sources: Sequence[_Source], reading: Reading) -> list[str]:
    notes = list(_notes_on_files(sources))
    if reading.uri is not None and reading.layout == "matrix" and not any(s.plan.id for s in sources):
        notes.append("the input has no IDs: duplicate deaths cannot be found")
    return notes
