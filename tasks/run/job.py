"""A run that is ready to be computed, and what each of its tasks must know."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from tasks.errors import EngineError
from tasks.ingest import Tabulation
from tasks.matrices import Inventory
from tasks.request import CalibrationRequest
from tasks.results import ENSEMBLE
from tasks.rollups import Pair, Plan
from tasks.run.baseline_jobs import BaselineJob
from tasks.run.chunks import Chunk
from tasks.run.tables import Identity
from tasks.storage import Storage
from tasks.verdict import Unplaced, VerdictRules


class OtherEngineError(EngineError):
    """A part of a run was computed by another version of the R package than the run is known by."""


@dataclass(frozen=True)
class Work:
    """What a task must know besides its chunk: small enough to be sent along with each."""

    root: str
    """Root of the results store, absolute: a task may run in another working directory."""
    run: str
    engine: str
    """Version of the R package vacal that the run is known by: every chunk must be computed by it."""
    identity: Identity
    keep_draws: bool
    verdict_rules: VerdictRules
    roll_ups: Plan | None
    unplaced: Unplaced
    """What share of the run's records is in no stratum and could belong to its results."""

    def of(self, chunk: Chunk) -> Work:
        """The same with no more of the roll-ups than the chunk needs."""
        if self.roll_ups is None:
            return self
        part = self.roll_ups.only(chunk.batch.strata)
        return dataclasses.replace(self, roll_ups=part)


@dataclass(frozen=True)
class Job:
    """A run that is ready to be computed: input read and checked, strata dealt into chunks."""

    request: CalibrationRequest
    inventory: Inventory
    tabulation: Tabulation
    chunks: Sequence[Chunk]
    work: Work
    boundaries: str | None
    """Text of the GeoJSON file for the report's maps."""
    contrasts: Sequence[Pair] = ()
    warnings: Sequence[str] = ()
    """What the caller knows of the input beside it, for the manifest; one sentence each."""
    baselines: Sequence[BaselineJob] = ()
    """Common matrix draws: what must be made before the chunks."""

    @property
    def run(self) -> str:
        """The run's id, see `store.run_id`."""
        return self.work.run

    @property
    def uri(self) -> str:
        """Address of the run's folder, in the words of the request."""
        return Storage(self.request.output).uri(f"runs/{self.run}")

    @cached_property
    def strata_per_algorithm(self) -> dict[str, int]:
        """Fits to be done of each algorithm and of the ensemble."""
        names = [*self.request.algorithms, *([ENSEMBLE] if self.request.ensemble_used else [])]
        return dict.fromkeys(names, sum(len(chunk.batch.strata) for chunk in self.chunks))


def resolved(request: CalibrationRequest) -> dict[str, Any]:
    """The request as it is run, in JSON values: every default that depends on another field filled in."""
    used: dict[str, Any] = {
        "matrix_sharing": request.matrix_sharing_used,
        "path_correction": request.path_correction_used,
        "draws": request.draws_used,
        "ensemble": request.ensemble_used,
    }
    if request.matrix_sharing_used == "common":
        used["centre"] = list(request.centre_used)
    else:
        used["effective_draws"] = request.effective_draws_used
    if request.matrix_sharing_used == "per_stratum":
        used["shrinkage"] = request.shrinkage_used
    return request.model_dump(mode="json") | used


def check_engine(work: Work, version: str) -> None:
    """Raises OtherEngineError unless the R package that computed is the one that the run is known by."""
    if version != work.engine:
        raise OtherEngineError(
            f"{platform.node()} computes with the R package vacal {version}, but this run was "
            f"prepared for {work.engine}: install the same version wherever chunks run (script/bootstrap)"
        )


def give_back() -> None:
    """Give memory that is free again back to the system: what each thread keeps of it would add up."""
    pa.default_memory_pool().release_unused()
