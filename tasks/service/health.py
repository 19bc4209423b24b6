"""What a server needs to compute runs: a database, a pool with a worker, the deployments, a store."""

from __future__ import annotations

import os
from typing import Any

import httpx
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

from tasks.errors import VacalError
from tasks.service.doctor import Check
from tasks.storage import errors, filesystem

POOL = "vacal"
DEPLOYMENTS = ("calibrate", "calibrate-national", "refresh-inventory", "maintenance")


def service_checks() -> list[Check]:
    """Server, database, pool, worker, deployments, results store: in the order in which a run needs them."""
    url = PREFECT_API_URL.value()
    if not url:
        found = "none set: each run starts a temporary one"
        return [
            Check(
                "Prefect server", False, found, "set PREFECT_API_URL, or start one: script/up", optional=True
            )
        ]
    with httpx.Client(base_url=str(url).rstrip("/") + "/", timeout=5, auth=_login()) as api:
        try:
            return _checks(api)
        except httpx.HTTPError as error:
            found = f"{url} does not answer ({type(error).__name__})"
            return [Check("Prefect server", False, found, "start it: script/up", optional=True)]


def server_answers() -> bool:
    """Whether the configured server answers, with its database."""
    try:
        return httpx.get(f"{PREFECT_API_URL.value()}/ready", auth=_login(), timeout=5).is_success
    except httpx.HTTPError:
        return False


def _login() -> httpx.BasicAuth | None:
    secret = PREFECT_API_AUTH_STRING.value()
    return httpx.BasicAuth(*secret.split(":", 1)) if secret else None


def _checks(api: httpx.Client) -> list[Check]:
    server = api.get("admin/version")
    if server.status_code == httpx.codes.UNAUTHORIZED:
        found = f"{api.base_url} wants a user and password"
        return [Check("Prefect server", False, found, "set PREFECT_API_AUTH_STRING=user:password")]
    database = api.get("ready")
    pool = api.get(f"work_pools/{POOL}")
    found = server.text.strip('"') + f" at {api.base_url}"
    return [
        Check("Prefect server", server.is_success, found, "start it: script/up"),
        Check("database", database.is_success, "ready" if database.is_success else database.text, "start it"),
        _pool(pool),
        _worker(api),
        _deployments(api),
        *_store(),
    ]


def _pool(pool: httpx.Response) -> Check:
    if not pool.is_success:
        return Check("work pool", False, f"no work pool {POOL!r}", "script/deploy")
    paused = bool(pool.json()["is_paused"])
    return Check("work pool", not paused, "paused" if paused else POOL, f"prefect work-pool resume {POOL}")


def _worker(api: httpx.Client) -> Check:
    wanted = {"workers": {"status": {"any_": ["ONLINE"]}}}
    answer = api.post(f"work_pools/{POOL}/workers/filter", json=wanted)
    names = [worker["name"] for worker in answer.json()] if answer.is_success else []
    found = ", ".join(names) if names else "none online"
    return Check("worker", bool(names), found, "python -m flows.worker")


def _deployments(api: httpx.Client) -> Check:
    answer: list[dict[str, Any]] = api.post("deployments/filter", json={"limit": 200}).json()
    present = {deployment["name"] for deployment in answer}
    missing = [name for name in DEPLOYMENTS if name not in present]
    found = f"missing: {', '.join(missing)}" if missing else ", ".join(DEPLOYMENTS)
    return Check("deployments", not missing, found, "script/deploy")


def _store() -> list[Check]:
    uri = os.environ.get("VACAL_STORE", "")
    if not uri.startswith("s3://"):
        return []
    try:
        fs, path = filesystem(uri)
        with errors(uri):
            fs.ls(path.split("/")[0])
    except VacalError as error:
        return [Check("results store", False, str(error), "see docs/outputs.md, Object storage")]
    return [Check("results store", True, uri, "")]
