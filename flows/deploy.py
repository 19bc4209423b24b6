"""`python -m flows.deploy`: put everything on the Prefect server, again and again with the same outcome.

`prefect deploy --all` reads prefect.yaml; this adds what that file cannot say: the work pool and the
priorities of its queues, the alerts, and the modes that are turned off.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import ParameterSchema
from pydantic import BaseModel

from tasks.service import DEPLOYMENT, POOL, URGENT_QUEUE, apply_automations
from tasks.settings import settings
from tasks.storage import errors, filesystem

QUEUES = {URGENT_QUEUE: (1, 1), "requests": (2, 2), "schedule": (3, 1), "upkeep": (4, 1)}
"""Priority and runs at a time. A worker with room takes the oldest run of the queue with the lowest priority number.

Limits of queues, not of deployments: those put a run that finds no place back into the queue with a new time, so that
the order is lost, and hold its place by a lease that is lost with the server.
"""

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Create the pool and its queues, deploy, set the alerts."""
    ensure_bucket(os.environ.get("VACAL_STORE", ""))
    with get_client(sync_client=True) as client:
        ensure_pool(client)
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        subprocess.run(command, cwd=ROOT, check=True)
        if not settings().allow_submit:
            client.delete_deployment(client.read_deployment_by_name(DEPLOYMENT).id)
            print(f"{DEPLOYMENT} is not offered: VACAL_ALLOW_SUBMIT=false")
        webhook = settings().alert_webhook
        url = webhook.get_secret_value() if webhook else None
        stuck, late = (timedelta(seconds=after) for after in (settings().stuck_after, settings().late_after))
        names = apply_automations(client, url, stuck, late)
    print("Automations: " + "; ".join(names))


def ensure_bucket(store: str) -> None:
    """The bucket of an S3 store, made where it is missing."""
    if not store.startswith("s3://"):
        return
    fs, path = filesystem(store)
    bucket = path.split("/")[0]
    with errors(f"s3://{bucket}"):
        if not fs.exists(bucket):
            fs.mkdir(bucket)


def ensure_pool(client: SyncPrefectClient) -> None:
    """The work pool with its queues; what is there keeps its other settings."""
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    present = {queue.name: queue for queue in client.read_work_queues(work_pool_name=POOL)}
    for name, (priority, at_a_time) in QUEUES.items():
        if name not in present:
            client.create_work_queue(
                name=name, priority=priority, concurrency_limit=at_a_time, work_pool_name=POOL
            )
            continue
        limit = present[name].concurrency_limit or at_a_time  # a site's own stays
        if (present[name].priority, present[name].concurrency_limit) != (priority, limit):
            client.update_work_queue(present[name].id, priority=priority, concurrency_limit=limit)


def launcher() -> dict[str, str]:
    """Step of prefect.yaml: the command by which a worker starts a run."""
    return {"command": f"{sys.executable} -m flows.launch"}


def refuse_unknown_parameters() -> dict[str, str]:
    """Step of prefect.yaml, run by `prefect deploy`: the server then refuses parameters that a flow lacks.

    Prefect has no setting for it: it leaves a schema's top level open, and such a run would crash. So the
    schemas that this process sends to the server are closed as they are written out.
    """

    def closed(schema: ParameterSchema, **options: Any) -> dict[str, Any]:
        return BaseModel.model_dump(schema, **options) | {"additionalProperties": False}

    ParameterSchema.model_dump = closed  # type: ignore[assignment]
    return {}


if __name__ == "__main__":
    main()
