"""What belongs to an installation, not to a request: read from VACAL_* variables or an .env file."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.errors import StateError


def cores() -> int:
    """Cores that this process may use (a container's or batch system's limit counts)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(BaseSettings):
    """Settings of an installation. None of them changes a result."""

    model_config = SettingsConfigDict(env_prefix="VACAL_", env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(
        Path.home() / ".vacal",
        description="Folder of what the installation keeps, such as a fetched inventory.",
    )
    store: str = Field(
        "results", description="Root of the results store, where a request or a command names no other."
    )
    inventory: Path | None = Field(
        None, description="Inventory file (.rda of the R package vacalibration, or Parquet) to use first."
    )
    input_roots: str = Field(
        "",
        description="Folders and s3:// prefixes, divided by commas, below which requests may name files: "
        "input, matrices, weights, boundaries; links are followed first. Empty: anywhere.",
    )
    output_roots: str = Field(
        "",
        description="Folders and s3:// prefixes, divided by commas, below which requests may put results, "
        "and below which maintenance may remove them. Empty: anywhere.",
    )
    runner: Literal["threads", "dask"] = Field(
        "threads", description="Where chunks of strata run: threads of the flow's process, or a Dask cluster."
    )
    workers: int = Field(
        default_factory=cores, ge=1, description="Chunks at a time, each with an R process of its own."
    )
    dask_address: str | None = Field(
        None,
        description="Dask scheduler, as in tcp://host:8786; empty: a cluster of `workers` local processes.",
    )
    r_library: Path = Field(
        Path(sys.prefix) / "r-library", description="R library that holds the R package vacal."
    )
    r_timeout: float = Field(
        3600.0,
        gt=0,
        description="Seconds after which the R process of a chunk is ended, at the least (ten times those "
        "expected, where that is more); its strata are tried once more, one by one.",
    )
    retries: int = Field(
        3, ge=0, description="Further tries of a chunk whose R process died or whose storage failed."
    )
    retry_delay: float = Field(
        2.0, ge=0, description="Seconds before the first further try; doubled each time, with jitter."
    )
    allow_run: bool = Field(True, description="Whether `vacal run` computes in the user's own process.")
    allow_submit: bool = Field(
        True,
        description="Whether requests may be submitted to the server; without it only schedules run there.",
    )
    allow_follow: bool = Field(
        True, description="Whether `vacal follow` shows a run's log and progress live."
    )
    alert_webhook: SecretStr | None = Field(
        None,
        description="Address called (POST, JSON) when a run fails, is late or is stuck; empty: nobody.",
    )
    stuck_after: float = Field(
        21600.0, ge=10, description="Seconds after which a run that has not ended is reported as stuck."
    )
    late_after: float = Field(
        600.0,
        ge=10,
        description="Seconds after which a run that is due is reported as late, if none of its deployment has begun "
        "or given a sign of life meanwhile.",
    )


@cache
def settings() -> Settings:
    """The settings of this process, read once (`settings.cache_clear()` reads them again)."""
    return Settings()  # type: ignore[call-arg]


def require_mode(mode: Literal["run", "submit", "follow"]) -> None:
    """Raise StateError where this installation has turned the mode off."""
    if not getattr(settings(), f"allow_{mode}"):
        raise StateError(
            f"vacal {mode} is turned off in this installation (VACAL_ALLOW_{mode.upper()}=false); "
            "ask whoever runs it, or see docs/operate.md for the other ways"
        )
