"""Reading the results store: a run is there, whole, if its manifest is.

    <root>/runs/<run id>/{csmf,strata,records,matrices[,rollups][,...]}.parquet, timings.json
    <root>/runs/<run id>/manifest.json          written last
    <root>/csmf/name=<name>/run=<run id>/csmf.parquet    the dataset over all runs

How a run is written: tasks/results/write.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import StateError, StorageError
from tasks.results import former, parquet
from tasks.results.schema import SCHEMA_VERSION
from tasks.storage import Storage

if TYPE_CHECKING:
    import pandas as pd

Manifest = dict[str, Any]


def run_folder(manifest: Manifest) -> str:
    """Where the run's tables are."""
    return "/".join(["runs", manifest["run"], *([manifest["staged"]] if "staged" in manifest else [])])


def find_run(root: str, run: str) -> Manifest | None:
    """Manifest of a published run; None if there is none of that id."""
    storage, path = Storage(root), f"runs/{run}/manifest.json"
    data = storage.read(path)
    if data is None:
        return None
    try:
        manifest: Manifest = json.loads(data)
        version = int(manifest["schema_version"])
    except (ValueError, KeyError, TypeError):
        raise StorageError(f"{storage.uri(path)}: this is no manifest of a run") from None
    if version > SCHEMA_VERSION:
        raise StateError(
            f"run {run} was written by a newer version of this project (format {version}; this one reads "
            f"formats up to {SCHEMA_VERSION}): upgrade vacal"
        )
    return manifest


def list_runs(root: str) -> list[Manifest]:
    """Manifests of all published runs, by run id."""
    found = (find_run(root, run) for run in Storage(root).folders("runs"))
    return [manifest for manifest in found if manifest is not None]


def open_results(uri: str, run: str | None = None) -> Results:
    """A published run: of a run's folder, or of a store (its only run, or the one of this id or name).

    Raises StateError if there is no such run, or more than one.
    """
    root, _, last = uri.rstrip("/").rpartition("/runs/")
    if run is None and root and (manifest := find_run(root, last)):
        return Results(root, manifest)
    manifest = find_run(uri, run) if run else None
    if manifest is None:
        there = list_runs(uri)
        candidates = [m for m in there if run in (None, m["name"])]
        if len(candidates) != 1:
            known = ", ".join(m["run"] for m in candidates or there) or "none"
            which = "more than one run" if candidates else "no finished run"
            raise StateError(f"{which}{f' {run}' if run else ''} in {uri}; there are: {known}")
        manifest = candidates[0]
    return Results(uri, manifest)


def find_results(named: str, root: str) -> Results:
    """The published run that a user names: by its id or name in the store at `root`, or by its folder.

    With a "/" in it, it is a folder or an address; without one, the store is asked before the working folder.
    Raises StateError, with what was looked for and where, if there is no such run, or more than one.
    """
    folder = Path(named)
    if "/" in named:
        return open_results(str(folder.resolve()) if folder.is_dir() else named)
    try:
        return open_results(root, named)
    except StateError:
        if not (folder / "manifest.json").is_file():
            raise
        return open_results(str(folder.resolve()))


@dataclass(frozen=True)
class Results:
    """A published run, its tables read when they are asked for and checked against the manifest.

    The columns of each table are in docs/outputs.md. Raises StorageError for a damaged file, StateError for
    a table that the run has not, or when the run was removed or replaced meanwhile.
    """

    root: str
    manifest: Manifest

    @property
    def uri(self) -> str:
        """The run's folder."""
        return Storage(self.root).uri(f"runs/{self.manifest['run']}")

    @cached_property
    def csmf(self) -> pd.DataFrame:
        """Calibrated and raw fractions of every stratum, roll-up, algorithm and cause."""
        return self._frame("csmf")

    @cached_property
    def strata(self) -> pd.DataFrame:
        """What was fitted for each stratum and algorithm, and how well it went."""
        return self._frame("strata")

    @cached_property
    def records(self) -> pd.DataFrame:
        """Every record accounted for."""
        return self._frame("records")

    @cached_property
    def matrices(self) -> pd.DataFrame:
        """Misclassification matrices as published and as used."""
        return self._frame("matrices")

    @cached_property
    def rollups(self) -> pd.DataFrame:
        """What is in each roll-up, and which share of it carries a caveat."""
        return self._frame("rollups")

    @cached_property
    def contrasts(self) -> pd.DataFrame:
        """Differences between results, if the request asked for them."""
        return self._frame("contrasts")

    @cached_property
    def joint_fits(self) -> pd.DataFrame:
        """Of a joint run: how well each fit of all strata together went."""
        return self._frame("joint_fits")

    @cached_property
    def misfit(self) -> pd.DataFrame:
        """Of a joint run: whether the deaths of each stratum and algorithm fit the model."""
        return self._frame("misfit")

    @cached_property
    def draws(self) -> pd.DataFrame:
        """Posterior draws, if the request kept them: all in memory (docs/outputs.md has other ways)."""
        return self._frame("draws")

    def _frame(self, name: str) -> pd.DataFrame:
        frame: pd.DataFrame = self.table(name).to_pandas()
        return frame

    def table(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
        *,
        compact: bool = False,
    ) -> pa.Table:
        """A table as Arrow, or those columns and rows of it: a run of many strata has millions of rows.

        `compact`: texts as Arrow dictionaries, each different one once. Cells of a run in a former format
        are as in the present one.
        """
        table = parquet.from_bytes(self._bytes(name), columns, where, compact=compact)
        return former.from_format_1(name, table) if self.manifest["schema_version"] == 1 else table

    def column_names(self, name: str) -> list[str]:
        """The columns of a table."""
        return parquet.column_names(self._bytes(name))

    def _bytes(self, name: str) -> bytes:
        """The file of a table, as the manifest names it."""
        files = {file["path"]: file for file in self.manifest["files"]}
        run, path = self.manifest["run"], f"{name}.parquet"
        if path not in files:
            raise StateError(f"run {run} has no table {name}; it has: {', '.join(sorted(files))}")
        data = Storage(self.root).read(f"{run_folder(self.manifest)}/{path}")
        if data is not None and hashlib.sha256(data).hexdigest() == files[path]["sha256"]:
            return data
        if find_run(self.root, run) != self.manifest:
            raise StateError(f"run {run} was removed or replaced while it was read; open it again")
        raise StorageError(f"{self.uri}/{path}: the file is not the one that the manifest names (checksum)")
