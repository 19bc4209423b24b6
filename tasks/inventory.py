"""Finds the inventory of misclassification matrices that a request names."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.countries import resolve_country
from tasks.errors import InputError, InventoryError, VacalError
from tasks.inventory_fetch import fetch_inventory, r_sources
from tasks.inventory_illustrative import ILLUSTRATIVE, illustrative_inventory
from tasks.inventory_rda import read_installed, read_rda
from tasks.inventory_store import PUBLISHED_VERSION, THREE_WAYS, champs_inventory, read_stored, stored_path
from tasks.matrices import Inventory, Matrix, MatrixEntry, MatrixType, content_checksum, mean_matrix
from tasks.matrix_table import from_frame, matrix_problems, read_frame
from tasks.settings import settings

__all__ = [
    "ILLUSTRATIVE",
    "Inventory",
    "Matrix",
    "MatrixEntry",
    "MatrixType",
    "describe_inventory",
    "describe_matrix",
    "describe_places",
    "fetch_inventory",
    "load_inventory",
    "mean_matrix",
    "read_inventory",
    "resolve_country",
]

PUBLISHED_SOURCE = "inventory"
"""What a request says to ask for the published inventory, wherever this installation finds it."""


def load_inventory(source: str = PUBLISHED_SOURCE) -> Inventory:
    """The inventory named by a request's `matrix.source`.

    "inventory": the published one, from the setting VACAL_INVENTORY (a file), else the installed R package
    vacalibration, else what an earlier fetch stored. "illustrative": the invented one. "champs-<version>":
    another published version that was fetched. Anything else: path or URI of a file, see `read_inventory`.

    Raises InventoryError where none can be had or a file is not sound, InputError (every problem) where the
    user's own matrices are wrong.
    """
    if source == ILLUSTRATIVE:
        return illustrative_inventory()
    if source != PUBLISHED_SOURCE:
        return (
            _stored(source)
            if re.fullmatch(r"champs-\d[\w.-]*(?<!\.parquet)", source)
            else read_inventory(source)
        )
    for _, find in _PLACES:
        if inventory := find():
            return inventory
    raise InventoryError(f"The inventory of misclassification matrices is not on this machine. {THREE_WAYS}")


def _from_setting() -> Inventory | None:
    """The file that VACAL_INVENTORY names; where it is set, no other place is tried."""
    file = settings().inventory
    try:
        return read_inventory(str(file)) if file else None
    except VacalError as problem:
        raise InventoryError(f"setting VACAL_INVENTORY: {problem}") from problem


def _from_package() -> Inventory | None:
    """The data of the installed R package, read without running the package's code."""
    try:
        libraries = r_sources().libraries
    except InventoryError:
        return None
    for package in (library / "vacalibration" for library in libraries):
        if (description := package / "DESCRIPTION").is_file():
            version = re.search(
                r"^Version:\s*(\S+)", description.read_text(encoding="utf-8", errors="replace"), re.M
            )
            entries, stamp = read_installed(package)
            name = version[1] if version else stamp
            return champs_inventory(
                _sound(entries, package.name), name, f"installed R package vacalibration {name}"
            )
    return None


def _from_store() -> Inventory | None:
    name = f"champs-{PUBLISHED_VERSION}"
    return _stored(name) if stored_path(name).is_file() else None


_PLACES: tuple[tuple[str, Callable[[], Inventory | None]], ...] = (
    ("setting VACAL_INVENTORY", _from_setting),
    ("installed R package vacalibration", _from_package),
    ("fetched earlier", _from_store),
)


def _stored(id: str) -> Inventory:
    path = stored_path(id)
    if not path.is_file():
        version = id.removeprefix("champs-")
        raise InventoryError(
            f"{id} has not been fetched; `vacal inventory fetch --version {version}` does it"
        )
    return read_inventory(str(path))


def read_inventory(uri: str) -> Inventory:
    """An inventory from one file, by the ending of its name.

    .rda: the published data file. .parquet: a published inventory that a fetch stored, or the user's own.
    .csv, .json: the user's own; columns as in tasks.matrix_table.
    """
    data, name = _read(uri), PurePosixPath(uri).name
    ending = PurePosixPath(name.lower()).suffix.removeprefix(".")
    try:
        if ending in ("rda", "rdata"):
            entries, stamp = read_rda(data)
            return champs_inventory(
                _sound(entries, name), stamp, f"file {name}", hashlib.sha256(data).hexdigest()
            )
        if ending == "parquet" and (stored := _published_parquet(data, name)):
            return stored
        if ending in ("parquet", "csv", "json"):
            return _own(from_frame(read_frame(data, ending)), name)
    except InputError as problem:
        raise InputError([f"{name}: {line}" for line in problem.problems]) from problem
    except InventoryError as problem:
        raise InventoryError(f"{name}: {problem}") from problem
    raise InventoryError(f"{name}: matrices are read from files that end in .rda, .parquet, .csv or .json")


def _published_parquet(data: bytes, name: str) -> Inventory | None:
    try:
        return read_stored(pq.read_table(io.BytesIO(data)), f"file {name}")
    except pa.ArrowException as problem:
        raise InventoryError(f"this is not a Parquet file that can be read: {problem}") from problem


def _own(entries: tuple[Matrix, ...], name: str) -> Inventory:
    stem = re.sub(r"[^A-Za-z0-9]+", "-", PurePosixPath(name).stem).strip("-").lower()
    checksum = content_checksum(entries)
    return Inventory(f"own-{stem}", checksum[:12], checksum, f"file {name}", False, False, entries)


def _sound(entries: tuple[Matrix, ...], name: str) -> tuple[Matrix, ...]:
    problems = [problem for matrix in entries for problem in matrix_problems(matrix)]
    if problems or not entries:
        raise InventoryError(f"{name} holds no usable matrices: {'; '.join(problems[:5]) or 'it is empty'}")
    return entries


def _read(uri: str) -> bytes:
    try:
        if "://" not in uri:
            return Path(uri).expanduser().read_bytes()
        with fsspec.open(uri, "rb") as file:
            return bytes(file.read())
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise InventoryError(f"the matrices in {uri} cannot be read: {reason}") from problem


def describe_places() -> list[dict[str, object]]:
    """What is in each place where an inventory is looked for, in order, and the illustrative one last.

    Keys: place, found (bool), id, version, checksum, verified, illustrative (None where not found), problem.
    """
    rows = []
    for place, find in (*_PLACES, ("part of this project", illustrative_inventory)):
        problem, inventory = "", None
        try:
            inventory = find()
        except VacalError as error:
            problem = str(error)
        fields = ("id", "version", "checksum", "verified", "illustrative")
        identity = {field: getattr(inventory, field, None) for field in fields}
        rows.append({"place": place, "found": inventory is not None, **identity, "problem": problem})
    return rows


def describe_inventory(inventory: Inventory) -> list[dict[str, object]]:
    """One row for each age group, algorithm and country: its types of matrix and number of causes."""
    groups: dict[tuple[str, str, str], list[Matrix]] = {}
    for matrix in inventory.entries:
        key = (matrix.age_group or "every age group", matrix.algorithm, matrix.country or "every country")
        groups.setdefault(key, []).append(matrix)
    return [
        {
            "age_group": age_group,
            "algorithm": algorithm,
            "country": country,
            "types": [matrix.type for matrix in matrices],
            "causes": len(matrices[0].causes),
        }
        for (age_group, algorithm, country), matrices in groups.items()
    ]


def describe_matrix(entry: MatrixEntry) -> list[dict[str, object]]:
    """One row for each true cause: `champs_cause`, the mean rate of every VA cause, and `weight`.

    `weight` is the sum of the Dirichlet alphas of the row for a prior (larger: better known), and
    1 for the other types.
    """
    mean = mean_matrix(entry.values)
    weights = entry.values.sum(axis=1) if entry.values.ndim == 2 else [1.0] * len(mean)
    return [
        {
            "champs_cause": cause,
            **dict(zip(entry.causes, map(float, row), strict=True)),
            "weight": float(weight),
        }
        for cause, row, weight in zip(entry.causes, mean, weights, strict=True)
    ]
