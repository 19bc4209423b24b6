"""The flow that makes sure that this installation has the inventory of misclassification matrices."""

from __future__ import annotations

from prefect import flow, get_run_logger, task
from prefect.client.schemas.objects import State, TaskRun

from tasks.errors import VacalError
from tasks.inventory import Inventory, fetch_inventory
from tasks.inventory_fetch import DownloadError
from tasks.inventory_files import stored_inventory
from tasks.inventory_store import PUBLISHED_VERSION


@flow(name="refresh-inventory")
def refresh_inventory(version: str = PUBLISHED_VERSION) -> dict[str, str | bool]:
    """Fetch a version of the published inventory, unless an earlier fetch stored it and it is still sound.

    Returns its id, version, checksum and whether the content is the published one. Raises VacalError.
    """
    inventory = fetch(version)
    return {
        "id": inventory.id,
        "version": inventory.version,
        "checksum": inventory.checksum,
        "verified": inventory.verified,
    }


def _may_pass(_task: object, _run: TaskRun, state: State[Inventory]) -> bool:
    return isinstance(state.result(raise_on_failure=False), DownloadError)


@task(retries=2, retry_delay_seconds=[5, 30], retry_condition_fn=_may_pass, persist_result=False)
def fetch(version: str) -> Inventory:
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
