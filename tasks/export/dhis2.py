"""A run as data values for import into DHIS2, by a mapping that the user gives (docs/report.md)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.errors import InputError
from tasks.results import ALL, Results
from tasks.terms import words
from tasks.verdict import reasons_in_words
from tasks.view import View, shown_verdict, trusts_interval

HEAD = (
    "dataelement", "period", "orgunit", "categoryoptioncombo", "attributeoptioncombo", "value", "storedby",
    "lastupdated", "comment", "followup",
)  # fmt: skip
"""Columns of DHIS2's CSV format for data values, in its order (it reads them by position)."""

Uid = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]{10}$")]
Value = Literal[
    "mean", "q025", "q975", "raw", "deaths", "calibrated_deaths", "ensemble_deaths", "estimated_deaths"
]
_FRACTIONS = ("mean", "q025", "q975", "raw")
_ENDS = ("q025", "q975")  # of an interval: not exported where it is known to be too narrow


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FromColumn(_Part):
    """What a strata column's values stand for in DHIS2."""

    column: str = Field(description="Strata column of the run.")
    values: dict[str, str] | None = Field(
        default=None,
        description="Value of the column -> DHIS2 value; empty: the values are taken as they are.",
    )


class Dhis2Mapping(_Part):
    """How results become DHIS2 data values."""

    algorithm: str = Field(
        default="ensemble", description="The algorithm, or ensemble, whose results are exported."
    )
    verdicts: tuple[Literal["publishable", "with_caution", "do_not_publish"], ...] = Field(
        default=("publishable", "with_caution"), description="Only estimates with one of these verdicts."
    )
    percent: bool = Field(
        default=True, description="Fractions as percentages (one decimal); otherwise 0 to 1."
    )
    org_unit: FromColumn | Uid = Field(description="Organisation unit: one for all, or by a strata column.")
    period: FromColumn | str = Field(
        description="Period in DHIS2's notation (2023, 202304, 2023Q2), or by a column."
    )
    category_option_combo: FromColumn | Uid | None = Field(
        default=None, description="Empty: DHIS2's default."
    )
    attribute_option_combo: Uid | None = Field(default=None, description="Empty: DHIS2's default.")
    data_elements: dict[str, dict[str, dict[Value, Uid]]] = Field(
        description="{age group: {cause: {value: data element}}}; a value is mean, q025, q975, raw, deaths, "
        "calibrated_deaths, ensemble_deaths or estimated_deaths (roll-ups)."
    )


def read_mapping(text: str, source: str = "DHIS2 mapping") -> Dhis2Mapping:
    """The mapping of a YAML or JSON text. Raises InputError with every problem."""
    try:
        return Dhis2Mapping.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputError(f"{source}: not YAML or JSON: {error}") from None
    except ValidationError as error:
        raise InputError(
            [
                f"{source}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
                for problem in error.errors()
            ]
        ) from None


def dhis2_csv(results: Results, mapping: Dhis2Mapping) -> str:
    """Data values as CSV, one row a value, with verdict and reasons as the comment.

    Taken from the level (strata or roll-up) that differs by the mapped columns alone. Raises InputError
    where the run has no such level, and with every value that the mapping does not know.
    """
    view = View(results)
    level = _level(view, mapping)
    problems: dict[str, None] = {}
    rows = [
        row for estimate in _estimates(view, level, mapping) for row in _values(estimate, mapping, problems)
    ]
    if problems:
        raise InputError(list(problems))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows(rows)
    return out.getvalue()


def _columns(mapping: Dhis2Mapping) -> list[str]:
    parts = (mapping.org_unit, mapping.period, mapping.category_option_combo)
    return [part.column for part in parts if isinstance(part, FromColumn)]


def _level(view: View, mapping: Dhis2Mapping) -> str:
    """The level whose rows are told apart by the mapped columns and nothing else."""
    wanted = _columns(mapping)
    if unknown := [name for name in wanted if name not in view.columns]:
        raise InputError(
            [f"the run has no strata column {name}; it has: {', '.join(view.columns)}" for name in unknown]
        )
    for unit in view.units:
        if {name for name, value in unit.values.items() if value != ALL} == set(wanted):
            return unit.level
    raise InputError(
        f"the run has no results by {', '.join(wanted)} alone: add roll_ups: [[{', '.join(wanted)}]]"
    )


def _estimates(view: View, level: str, mapping: Dhis2Mapping) -> Iterator[dict[str, Any]]:
    csmf = view.results.csmf
    chosen = csmf[(csmf["level"] == level) & (csmf["algorithm"] == mapping.algorithm)]
    if chosen.empty:
        raise InputError(
            f"the run has no results of {mapping.algorithm}; it has: {', '.join(view.algorithms)}"
        )
    kept = chosen[chosen["verdict"].isin(mapping.verdicts)].astype(object)
    for row in kept.where(kept.notna(), None).to_dict("records"):
        yield {str(name): value for name, value in row.items()}


def _values(
    row: Mapping[str, Any], mapping: Dhis2Mapping, problems: dict[str, None]
) -> Iterator[Sequence[str]]:
    for value, element in mapping.data_elements.get(row["age_group"], {}).get(row["cause"], {}).items():
        if row[value] is None or (value in _ENDS and not trusts_interval(row)):
            continue
        yield (
            element,
            _mapped(mapping.period, row, problems),
            _mapped(mapping.org_unit, row, problems),
            _mapped(mapping.category_option_combo, row, problems),
            mapping.attribute_option_combo or "",
            _number(row[value], value, mapping),
            "",
            "",
            _comment(row),
            "",
        )


def _mapped(part: FromColumn | str | None, row: Mapping[str, Any], problems: dict[str, None]) -> str:
    if not isinstance(part, FromColumn):
        return part or ""
    value = str(row[part.column])
    if part.values is None:
        return value
    if value not in part.values:
        problems[f"{part.column}: the mapping has no DHIS2 value for {value!r}"] = None
    return part.values.get(value, "")


def _number(number: float, value: str, mapping: Dhis2Mapping) -> str:
    if value in _FRACTIONS:
        return f"{100 * number:.1f}" if mapping.percent else f"{number:.4f}"
    return f"{number:.0f}"


def _comment(row: Mapping[str, Any]) -> str:
    """Verdict, reasons and run: what must not be separated from the value."""
    say = words("en")
    sentences = [
        say(f"verdicts.{shown_verdict(row)}") + ".",
        *reasons_in_words(row["verdict_codes"], say),
    ]
    return " ".join([*sentences, f"Run {row['run']}."])
