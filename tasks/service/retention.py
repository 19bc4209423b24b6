"""Which input is the newest, and what is no longer kept: old runs and old inputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tasks.errors import InputError
from tasks.request import CalibrationRequest
from tasks.results import baseline_run, list_runs, remove_run
from tasks.roots import require_allowed
from tasks.service.content import changed_at
from tasks.sources import every_file, find_files
from tasks.storage import Storage, errors, filesystem


def with_newest_input(request: CalibrationRequest) -> CalibrationRequest:
    """The request with the one file of its input that was changed last (by name where the times are equal).

    Raises InputError where the input is no folder or pattern, or nothing is there.
    """
    given = request.input
    if not isinstance(given.uri, str):
        raise InputError("input.uri: give one folder or pattern, of which the newest file is taken")
    newest = max(
        (file.name for file in find_files(given.uri, given.format)), key=lambda name: (changed_at(name), name)
    )
    return request.model_copy(update={"input": given.model_copy(update={"uri": newest})})


@dataclass(frozen=True)
class StoredRun:
    """A run of the store, and when it was published (UTC)."""

    run: str
    name: str
    published: datetime
    baseline: str | None = None
    """The run whose baseline it rests on."""


def expired_runs(runs: Iterable[StoredRun], keep: timedelta, now: datetime) -> list[str]:
    """Runs older than `keep`, oldest first.

    The newest of each name stays, as a series always has its last figures, and so does the baseline of one that
    stays.
    """
    ordered = sorted(runs, key=lambda run: (run.published, run.run))
    newest = {run.name: run for run in ordered}
    gone = [run for run in ordered if now - run.published > keep and newest[run.name] is not run]
    while named := {run.baseline for run in ordered if run not in gone} & {run.run for run in gone}:
        gone = [run for run in gone if run.run not in named]
    return [run.run for run in gone]


def remove_expired_runs(root: str, keep: timedelta, now: datetime | None = None) -> list[str]:
    """Remove the expired runs of a store; returns their ids.

    Raises InputError where this installation does not let a request write there.
    """
    require_allowed(root, "output")
    published = Storage(root).files("runs")
    runs = [
        StoredRun(m["run"], m["name"], published[f"runs/{m['run']}/manifest.json"], baseline_run(m))
        for m in list_runs(root)
    ]
    gone = expired_runs(runs, keep, now or datetime.now(UTC))
    for run in reversed(gone):  # those before that rest on others
        remove_run(root, run)
    return gone


def remove_expired_inputs(inbox: str, keep: timedelta, now: datetime | None = None) -> list[str]:
    """Remove the files of an inbox that were last changed longer than `keep` ago; returns them.

    Hidden files and those that begin with `_` too: no run reads them, but they may hold records.

    Raises InputError where this installation does not let a request read there.
    """
    require_allowed(inbox, "input")
    now = now or datetime.now(UTC)
    old = [(name, path) for name, path in every_file(inbox) if now - changed_at(name) > keep]
    fs, _ = filesystem(inbox)
    with errors(inbox):
        for _, path in old:
            fs.rm_file(path)
    return [name for name, _ in old]
