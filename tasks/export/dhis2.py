"""A run as data values for import into DHIS2, by a mapping that the user gives (docs/report.md)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

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

UID = re.compile(r"[A-Za-z][A-Za-z0-9]{10}")
PERIOD = re.compile(
    r"\d{4}((0[1-9]|1[0-2])(B|0[1-9]|[12]\d|3[01])?|Q[1-4]|(April|Nov)?S[12]|April|July|Sep|Oct|Nov"
    r"|((Wed|Thu|Sat|Sun)?W|BiW)([1-9]|[1-4]\d|5[0-3]))?"
)
"""Periods as DHIS2 writes them: 2023, 202304, 20230401, 202301B, 2023Q2, 2023AprilS1, 2023April, 2023BiW3."""

Text = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
"""A text; YAML takes 2023 without quotes for a number."""
Uid = Annotated[str, Field(pattern=f"^{UID.pattern}$")]
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
    values: dict[Text, Text] | None = Field(
        default=None,
        description="Value of the column -> DHIS2 value; empty: the values are taken as they are.",
    )


def _kind(value: Any) -> str:
    return _BY_COLUMN if isinstance(value, Mapping | FromColumn) else _FOR_ALL


_BY_COLUMN, _FOR_ALL = "by column", "for all"
_Column = Annotated[FromColumn, Tag(_BY_COLUMN)]
UidOrColumn = Annotated[_Column | Annotated[Uid, Tag(_FOR_ALL)], Discriminator(_kind)]
PeriodOrColumn = Annotated[_Column | Annotated[Text, Tag(_FOR_ALL)], Discriminator(_kind)]


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
    org_unit: UidOrColumn = Field(description="Organisation unit: one for all, or by a strata column.")
    period: PeriodOrColumn = Field(
        description="Period in DHIS2's notation (2023, 202304, 2023Q2), or by a column."
    )
    category_option_combo: UidOrColumn | None = Field(default=None, description="Empty: DHIS2's default.")
    attribute_option_combo: Uid | None = Field(default=None, description="Empty: DHIS2's default.")
    data_elements: dict[str, dict[str, dict[Value, Uid]]] = Field(
        description="{age group: {cause: {value: data element}}}; a value is mean, q025, q975, raw, deaths, "
        "calibrated_deaths, ensemble_deaths or estimated_deaths (roll-ups)."
    )

    @model_validator(mode="after")
    def _in_notation(self) -> Dhis2Mapping:
        """Every period and identifier that the mapping spells out is one of DHIS2."""
        given = [(name, value) for name, part in self.parts.items() for value in _spelled(part)]
        if wrong := [f"{name}: {value!r} {_NOT[name]}" for name, value in given if not _fits(name, value)]:
            raise ValueError("\n".join(wrong))
        return self

    @property
    def parts(self) -> dict[str, FromColumn | str | None]:
        """What tells data values apart beside the data element, by name."""
        return {name: getattr(self, name) for name in _NOT}


_NO_UID = "is no identifier of DHIS2: 11 letters and digits, the first a letter"
_NOT = {
    "period": "is not a period in DHIS2's notation, such as 2023, 202304 or 2023Q2",
    "org_unit": _NO_UID,
    "category_option_combo": _NO_UID,
}


def _fits(name: str, value: str) -> bool:
    return bool((PERIOD if name == "period" else UID).fullmatch(value))


def _spelled(part: FromColumn | str | None) -> list[str]:
    """The texts of DHIS2 that a part of the mapping holds."""
    if isinstance(part, FromColumn):
        return list((part.values or {}).values())
    return [] if part is None else [part]


def read_mapping(text: str, source: str = "DHIS2 mapping") -> Dhis2Mapping:
    """The mapping of a YAML or JSON text. Raises InputError with every problem."""
    try:
        return Dhis2Mapping.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputError(f"{source}: not YAML or JSON: {error}") from None
    except ValidationError as error:
        raise InputError([f"{source}: {text}" for one in error.errors() for text in _problems(one)]) from None


def _problems(error: Any) -> list[str]:
    """What pydantic found, as sentences with the place."""
    place = ".".join(str(part) for part in error["loc"] if part not in (_BY_COLUMN, _FOR_ALL))
    said = error["msg"].removeprefix("Value error, ").splitlines()
    return [f"{place}: {text}" if place else text for text in said]


def dhis2_csv(results: Results, mapping: Dhis2Mapping) -> str:
    """Data values as CSV, one row per value, with verdict and reasons as the comment.

    Taken from the level (strata or roll-up) that differs by the mapped columns alone. Raises InputError
    where the run has no such level or nothing to export, with every value that the mapping does not know or
    DHIS2 does not take, and with values that DHIS2 could not tell apart.
    """
    view = View(results)
    estimates = _estimates(view, _level(view, mapping), mapping)
    problems = dict.fromkeys(_unknown_entries(estimates, mapping))
    found: dict[_Key, list[_DataValue]] = {}
    for row in estimates:
        if row["verdict"] in mapping.verdicts:
            for key, data in _values(row, mapping, problems):
                found.setdefault(key, []).append(data)
    problems |= dict.fromkeys(_told_apart(found))
    if not found and not problems:
        problems[_nothing(estimates, mapping)] = None
    if problems:
        raise InputError(list(problems))
    return _csv(found)


_Key = tuple[str, str, str, str, str]
"""Data element, period, organisation unit, category and attribute option combination."""
_DataValue = tuple[str, str, str]
"""Value, comment, and what it is of."""


def _csv(found: Mapping[_Key, list[_DataValue]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows((*key, value, "", "", comment, "") for key, [(value, comment, _)] in found.items())
    return out.getvalue()


def _told_apart(found: Mapping[_Key, list[_DataValue]]) -> Iterator[str]:
    """The keys under which there is more than one value: DHIS2 would keep the last of them."""
    for (element, period, org_unit, *_), values in found.items():
        if len(values) > 1:
            sources = ", ".join(source for *_, source in values)
            place = f"data element {element}, period {period}, organisation unit {org_unit}"
            yield f"{place}: {len(values)} values, and DHIS2 keeps one ({sources})"


def _unknown_entries(estimates: list[dict[str, Any]], mapping: Dhis2Mapping) -> Iterator[str]:
    """The causes of the mapping that the run does not have in that age group."""
    causes: dict[str, dict[str, None]] = {}
    for row in estimates:
        causes.setdefault(row["age_group"], {})[row["cause"]] = None
    for age_group, elements in mapping.data_elements.items():
        known = causes.get(age_group, {})
        for cause in elements:
            if known and cause not in known:
                has = ", ".join(known)
                yield f"data_elements.{age_group}.{cause}: the run has no such cause; it has: {has}"


def _nothing(estimates: list[dict[str, Any]], mapping: Dhis2Mapping) -> str:
    """Why there is nothing to export."""
    ages = list(dict.fromkeys(row["age_group"] for row in estimates))
    if not any(mapping.data_elements.get(age) for age in ages):
        return f"data_elements names nothing of this run, which has: {', '.join(ages)}"
    allowed = ", ".join(mapping.verdicts)
    return f"nothing to export: no value that the mapping names is there with one of the verdicts {allowed}"


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
    of = f"by {', '.join(wanted)} alone" if wanted else "of all its strata together"
    raise InputError(f"the run has no results {of}: add roll_ups: [[{', '.join(wanted)}]]")


def _estimates(view: View, level: str, mapping: Dhis2Mapping) -> list[dict[str, Any]]:
    """The rows of csmf of that level and the mapping's algorithm, whatever their verdict."""
    csmf = view.results.csmf
    chosen = csmf[(csmf["level"] == level) & (csmf["algorithm"] == mapping.algorithm)].astype(object)
    if chosen.empty:
        raise InputError(
            f"the run has no results of {mapping.algorithm}; it has: {', '.join(view.algorithms)}"
        )
    rows = chosen.where(chosen.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _values(
    row: Mapping[str, Any], mapping: Dhis2Mapping, problems: dict[str, None]
) -> Iterator[tuple[_Key, _DataValue]]:
    for value, element in mapping.data_elements.get(row["age_group"], {}).get(row["cause"], {}).items():
        if row[value] is None or (value in _ENDS and not trusts_interval(row)):
            continue
        period, org_unit, category = (_mapped(name, mapping, row, problems) for name in _NOT)
        key = (element, period, org_unit, category, mapping.attribute_option_combo or "")
        yield (
            key,
            (_number(row[value], value, mapping), _comment(row), f"{row['stratum']} {row['cause']} {value}"),
        )


def _mapped(name: str, mapping: Dhis2Mapping, row: Mapping[str, Any], problems: dict[str, None]) -> str:
    part = mapping.parts[name]
    if not isinstance(part, FromColumn):
        return part or ""
    value = str(row[part.column])
    if part.values is None:
        if not _fits(name, value):
            problems[f"{name}: {value!r} of column {part.column} {_NOT[name]}; map it in {name}.values"] = (
                None
            )
        return value
    if value not in part.values:
        problems[f"{part.column}: the mapping has no DHIS2 value for {value!r}"] = None
    return part.values.get(value, value)


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
