"""What this installation has and what it lacks, with what to do about it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tasks.errors import VacalError
from tasks.matrices import load_inventory
from tasks.settings import settings


@dataclass(frozen=True)
class Check:
    """One part of the installation. `optional`: a run can do without it."""

    name: str
    ok: bool
    found: str
    what_to_do: str
    optional: bool = False
    wrong: str = "MISSING"
    """The word for it where it is not `ok`."""


def examine() -> list[Check]:
    """All checks, in the order in which a run needs the parts; none of them changes anything."""
    return [_python(), _r(), _r_package(), _inventory(), _store()]


def _python() -> Check:
    packages = ", ".join(f"{name} {version(name)}" for name in ("prefect", "rpy2", "pyarrow", "duckdb"))
    found = f"Python {sys.version.split()[0]}, {packages}"
    return Check("Python", sys.version_info >= (3, 11), found, "install Python 3.11 or newer")


def _r() -> Check:
    path = shutil.which("R")
    if path is None:
        return Check("R", False, "not on the PATH", "run script/bootstrap")
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout:
        return Check("R", False, f"{path} does not start", "run script/bootstrap, or mend the PATH")
    return Check("R", True, f"{done.stdout.splitlines()[0]} ({path})", "")


def _r_package() -> Check:
    description = settings().r_library / "vacal" / "DESCRIPTION"
    if not description.is_file():
        return Check("R package vacal", False, f"not in {settings().r_library}", "run script/bootstrap")
    lines = description.read_text(encoding="utf-8").splitlines()
    number = next(line.partition(":")[2].strip() for line in lines if line.startswith("Version:"))
    return Check("R package vacal", True, f"{number} in {settings().r_library}", "")


def _inventory() -> Check:
    try:
        inventory = load_inventory()
    except VacalError as error:
        return Check("inventory", False, "none", str(error))
    verified = "verified" if inventory.verified else "not verified"
    return Check("inventory", True, f"{inventory.id} from {inventory.source} ({verified})", "")


def _store() -> Check:
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free / 2**30
    found = f"local folders ({free:.0f} GiB free here)" + (
        f"; object storage at {endpoint}" if endpoint else ""
    )
    return Check("storage", free > 1, found, "make room: less than 1 GiB is free")
