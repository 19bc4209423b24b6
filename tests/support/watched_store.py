"""A reader that looks at a store again and again while others write to it, and complains about half a run."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.parquet as pq

from tasks.errors import StateError
from tasks.results import store
from tasks.storage import Storage

SECONDS_BETWEEN = 0.01  # a reader that never rests would take a core from the writers


def look(root: str, known: set[str] | None = None) -> list[str]:
    """Read what is visible, runs and the dataset over all runs: it must be whole. Skips `known` runs."""
    manifests = {m["run"]: m for m in store.list_runs(root)}
    for run in manifests.keys() - (known or set()):
        _read_whole(store.Results(root, manifests[run]))
    storage = Storage(root)
    in_dataset = {path.split("/")[-2].removeprefix("run="): path for path in storage.files("csmf")}
    for run in in_dataset.keys() - (known or set()):
        data, manifest = storage.read(in_dataset[run]), store.find_run(root, run)
        assert manifest is not None, f"{run} is in the dataset, and there is no such run"
        assert data is not None
        rows = {file["path"]: file["rows"] for file in manifest["files"]}
        assert pq.read_table(io.BytesIO(data)).num_rows == rows["csmf.parquet"]
    if known is not None:
        known |= manifests.keys() & in_dataset.keys()
    return sorted(manifests)


def _read_whole(results: store.Results) -> None:
    """Read every table; those of the run that replaced it if that happens meanwhile."""
    try:
        for file in results.manifest["files"]:
            assert results.table(file["path"].removesuffix(".parquet")).num_rows == file["rows"]
    except StateError:
        manifest = store.find_run(results.root, results.manifest["run"])
        assert manifest is not None and manifest != results.manifest
        _read_whole(store.Results(results.root, manifest))


@contextmanager
def watched(root: str, *, replaced: bool = False) -> Iterator[list[int]]:
    """Look all the while; yields the number of runs seen in each look, and raises what a look found wrong.

    Runs that were found whole are not looked at again, unless runs are `replaced`.
    """
    ended, failures, looks = threading.Event(), list[BaseException](), list[int]()
    known: set[str] = set()

    def watch() -> None:
        while not ended.wait(SECONDS_BETWEEN):
            try:
                looks.append(len(look(root, None if replaced else known)))
            except BaseException as error:
                failures.append(error)  # raised below, in the test's own thread
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield looks
    finally:
        ended.set()
        thread.join()
    if failures:
        raise failures[0]
