"""Which input is the newest, which no run has read, and what is no longer kept: old runs and old inputs."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tasks.errors import InputError
from tasks.request import CalibrationRequest
from tasks.results import baseline_run, list_runs, remove_run
from tasks.roots import require_allowed
from tasks.service.content import changed_at
from tasks.sources import every_file, find_files
from tasks.storage import Storage, errors, filesystem
from tasks.terms import amount

_NEVER = datetime.min.replace(tzinfo=UTC)
UNREAD_NAMED = 5
"""Files that a sentence names one by one."""


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


def unread_inputs(uri: str, root: str, *, reading: str | None = None) -> list[str]:
    """The input files at an address that are in no run of the store at `root`, the oldest first.

    A file counts as read if a run names it with its present size and was published after its last change.
    reading: the file that is about to be read, which counts as read. None where nothing is there.
    """
    try:
        files = [f.name for f in find_files(uri, "csv") if f.name != reading]  # of any ending: none is opened
    except InputError:
        return []
    published = Storage(root).files("runs")
    read: dict[tuple[str, int], datetime] = {}
    for manifest in list_runs(root):
        moment = published.get(f"runs/{manifest['run']}/manifest.json", _NEVER)  # published meanwhile
        for source in manifest["input"].get("sources") or ():
            key = (_whole_name(source["uri"]), source["bytes"])
            read[key] = max(moment, read.get(key, moment))
    unread = [(moment, name) for name in files if not _is_read(name, moment := changed_at(name), read)]
    return [name for _, name in sorted(unread)]


def unread_in_words(unread: Sequence[str]) -> list[str]:
    """The sentence about files that no run has read; none without any."""
    if not unread:
        return []
    named = ", ".join(name.rpartition("/")[2] for name in unread[:UNREAD_NAMED])
    more = f" and {len(unread) - UNREAD_NAMED} more" if len(unread) > UNREAD_NAMED else ""
    files = amount(len(unread), "file of the inbox is", "files of the inbox are")
    return [f"{files} in no run: {named}{more}."]


def _is_read(name: str, changed: datetime, read: Mapping[tuple[str, int], datetime]) -> bool:
    fs, path = filesystem(name)
    with errors(name):
        published = read.get((_whole_name(name), int(fs.size(path))))
    return published is not None and changed <= published


def _whole_name(uri: str) -> str:
    return uri if "://" in uri else os.path.abspath(uri)  # noqa: PTH100 - links stay as they are


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
