"""Finds the inventory of misclassification matrices that a request names."""

from __future__ import annotations

import re
from collections.abc import Callable

from tasks.errors import InventoryError, VacalError
from tasks.matrices.fetch import r_sources
from tasks.matrices.illustrative import ILLUSTRATIVE, illustrative_inventory
from tasks.matrices.model import Inventory, Matrix, MatrixEntry, mean_matrix
from tasks.matrices.published import PUBLISHED_VERSION, THREE_WAYS, champs_inventory
from tasks.matrices.rda import read_installed
from tasks.matrices.read import read_inventory, stored_inventory
from tasks.roots import require_allowed
from tasks.settings import settings

PUBLISHED_SOURCE = "inventory"
"""What a request says to ask for the published inventory, wherever this installation finds it."""


def load_inventory(source: str = PUBLISHED_SOURCE) -> Inventory:
    """The inventory named by a request's `matrix.source`.

    "inventory": the published one, from the setting VACAL_INVENTORY (a file), else the installed R package
    vacalibration, else version 2.2 that an earlier fetch stored. "illustrative": the invented one. Anything
    else: path or URI of a file, see `read_inventory`.

    Raises InventoryError where none can be had or a file is not sound, InputError (every problem) where the
    user's own matrices are wrong.
    """
    if source == ILLUSTRATIVE:
        return illustrative_inventory()
    if source != PUBLISHED_SOURCE:
        require_allowed(source, "input")
        return read_inventory(source)
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
            text = description.read_text(encoding="utf-8", errors="replace")
            entries, stamp = read_installed(package)
            stated = re.search(r"^Version:\s*(\S+)", text, re.MULTILINE)
            version = stated[1] if stated else stamp
            return champs_inventory(entries, version, f"installed R package vacalibration {version}")
    return None


def _from_store() -> Inventory | None:
    return stored_inventory(PUBLISHED_VERSION)


_PLACES: tuple[tuple[str, Callable[[], Inventory | None]], ...] = (
    ("setting VACAL_INVENTORY", _from_setting),
    ("installed R package vacalibration", _from_package),
    ("fetched earlier", _from_store),
)


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
