"""What to simulate: the fields of a plan, each with its unit and default."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tasks.errors import InputError
from tasks.request import plain_problems
from tasks.terms import AgeGroup, resolve_country

STRATA = ("province", "year", "sex")
"""The strata columns of simulated records; age group is a column of its own."""

MOST_FILES = 500
"""They are all open at once; systems commonly allow 1,024."""


class SimulationPlan(BaseModel):
    """What to simulate; the same plan gives the same bytes (with the same versions of numpy and pyarrow)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deaths: int = Field(
        200_000, ge=1, le=10**9, description="Deaths; there is one row a death and algorithm."
    )
    country: str = Field(
        "Mozambique", description="Country, which chooses the matrices (name or ISO 3166 code)."
    )
    province_count: int = Field(11, ge=1, le=1000, description="Provinces; their sizes differ.")
    first_year: int = Field(2019, ge=1900, le=2100, description="First year.")
    year_count: int = Field(5, ge=1, le=100, description="Years.")
    sexes: tuple[Literal["female", "male"], ...] = Field(
        ("female", "male"), min_length=1, description="Sexes."
    )
    age_groups: tuple[AgeGroup, ...] = Field(("neonate", "child"), min_length=1, description="Age groups.")
    algorithms: tuple[str, ...] = Field(
        ("eava", "insilicova", "interva"),
        min_length=1,
        description="Algorithms, as the inventory names them.",
    )
    source: str = Field(
        "illustrative",
        description="Matrices that confuse the causes: illustrative, inventory, or the address of a file.",
    )
    matrices: Literal["mean", "drawn"] = Field(
        "mean", description="True matrices: the inventory's means, or one draw from their uncertainty."
    )
    correlation: float = Field(
        0.3, ge=0, le=1, description="Share of deaths that are equally easy or hard for all algorithms."
    )
    province_spread: float = Field(
        0.3, ge=0, le=3, description="Standard deviation of log cause fractions between provinces."
    )
    drift: float = Field(
        0.05, ge=0, le=1, description="Standard deviation of their change from year to year."
    )
    growth: float = Field(-0.02, ge=-1, le=1, description="Change of the log number of deaths a year.")
    cause_names: Literal["specific", "broad"] = Field(
        "specific", description="Causes in the records: as openVA and EAVA name them, or broad causes."
    )
    undetermined: float = Field(
        0.04, ge=0, lt=1, description="Share of causes, of each algorithm, that are Unspecified."
    )
    blank_causes: float = Field(0.002, ge=0, lt=1, description="Share of causes that are left empty.")
    missing_strata: float = Field(
        0.0, ge=0, lt=1, description="Share of provinces, of years and of sexes that are left empty."
    )
    duplicates: float = Field(0.0, ge=0, lt=1, description="Share of deaths whose rows come twice.")
    format: Literal["parquet", "csv"] = Field("parquet", description="Format of the records.")
    partition_by: tuple[Literal["age_group", "province", "year", "sex", "algorithm"], ...] = Field(
        (), description="Columns that become folders (year=2019); empty: one file."
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Seed of the random numbers.")

    @field_validator("country")
    @classmethod
    def _known_country(cls, value: str) -> str:
        try:
            return resolve_country(value)
        except InputError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _each_once(self) -> SimulationPlan:
        for name in ("sexes", "age_groups", "algorithms", "partition_by"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: each may be given only once")
        if self.partitions > MOST_FILES:
            raise ValueError(f"partition_by makes {self.partitions} files; at most {MOST_FILES} are written")
        return self

    @property
    def provinces(self) -> tuple[str, ...]:
        """Names of the provinces, in order."""
        width = len(str(self.province_count))
        return tuple(f"Province {number:0{width}d}" for number in range(1, self.province_count + 1))

    @property
    def years(self) -> tuple[int, ...]:
        """The years, in order."""
        return tuple(range(self.first_year, self.first_year + self.year_count))

    @property
    def partitions(self) -> int:
        """Number of files of records."""
        sizes = {
            "age_group": len(self.age_groups),
            "province": self.province_count,
            "year": self.year_count,
            "sex": len(self.sexes),
            "algorithm": len(self.algorithms),
        }
        return math.prod(sizes[name] for name in self.partition_by)


def read_plan(path: Path | None, changes: Mapping[str, Any]) -> SimulationPlan:
    """The plan in a YAML file (None: the defaults), with some fields changed.

    Raises InputError with every problem of its fields.
    """
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8")) if path else {}
        return SimulationPlan.model_validate({**(fields or {}), **changes})
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML ({error})") from None
    except ValidationError as error:
        where = f"{path}: " if path else ""
        raise InputError([where + problem for problem in plain_problems(error, SimulationPlan)]) from None
