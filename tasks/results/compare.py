"""Two runs side by side: which fractions moved, by how much against their uncertainty, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tasks.results.store import Manifest, Results

if TYPE_CHECKING:
    import pandas as pd

KEY = ["level", "stratum", "algorithm", "cause"]
FIT = KEY[:3]
NOISE = 4.0  # Monte-Carlo errors that a change may have and still count as noise
LARGE = 1.0  # posterior standard deviations from which on a change is called large

VERDICTS = ("identical", "noise", "small", "large", "status_changed", "appeared", "vanished")
Kind = Literal["data", "mapping", "inventory", "options", "seed", "engine", "software"]
_SKIPPED = ("name", "output", "chunk_strata", "keep_draws", "report_language", "boundaries")
_MAPPING = (
    "study_cause_map",
    "cause_labels",
    "stillbirths",
    "unmapped_causes",
    "undetermined_causes",
    "bad_records",
    "columns",
)
_ENGINE = ("vacal", "engine")


@dataclass(frozen=True)
class Difference:
    """Something in which two runs differ and that can move a fraction."""

    kind: Kind
    what: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    `estimates`: a row for each level, stratum, algorithm and cause of either run: counts, fractions and
    status `_before` and `_after`, `change` (after - before), `monte_carlo_error` (standard error of the
    change that comes from sampling), `posterior_sd` (the larger one), `verdict` and `why`. `verdict` is
    identical, noise (at most 4 Monte-Carlo errors), small (below 1 posterior standard deviation), large,
    status_changed, appeared or vanished. `why` lists the kinds of `differences` that can have moved it;
    data or mapping only where its counts changed.
    """

    before: str
    after: str
    differences: tuple[Difference, ...]
    estimates: pd.DataFrame

    @property
    def verdicts(self) -> dict[str, int]:
        """Number of estimates by verdict, in the order of VERDICTS; none of those that no estimate has."""
        counts = self.estimates["verdict"].value_counts()
        return {name: int(counts[name]) for name in VERDICTS if name in counts}


def compare(before: Results, after: Results) -> Comparison:
    """Compare two published runs, of one store or two."""
    differences = tuple(manifest_differences(before.manifest, after.manifest))
    columns = [*KEY, "deaths", "raw", "mean", "sd", "status", "ess_bulk"]
    both = _estimates(before)[columns].merge(
        _estimates(after)[columns], on=KEY, how="outer", suffixes=("_before", "_after"), indicator=True
    )
    both["change"] = both["mean_after"] - both["mean_before"]
    both["monte_carlo_error"] = np.sqrt(_variance(both, "before") + _variance(both, "after"))
    both["posterior_sd"] = both[["sd_before", "sd_after"]].max(axis=1)
    both["verdict"] = _verdicts(both)
    counts_moved = (both["deaths_before"] != both["deaths_after"]).groupby([both[name] for name in FIT])
    both["why"] = _why(both, counts_moved.transform("any"), differences)
    return Comparison(before.manifest["run"], after.manifest["run"], differences, both.drop(columns="_merge"))


def manifest_differences(before: Manifest, after: Manifest) -> Iterator[Difference]:
    """In what the two runs differ, from their manifests alone."""
    if before["input"]["checksum"] != after["input"]["checksum"]:
        yield Difference("data", "input", before["input"]["checksum"], after["input"]["checksum"])
        for what, old, new in _changed(before["records"], after["records"]):
            yield Difference("data", f"records {what.replace('_', ' ')}", old, new)
    for name in ("id", "version", "checksum"):
        values = before["inventory"].get(name), after["inventory"].get(name)
        if values[0] != values[1]:
            yield Difference("inventory", name, *values)
    for what, old, new in _changed(before["request"], after["request"]):
        first = what.split(".")[0]
        if first not in _SKIPPED and what not in ("input.uri", "input.counts", "matrix.source"):
            kind: Kind = "mapping" if first in _MAPPING else "seed" if first == "seed" else "options"
            yield Difference(kind, what, old, new)
    for what, old, new in _changed(before["versions"], after["versions"]):
        yield Difference("engine" if what in _ENGINE else "software", what, old, new)


def _changed(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Entries that differ, by their path, as in columns.cause."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changed(old, new, f"{path}{name}.")
        elif old != new:
            yield f"{path}{name}", old, new


def _estimates(results: Results) -> pd.DataFrame:
    """Rows of csmf with the effective sample size of their fit (a lower bound for roll-ups)."""
    sizes = [results.strata.assign(level="stratum")]
    if any(file["path"] == "rollups.parquet" for file in results.manifest["files"]):
        sizes.append(results.rollups)
    import pandas as pd

    ess = pd.concat([part[[*FIT, "ess_bulk"]] for part in sizes])
    return results.csmf.merge(ess, on=FIT, how="left")


def _variance(both: pd.DataFrame, which: str) -> pd.Series[float]:
    """Square of the Monte-Carlo error of one run's mean; 0 where nothing was sampled."""
    return (both[f"sd_{which}"] ** 2 / both[f"ess_bulk_{which}"]).astype(float).fillna(0.0)


def _verdicts(both: pd.DataFrame) -> Any:
    size = both["change"].abs().fillna(0.0)
    choices = {
        "vanished": both["_merge"] == "left_only",
        "appeared": both["_merge"] == "right_only",
        "status_changed": both["status_before"] != both["status_after"],
        "identical": size == 0,
        "noise": size <= NOISE * both["monte_carlo_error"],
        "small": size < LARGE * both["posterior_sd"],
    }
    return np.select(list(choices.values()), list(choices), default="large")


def _why(both: pd.DataFrame, counts_moved: pd.Series[bool], differences: tuple[Difference, ...]) -> list[str]:
    """For each estimate that moved the kinds of differences that can have moved it, joined by ";"."""
    kinds = list(dict.fromkeys(difference.kind for difference in differences))
    counts = [kind for kind in kinds if kind in ("data", "mapping")] or ["mapping"]  # or another cause list
    others = [kind for kind in kinds if kind not in ("data", "mapping")]
    reasons = {True: ";".join([*counts, *others]), False: ";".join(others) or "unexplained"}
    moved = both["verdict"] != "identical"
    return [reasons[bool(c)] if m else "" for m, c in zip(moved, counts_moved, strict=True)]
