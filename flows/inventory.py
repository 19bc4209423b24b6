"""The flow that looks after the inventory of misclassification matrices: it is there, and no newer one is."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed

from flows.failures import failed, without_traceback
from flows.names import dated
from tasks.errors import InventoryError, VacalError
from tasks.inventory import Inventory, fetch_inventory
from tasks.inventory_fetch import DownloadError, newest_version, version_order
from tasks.inventory_files import stored_inventory
from tasks.inventory_store import PUBLISHED_VERSION, stored_path
from tasks.matrices import content_checksum
from tasks.service import NEWER_INVENTORY


def _may_pass(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), DownloadError)


DOWNLOADING: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [5, 30],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": _may_pass,
    "persist_result": False,
}


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
        inventory = have(version, return_state=True).result()
        newest = look_for_newer(return_state=True).result()
        newer = None
        if newest and version_order(newest) > version_order(version):
            newer = have(newest, return_state=True).result()
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


@task(task_run_name="inventory {version}", **DOWNLOADING)
@without_traceback
def have(version: str) -> Inventory:
    """The stored inventory of this version, fetched first where it is missing or damaged."""
    log = get_run_logger()
    try:
        inventory = stored_inventory(version)
    except VacalError as problem:
        log.warning("%s", problem)
        inventory = None
    if inventory:
        log.info("%s is stored and sound; nothing to fetch", inventory.id)
        return inventory
    inventory = fetch_inventory(version)
    log.info("%s fetched and stored (verified: %s)", inventory.id, inventory.verified)
    return inventory


@task(task_run_name="look for a newer version", **DOWNLOADING)
@without_traceback
def look_for_newer() -> str | None:
    """The newest version that the repositories offer, None if they do not name the package."""
    newest = newest_version()
    get_run_logger().info("The repositories' newest version is %s", newest)
    return newest
