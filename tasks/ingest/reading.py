"""What the ingest needs to know: where the deaths are, which columns say what, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tasks.sources import Addresses

Policy = Literal["error", "exclude"]


@dataclass(frozen=True)
class Part:
    """Where a label comes from: a column of the file, or one text for all its rows."""

    column: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class ColumnNames:
    """Names of the input's columns; None where the file's own decide (docs/input.md)."""

    id: str = "ID"
    cause: str | None = None
    algorithm: str | None = None
    count: str = "deaths"
    strata: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """How one input is read and tabulated.

    Deaths are at `uri` or written as `counts` {algorithm: {cause: deaths}}. `study_cause_map`: study cause ->
    broad cause. `cause_labels`: by age group, label -> broad cause. `not_calibrated`: causes that the user names
    as not to be calibrated; None: nobody named any. `aliases`: other spellings of algorithms that the user wrote.
    """

    age_group: Part
    country: Part
    algorithms: tuple[str, ...]
    uri: Addresses | Mapping[str, Addresses] | None = None
    counts: Mapping[str, Mapping[str, int]] | None = None
    format: Literal["csv", "parquet"] | None = None
    layout: Literal["records", "matrix", "counts"] = "records"
    columns: ColumnNames = ColumnNames()
    study_cause_map: Mapping[str, str] | None = None
    cause_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    stillbirths: Literal["exclude", "other"] = "exclude"
    not_calibrated: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()
    bad_records: Literal["refuse", "reject"] = "refuse"
    unmapped_causes: Policy = "error"
    undetermined_causes: Policy = "exclude"

    @property
    def has_counts(self) -> bool:
        """Whether the deaths are counts, not records."""
        return self.layout == "counts" or self.counts is not None
