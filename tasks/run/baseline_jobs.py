"""Which baselines of common matrix draws a run needs: one for each fit of a country and age group."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from tasks.engine import Batch
from tasks.results import ENSEMBLE
from tasks.run.chunks import Chunk
from tasks.run.cost import baseline_seconds


@dataclass(frozen=True)
class BaselineJob:
    """One fit of a country and age group, to be made into a baseline from the deaths of all its strata."""

    id: str
    name: str
    fit: str
    batch: Batch
    """All strata; counts are the deaths of algorithms with too few of them, too."""
    place: Mapping[str, str]
    """Age group and country."""
    stored: str | None = None
    """The run in the same store whose baseline it is; None: it is made."""

    @property
    def seconds(self) -> float:
        """Expected work on one core."""
        if self.stored is not None:
            return 0.0
        return baseline_seconds(self.batch, len(self.batch.algorithms) if self.fit == ENSEMBLE else 1)


def baseline_jobs(chunks: Sequence[Chunk]) -> list[BaselineJob]:
    """Those that the chunks of common matrix draws need, in the order of the chunks."""
    jobs: list[BaselineJob] = []
    common = [chunk for chunk in chunks if chunk.batch.common is not None]
    for key, members in groupby(common, key=lambda chunk: chunk.place):
        jobs += _of_place(key, list(members))
    return jobs


def _of_place(key: str, members: Sequence[Chunk]) -> Iterator[BaselineJob]:
    first = members[0]
    parts = [chunk.batch.common for chunk in members if chunk.batch.common is not None]
    batch = replace(
        first.batch,
        strata=tuple(stratum for chunk in members for stratum in chunk.batch.strata),
        counts=np.concatenate([chunk.deaths for chunk in members]),
        common=replace(parts[0], units=tuple(values for part in parts for values in part.units)),
    )
    row = first.strata.slice(0, 1).to_pylist()[0]
    place = {"stratum": key, "age_group": row["age_group"], "country": row["country"]}
    for fit in fits_of(batch):
        name = f"baseline of {fit}, {row['age_group']} {row['country']}"
        yield BaselineJob(baseline_id(key, fit), name, fit, batch, place)


def fits_of(batch: Batch) -> list[str]:
    """The fits of a batch: its algorithms and, if there is one, the ensemble."""
    return [*batch.algorithms, *([ENSEMBLE] if batch.ensemble and len(batch.algorithms) > 1 else [])]


def baseline_id(place: str, fit: str) -> str:
    """What the baseline of a fit is called in the run's work area."""
    return "baseline-" + hashlib.sha256(f"{place}\n{fit}".encode()).hexdigest()[:12]
