"""Individual records, 0/1 matrices or counts, reduced to counts by stratum, algorithm and cause.

This is the only place that sees individual records. Every one of them is accounted for: received = used +
excluded + rejected (the flow later moves some from used to not fitted), or the run fails.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import InputError, StorageError
from tasks.ingest.columns import (
    UNREADABLE,
    Part,
    Plan,
    label_columns,
    labels_of,
    one_cause,
    plan_columns,
    whole_numbers,
)
from tasks.ingest.judge import judge
from tasks.ingest.notes import notes_on_fates, notes_on_records
from tasks.ingest.problems import Problems, nothing_to_use
from tasks.ingest.reduce import MAX_DISTINCT, MEMORY, Records, TooManyValues
from tasks.ingest.tables import Tabulation, check_records_add_up, content_checksum, tables
from tasks.request import CalibrationRequest
from tasks.sources import Batch, FileReader, find_files, inline_batches
from tasks.terms import AGE_GROUPS, CauseList, amount, is_undetermined, nearest, normal, show

__all__ = ["Tabulation", "check_records_add_up", "tabulate"]

INLINE = "input.counts"


@dataclass
class _Source:
    """A file of the input, or the counts in the request; its columns' parts; its records, once read."""

    name: str
    plan: Plan
    reader: FileReader | None = None
    records: int = 0


def tabulate(
    request: CalibrationRequest,
    broad_causes: Mapping[str, Sequence[str]] | None = None,
    memory: str = MEMORY,
) -> Tabulation:
    """Reads the request's input and tabulates it.

    broad_causes: causes by age group of the user's own matrices; None: the standard ones.
    memory: what DuckDB may use before it spills to disk.
    Raises InputError with every problem of the input, StorageError if files cannot be reached or there is no
    room for temporary ones.
    """
    causes = _cause_lists(request, broad_causes)
    sources, problems = _sources(request, list(causes.values()))
    problems += _unknown_names(request, causes)
    if problems:
        raise InputError(problems)
    has_ids = any(source.plan.id for source in sources)
    with _room(), Records(label_columns(request), has_ids=has_ids, memory=memory) as records:
        for number, source in enumerate(sources):
            _read(records, number, source, request)
        judge(records, request, causes)
        names, plans = [source.name for source in sources], [source.plan for source in sources]
        found = Problems(records, request, causes, names, plans).run()
        if found := found or nothing_to_use(records, request):
            raise InputError(found)
        found_tables = tables(records, request)
        notes = [
            *notes_on_fates(found_tables["records"]),
            *_notes(sources, request),
            *notes_on_records(records, found_tables["causes"], request),
        ]
        tabulation = _tabulation(found_tables, sources, request, notes)
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


def _cause_lists(
    request: CalibrationRequest, broad_causes: Mapping[str, Sequence[str]] | None
) -> dict[str, CauseList]:
    ages = [request.age_group] if isinstance(request.age_group, str) else list(AGE_GROUPS)
    given = broad_causes or {}
    return {
        age: CauseList(
            age, request.study_cause_map, given.get(age), request.cause_labels_of(age), request.stillbirths
        )
        for age in ages
    }


def _unknown_names(request: CalibrationRequest, causes: Mapping[str, CauseList]) -> list[str]:
    """Causes that the request itself names and that are in no list."""
    ages = " or ".join(causes)
    broad = {normal(cause): cause for known in causes.values() for cause in known.broad}
    problems = [
        f"study_cause_map.{study}: {show(cause)} is no broad cause of age group {ages}{_near(cause, broad)}"
        for study, cause in (request.study_cause_map or {}).items()
        if normal(cause) not in broad
    ]
    problems += _unknown_meanings(request, causes)
    if "do_not_calibrate" not in request.model_fields_set:
        return problems
    given = request.do_not_calibrate
    lists = [given] if isinstance(given, tuple) else list(given.values())
    names = {name for one in lists for name in one}
    known = broad | {normal(name): name for each in causes.values() for name in each.known.values()}
    return problems + [
        f"do_not_calibrate: {show(name)} is no cause of age group {ages}{_near(name, known)}"
        for name in sorted(names)
        if normal(name) not in known
    ]


def _unknown_meanings(request: CalibrationRequest, causes: Mapping[str, CauseList]) -> list[str]:
    """Broad causes that `cause_labels` names and that an age group of the request does not have."""
    found = []
    for age_group, known in causes.items():
        broad = {normal(cause): cause for cause in known.broad}
        for label, cause in request.cause_labels_of(age_group).items():
            if normal(cause) not in broad and not is_undetermined(cause):
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


def _sources(request: CalibrationRequest, causes: Sequence[CauseList]) -> tuple[list[_Source], list[str]]:
    """Every source with its columns' parts, and what is wrong with any of them."""
    if request.input.counts is not None:
        parts = {"algorithm": Part("algorithm"), "cause": Part("cause")}
        parts |= {"age_group": Part(text=str(request.age_group)), "country": Part(text=str(request.country))}
        return [_Source(INLINE, Plan(parts, count="deaths"))], []
    sources: list[_Source] = []
    problems: list[str] = []
    for file in find_files(request.input.uri, request.input.format):
        reader = FileReader(file)
        try:
            reader.read_header()
        except InputError as error:
            problems += error.problems
            continue
        plan = plan_columns(reader, request, causes)
        problems += plan.problems
        sources.append(_Source(file.name, plan, reader))
    if len({source.plan.id is None for source in sources}) > 1:
        problems.append("some files of the input have an ID column and others have none")
    return sources, problems


def _read(records: Records, number: int, source: _Source, request: CalibrationRequest) -> None:
    """Adds every row of a source to the records."""
    try:
        for batch in _batches(source, request):
            source.records += _add(records, number, source.plan, batch)
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


def _batches(source: _Source, request: CalibrationRequest) -> Iterator[Batch]:
    if source.reader is None:
        return inline_batches(request.input.counts or {})
    return source.reader.batches(source.plan.wanted)


def _add(records: Records, number: int, plan: Plan, batch: Batch) -> int:
    """Adds a batch; returns the deaths that it counts (rows, unless it has counts)."""
    labels, n, bad = labels_of(plan, batch), None, None
    if plan.count is not None:
        n, bad = whole_numbers(batch.columns[plan.count])
    if plan.causes:
        labels["cause"], bad = one_cause(batch.columns, plan.causes)
    records.add(number, batch.rows, labels, batch.columns[plan.id] if plan.id else None, n, bad)
    return len(batch.rows) if n is None else int(n.sum())


def _tabulation(
    found: dict[str, pa.Table],
    sources: Sequence[_Source],
    request: CalibrationRequest,
    notes: list[str],
) -> Tabulation:
    readers = [source.reader for source in sources if source.reader is not None]
    if readers:
        checksum = content_checksum((r.source.algorithm or "", r.source.columns, r.sha256) for r in readers)
        listed = [{"uri": r.source.name, "bytes": r.bytes, "sha256": r.sha256} for r in readers]
    else:
        data = json.dumps(request.input.counts, sort_keys=True).encode()
        checksum = hashlib.sha256(data).hexdigest()
        listed = [{"uri": INLINE, "bytes": len(data), "sha256": checksum}]
    return Tabulation(**found, checksum=checksum, sources=listed, notes=notes)


def _notes(sources: Sequence[_Source], request: CalibrationRequest) -> list[str]:
    notes = []
    if request.ensemble and not request.ensemble_used:
        notes.append("no ensemble: it takes at least two algorithms, and the request names one")
    for source in sources:
        if source.reader is not None and source.reader.blank:
            notes.append(f"{source.name}: {amount(source.reader.blank, 'blank row')} skipped")
    if (
        request.input.uri is not None
        and request.input.layout == "matrix"
        and not any(s.plan.id for s in sources)
    ):
        notes.append("the input has no IDs: duplicate deaths cannot be found")
    return notes
