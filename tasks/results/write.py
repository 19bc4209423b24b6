"""Writing the results store: a run becomes visible whole, or not at all.

    <root>/runs/<run id>/{csmf,strata,records,matrices[,rollups][,...]}.parquet, timings.json
    <root>/runs/<run id>/manifest.json          written last: a run is there if its manifest is
    <root>/csmf/name=<name>/run=<run id>/csmf.parquet    the dataset over all runs, put after the manifest
    <root>/work/<run id>/<chunk id>/   a finished chunk: each table after its SHA-256; `done-<format>` is last

Every object is put whole (tasks/storage.py). Two writers of one run write the same bytes, so they do no harm;
no lock is needed, and none would hold on every object store.

A run that replaces one of its id is put into a folder `runs/<run id>/new-<random>`, then made visible by a
manifest with the entry `staged`; then the files take their usual places and the dataset gets its file; in
the end the manifest loses the entry.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import StateError, StorageError
from tasks.results import parquet
from tasks.results.schema import COMPACT, SCHEMA_VERSION
from tasks.results.store import Manifest, find_run, list_runs, run_folder
from tasks.storage import Storage

DESCRIPTION = (
    "name",
    "status",
    "request",
    "input",
    "versions",
    "inventory",
    "seed",
    "strata",
    "records",
    "warnings",
)  # what the caller of `publish` tells of the run, each documented in docs/outputs.md
_DONE, _DIGEST = f"done-{SCHEMA_VERSION}", hashlib.sha256().digest_size
_STAGED = "new-"
_ROWS_AT_A_TIME = 8192
_NO_PART_OF_IDENTITY = (
    "name", "output", "chunk_strata", "roll_up_weights", "report_language", "boundaries", "unfitted_share",
    "left_out_share",
)  # fmt: skip


class DamagedChunkError(StorageError):
    """A chunk lost a table after it was finished: trying again in the same run cannot help, a new run can."""


def run_id(
    name: str,
    options: Mapping[str, Any],
    input_checksum: str,
    versions: Mapping[str, str],
    inventory: Mapping[str, Any],
) -> str:
    """`<name>-<12 hexadecimal digits>` of everything that decides on the results, and of nothing else.

    `options`: the request as resolved, as JSON values. Left out are the run's name, where it is written,
    how it is split, what share of it may be missing, and where input, matrices and weights lie: the checksums
    of their content stand for them (that of the weights as `roll_up_weights_checksum`). `versions`: of what
    computes. `inventory`: id, version, checksum.
    """
    kept = {key: value for key, value in options.items() if key not in _NO_PART_OF_IDENTITY}
    kept["input"] = {k: v for k, v in (kept.get("input") or {}).items() if k not in ("uri", "counts")}
    kept["matrix"] = {k: v for k, v in (kept.get("matrix") or {}).items() if k != "source"}
    identity = {
        "options": kept,
        "input": input_checksum,
        "versions": dict(versions),
        "inventory": {key: inventory.get(key) for key in ("id", "version", "checksum")},
    }
    return f"{name}-{hashlib.sha256(_json(identity)).hexdigest()[:12]}"


# --- work in progress ---


def put_chunk(root: str, run: str, chunk: str, tables: Mapping[str, pa.Table]) -> None:
    """Keep the tables of a finished chunk, so that a resumed run need not compute it again."""
    storage, folder = Storage(root), f"work/{run}/{chunk}"
    for name, table in tables.items():
        data = parquet.to_bytes(table)
        storage.write(f"{folder}/{name}", hashlib.sha256(data).digest() + data)
    storage.write(f"{folder}/{_DONE}", "\n".join(tables).encode())


def finished_chunks(root: str, run: str, among: Iterable[str] | None = None) -> set[str]:
    """Ids of the chunks (of those `among`, else of all) that are there whole: every table is read for it."""
    storage = Storage(root)
    files = (path.split("/") for path in storage.files(f"work/{run}"))
    there = {parts[-2] for parts in files if parts[-1] == _DONE}
    wanted = there if among is None else there.intersection(among)
    return {chunk for chunk in wanted if _is_whole(storage, f"work/{run}/{chunk}")}


def read_chunk(root: str, run: str, chunk: str, table: str) -> pa.Table:
    """A table of a finished chunk. Raises DamagedChunkError if it is not there as it was written."""
    return parquet.from_bytes(_unsealed(Storage(root), f"work/{run}/{chunk}", table))


def _is_whole(storage: Storage, folder: str) -> bool:
    tables = storage.read(f"{folder}/{_DONE}")
    try:
        for table in (tables or b"").decode().split():
            _unsealed(storage, folder, table)
    except DamagedChunkError:
        return False
    return bool(tables)


def _unsealed(storage: Storage, folder: str, table: str) -> bytes:
    """A chunk's table without its SHA-256; if that does not fit, the chunk counts as finished no more."""
    sealed = storage.read(f"{folder}/{table}")
    digest, data = (sealed or b"")[:_DIGEST], (sealed or b"")[_DIGEST:]
    if hashlib.sha256(data).digest() != digest:
        storage.remove(f"{folder}/{_DONE}")
        what = "missing" if sealed is None else "damaged"
        raise DamagedChunkError(
            f"{storage.uri(folder)}: table {table} is {what}; run again: it resumes, and redoes this chunk"
        )
    return data


def remove_work(root: str, run: str) -> None:
    """Remove the chunks of a run (after its publication); none that is half removed looks finished."""
    storage = Storage(root)
    for path in sorted(storage.files(f"work/{run}"), key=lambda path: not path.endswith(f"/{_DONE}")):
        storage.remove(path)


def clean_work(root: str, older_than: timedelta, now: datetime | None = None) -> list[str]:
    """Remove what killed runs left behind and nobody touched for that long; returns the runs concerned.

    These are chunks, run folders without a manifest, replacements that never became visible, temporary files.
    """
    storage, before = Storage(root), (now or datetime.now(UTC)) - older_than

    def is_old(folder: str) -> bool:
        files = storage.files(folder)
        return bool(files) and max(files.values()) < before

    cleaned = {run for run in storage.folders("work") if is_old(f"work/{run}")}
    for run in cleaned:
        remove_work(root, run)
    for run, folder in _never_visible(root):
        if is_old(folder):
            storage.remove_folder(folder)
            cleaned.add(run)
    for path, changed in storage.files(".tmp").items():
        if changed < before:
            storage.remove(path)
    return sorted(cleaned)


def _never_visible(root: str) -> Iterator[tuple[str, str]]:
    """Each run with a folder of its that no manifest leads to."""
    storage = Storage(root)
    for run in storage.folders("runs"):
        manifest, folder = find_run(root, run), f"runs/{run}"
        if manifest is None:
            yield run, folder
            continue
        for name in storage.folders(folder):
            if name.startswith(_STAGED) and name != manifest.get("staged"):
                yield run, f"{folder}/{name}"


# --- publication ---


def publish(
    root: str,
    run: str,
    tables: Mapping[str, Iterable[pa.Table]],
    description: Mapping[str, Any],
    timings: Mapping[str, Any] | None = None,
    *,
    replace: bool = False,
) -> Manifest:
    """Write a run and make it visible; returns its manifest. A second call is safe, and repairs a killed one.

    `tables`: for each table its parts in their final order; the bytes depend on the rows alone, not on the
    parts. `description`: the entries DESCRIPTION of the manifest. `timings` go to a file of their own,
    outside every checksum. Raises StateError if the run is there with other content, unless `replace`.
    """
    if missing := [key for key in DESCRIPTION if key not in description]:
        raise ValueError(f"the description of run {run} lacks {missing}")
    storage = Storage(root)
    with tempfile.TemporaryDirectory() as scratch:
        written = [_write(Path(scratch), name, parts) for name, parts in tables.items()]
        manifest = {"schema_version": SCHEMA_VERSION, "run": run, **description, "files": written}
        published = find_run(root, run)
        if published and published["files"] == written:
            manifest = published
        else:
            if published:
                _refuse_unless(replace, root, published, written)
                manifest["staged"] = f"{_STAGED}{uuid.uuid4().hex[:12]}"
            for file in written:
                storage.upload(f"{run_folder(manifest)}/{file['path']}", Path(scratch) / file["path"])
            storage.write(f"{run_folder(manifest)}/timings.json", _json(timings or {}, indent=2))
            storage.write(f"runs/{run}/manifest.json", _json(manifest, indent=2))
    repair_run(root, run)
    return _settled(manifest)


def repair_run(root: str, run: str) -> None:
    """Do what a killed publication left to be done after its manifest: see the head of this module."""
    storage, manifest = Storage(root), find_run(root, run)
    if manifest is None:
        return
    if "staged" in manifest:
        _take_places(storage, manifest)
    elif not storage.exists(_dataset_path(manifest)):
        _put_into_dataset(storage, manifest)


def _take_places(storage: Storage, manifest: Manifest) -> None:
    """Put a replacement's files where a run's files are, and what is left of the former run away."""
    staged, folder = run_folder(manifest), run_folder(_settled(manifest))
    names = [*(file["path"] for file in manifest["files"]), "timings.json"]
    for path in storage.files(folder):
        name = path.removeprefix(f"{folder}/")
        if "/" not in name and name not in (*names, "manifest.json"):
            storage.remove(path)  # the report, say: it tells of the former run
    for name in names:
        storage.copy(f"{staged}/{name}", f"{folder}/{name}")
    _put_into_dataset(storage, manifest)
    storage.write(f"{folder}/manifest.json", _json(_settled(manifest), indent=2))
    storage.remove_folder(staged)


def _put_into_dataset(storage: Storage, manifest: Manifest) -> None:
    with (
        tempfile.TemporaryDirectory() as scratch,
        storage.open(f"{run_folder(manifest)}/csmf.parquet") as file,
    ):
        source = pq.ParquetFile(file)
        rows = (pa.Table.from_batches([batch]) for batch in source.iter_batches(_ROWS_AT_A_TIME))
        parts = map(parquet.dataset_rows, chain([source.schema_arrow.empty_table()], rows))
        parquet.write(Path(scratch) / "csmf.parquet", parts)
        storage.upload(_dataset_path(manifest), Path(scratch) / "csmf.parquet")


def remove_run(root: str, run: str) -> None:
    """Remove a run: from the dataset, then the list, then its files.

    Raises StateError if there is none, or if it is the baseline of another run.
    """
    storage, manifest = Storage(root), find_run(root, run)
    if manifest is None:
        raise StateError(f"there is no run {run} in {storage.uri()}")
    can_be_baseline = manifest["request"].get("matrix_sharing") == "common"  # else no other run need be read
    others = list_runs(root) if can_be_baseline else []
    if users := [other["run"] for other in others if baseline_run(other) == run]:
        raise StateError(f"run {run} is the baseline of {', '.join(users)}: it is kept as long as these are")
    storage.remove(_dataset_path(manifest))
    storage.remove(f"runs/{run}/manifest.json")
    storage.remove_folder(f"runs/{run}")
    remove_work(root, run)


def baseline_run(manifest: Manifest) -> str | None:
    """The run whose baseline a run rests on, where it is not its own."""
    named: str | None = manifest["request"].get("baseline")
    return named


def _write(folder: Path, name: str, parts: Iterable[pa.Table]) -> dict[str, Any]:
    path = folder / f"{name}.parquet"
    rows = parquet.write(path, parquet.long_draws(parts) if name in COMPACT else parts)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": path.name, "sha256": digest, "bytes": path.stat().st_size, "rows": rows}


def _refuse_unless(
    replace: bool, root: str, published: Manifest, written: Sequence[Mapping[str, Any]]
) -> None:
    if replace:
        return
    there = published["files"]
    differing = {f["path"] for f in (*written, *there) if f not in there or f not in written}
    raise StateError(
        f"run {published['run']} is in {root} with other content ({', '.join(sorted(differing))}); "
        "remove it first, or give this run another name"
    )


def _settled(manifest: Manifest) -> Manifest:
    return {key: value for key, value in manifest.items() if key != "staged"}


def _dataset_path(manifest: Manifest) -> str:
    return f"csmf/name={manifest['name']}/run={manifest['run']}/csmf.parquet"


def _json(value: Any, indent: int | None = None) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent)
    return (text + "\n" if indent else text).encode()
