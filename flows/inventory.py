"""The flow that looks after the inventory of misclassification matrices: it is there, and no newer one is."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.names import dated
from tasks import steps
from tasks.errors import InventoryError, VacalError
from tasks.matrices import PUBLISHED_VERSION, Inventory, content_checksum, stored_path, version_order
from tasks.service import NEWER_INVENTORY
from tasks.steps import failed


@flow(name="refresh-inventory", flow_run_name=dated("inventory"))
def refresh_inventory(version: str = PUBLISHED_VERSION) -> dict[str, str | bool | None]:
    """Store a version of the published inventory where it is missing or damaged, and look for a newer one.

    Newer matrices are stored beside it. They are used by no request that does not name their file: only the
    checksum of the published ones is known to this project. The final state's message says what was found.

    Args:
        version: Version of the R package vacalibration to have.

    Returns id, version, checksum and verified (whether the content is the published one) of the version asked
    for, and `newer`, the id of newer matrices, None where there are none. The state is Failed where the
    version cannot be had, or where no repository says which versions there are.
    """
    inventory: Inventory | None = None
    try:
        inventory = steps.have_inventory(version, return_state=True).result()
        newest = steps.newest_inventory(return_state=True).result()
        newer = None
        if newest and version_order(newest) > version_order(version):
            newer = steps.have_inventory(newest, return_state=True).result()
    except VacalError as error:
        sound = f"{inventory.id} is stored and sound, but a newer one could not be had: " if inventory else ""
        return failed("Failed", InventoryError(f"{sound}{error}"))  # type: ignore[return-value]
    found = {name: getattr(inventory, name) for name in ("id", "version", "checksum", "verified")}
    other = newer if newer and not _same(newer, inventory) else None
    name = NEWER_INVENTORY if other and not other.verified else None
    words = f"{inventory.id} is stored and sound; {_words(newest, newer, other)}"
    state: State[Any] = Completed(name=name, message=words, data={**found, "newer": other and other.id})
    return state  # type: ignore[return-value]


def _same(one: Inventory, other: Inventory) -> bool:
    return content_checksum(one.entries) == content_checksum(other.entries)


def _words(newest: str | None, newer: Inventory | None, other: Inventory | None) -> str:
    if newer is None:
        return f"the repositories have nothing newer (they name {newest or 'no version at all'})"
    if other is None:
        return f"version {newest} of the package has the same matrices"
    kept = f"{other.id} is newer, and now stored in {stored_path(other.id)}"
    if other.verified:
        return f"{kept}, with the published checksum"
    return (
        f"{kept}, sha256 {other.checksum}. It is not used: this version of vacal does not know its checksum. "
        "To use it, name its file in VACAL_INVENTORY or as matrix.source of a request, or upgrade vacal"
    )
