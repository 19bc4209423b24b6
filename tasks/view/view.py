"""A run as its readers see it, in their language: its units (strata and roll-ups), each with its results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.results import ALL, ENSEMBLE, split_flags
from tasks.terms import AGE_GROUPS, MISSING, Language, in_order, words
from tasks.verdict import reasons_in_words
from tasks.view.names import unique_names
from tasks.view.rows import Row, Rows, trusts_interval
from tasks.view.tables import RunTables

SHOWN = ("publishable", "publishable_narrow", "with_caution", "mean_only", "do_not_publish")
"""What a reader sees, from the best to the worst: the verdicts; that of an ensemble with nothing else
against it; and the one for caution that is about an interval known to be much too narrow."""
_AGES: dict[str, int] = {age_group: place for place, age_group in enumerate(AGE_GROUPS)}


class View(RunTables):
    """A run with its units, in one language."""

    def in_language(self, language: Language) -> View:
        """The same run in another language; the tables are shared."""
        other = copy(self)
        other.say = words(language)
        other.__dict__.pop("units", None)  # they are bound to the view that they came from
        return other

    @cached_property
    def countries(self) -> list[str]:
        """Countries of the units, each once."""
        return list(dict.fromkeys(unit.country for unit in self.units))

    def groups(self) -> list[tuple[str, str]]:
        """Age group and country of the units, each once."""
        return list(dict.fromkeys(unit.group for unit in self.units))

    @cached_property
    def units(self) -> list[Unit]:
        """Roll-ups, then strata; within each neonates first, the coarsest level first, then by key."""
        strata = self._units(self.fits, "deaths_received")
        totals = self._units(self.rollups, "weight") if self.rollups else []
        totals.sort(key=lambda unit: (sum(value != ALL for value in unit.values.values()), unit.level))
        return sorted(totals + strata, key=lambda unit: (not unit.is_total, _AGES.get(unit.age_group, 9)))

    @cached_property
    def file_names(self) -> dict[Unit, str]:
        """The part of a picture's file name that tells the units of the run apart."""
        return unique_names({unit: (*unit.group, *unit.differing) for unit in self.units})

    @cached_property
    def group_file_names(self) -> dict[tuple[str, str], str]:
        """The same for age groups and countries."""
        return unique_names({group: group for group in self.groups()})

    @property
    def totals(self) -> list[Unit]:
        """The roll-ups."""
        return [unit for unit in self.units if unit.is_total]

    @property
    def strata(self) -> list[Unit]:
        """The strata."""
        return [unit for unit in self.units if not unit.is_total]

    def causes(self, units: Iterable[Unit]) -> list[str]:
        """All causes of the units, in order."""
        strata = pa.array({unit.stratum for unit in units}, pa.string())
        rows = self.estimates.table.filter(pc.field("stratum").isin(strata))
        return in_order(rows["cause"].unique().to_pylist())

    def _units(self, rows: Rows, deaths: str) -> list[Unit]:
        """The units of fits or roll-ups, each once, in the order of the rows."""
        level = ["level"] if "level" in rows.table.column_names else []
        keys = [*level, "stratum", "age_group", "country", *self.columns]
        frame = rows.table.select([*keys, deaths]).to_pandas()
        units = frame.groupby(keys, sort=False, observed=True, as_index=False)[deaths].max()
        return [
            Unit(
                self,
                unit.get("level", "stratum"),
                unit["stratum"],
                unit["age_group"],
                unit["country"],
                {name: unit[name] for name in self.columns},
                float(unit[deaths]),
            )
            for unit in units.to_dict("records")
        ]


@dataclass(frozen=True)
class Unit:
    """A stratum, or a roll-up: what it is, how many deaths were received in it, and its results."""

    view: View = field(compare=False, repr=False)
    level: str
    stratum: str
    age_group: str
    country: str
    values: dict[str, str] = field(hash=False)
    deaths: float = 0.0

    @property
    def is_total(self) -> bool:
        """Whether it is a roll-up."""
        return self.level != "stratum"

    @property
    def group(self) -> tuple[str, str]:
        """Its age group and country."""
        return self.age_group, self.country

    @property
    def differing(self) -> tuple[str, ...]:
        """Its values of the strata columns over which it is no total."""
        return tuple(value for value in self.values.values() if value != ALL)

    @property
    def place(self) -> str:
        """The unit without its age group, as in `Mozambique, Nampula, 2023`."""
        return ", ".join([self.view.say.country(self.country), *self._within])

    @property
    def name(self) -> str:
        """The unit within its country and age group, as in `Nampula, 2023`; the country of the whole."""
        return ", ".join(self._within) or self.view.say.country(self.country)

    @property
    def _within(self) -> tuple[str, ...]:
        missing = self.view.say("report.missing")
        return tuple(missing if value == MISSING else value for value in self.differing)

    @property
    def label(self) -> str:
        """The unit as a person names it, as in `Mozambique, Nampula, 2023: Neonates (0-27 days)`."""
        say = self.view.say
        return say.pair(self.place, say.or_plain(f"age_groups.{self.age_group}"))

    @property
    def short(self) -> str:
        """The same where room is short, as in `Nampula, 2023: neonates`."""
        say = self.view.say
        return say.pair(self.name, say.or_plain(f"age_groups_short.{self.age_group}"))

    def result(self, algorithm: str) -> Result:
        """Its result by an algorithm or the ensemble, which may be without rows."""
        return Result(self, algorithm)

    @property
    def results(self) -> list[Result]:
        """Its results that have a row in the table `strata` or `rollups`, failed ones among them."""
        return [result for result in self._all if result.fit]

    @property
    def estimated(self) -> list[Result]:
        """Its results that have rows in the table `csmf`."""
        return [result for result in self._all if result.rows]

    @property
    def fitted(self) -> list[Result]:
        """Its results that hold an estimate, calibrated or not, the ensemble last."""
        return [result for result in self._all if result.has_estimate]

    @property
    def main(self) -> Result | None:
        """Its main result: the ensemble, else the first algorithm of the request that has an estimate."""
        fitted = self.fitted
        ensemble = (result for result in fitted if result.is_ensemble)
        return next(ensemble, fitted[0] if fitted else None)

    @property
    def verdict(self) -> str:
        """Verdict of its main result; `do_not_publish` where there is none."""
        main = self.main
        return main.verdict if main else "do_not_publish"

    @property
    def shown(self) -> str:
        """The verdict of its main result as readers see it: one of SHOWN."""
        main = self.main
        return main.shown if main else shown_verdict({})

    @property
    def _all(self) -> list[Result]:
        return [Result(self, algorithm) for algorithm in self.view.algorithms]


@dataclass(frozen=True)
class Result:
    """What one algorithm, or the ensemble, gave for one unit."""

    unit: Unit
    algorithm: str

    @property
    def view(self) -> View:
        """The run."""
        return self.unit.view

    @property
    def is_ensemble(self) -> bool:
        """Whether it is the ensemble's."""
        return self.algorithm == ENSEMBLE

    @property
    def name(self) -> str:
        """The algorithm as a person names it."""
        return self.view.say.algorithm(self.algorithm)

    @cached_property
    def rows(self) -> list[Row]:
        """The estimates, one per cause, in order; empty if there are none."""
        by_cause = {row["cause"]: row for row in self._estimates}
        return [by_cause[cause] for cause in in_order(by_cause)]

    @cached_property
    def fit(self) -> Mapping[str, Any]:
        """The row of `strata` or `rollups`; empty if the unit has no such result."""
        return self.view.fit(self.unit.level, self.unit.stratum, self.algorithm)

    @property
    def has_estimate(self) -> bool:
        """Whether there is an estimate, calibrated or not."""
        return any(row["status"] != "no_result" for row in self._estimates)

    @property
    def verdict(self) -> str:
        """Verdict of the result as a whole."""
        return self.fit.get("verdict") or "do_not_publish"

    @property
    def shown(self) -> str:
        """The verdict as its reader sees it: one of SHOWN."""
        return shown_verdict(self.fit)

    @property
    def trusted(self) -> bool:
        """Whether no flag says that its intervals are too narrow."""
        return trusts_interval(self.fit)

    @property
    def codes(self) -> str:
        """The cell `verdict_codes`; empty where nothing speaks against the result."""
        return self.fit.get("verdict_codes") or ""

    @property
    def reasons(self) -> list[str]:
        """Why it is not publishable, in sentences."""
        return reasons_in_words(self.codes, self.view.say)

    def matrices(self) -> pd.DataFrame:
        """Its matrices: those published for age group and country, and those used in the stratum."""
        return self.view.matrices(*self.unit.group, self.unit.stratum, self.algorithm)

    @property
    def _estimates(self) -> list[Row]:
        return self.view.estimates.of(self.unit.level, self.unit.stratum, self.algorithm)


def shown_verdict(row: Mapping[str, Any]) -> str:
    """The verdict of an estimate or a fit as its reader sees it: one of SHOWN."""
    verdict = str(row.get("verdict") or "do_not_publish")
    counted_once = row.get("matrix_sharing") == "common"  # an ensemble's deaths, about
    if verdict == "publishable" and row.get("algorithm") == ENSEMBLE and not counted_once:
        return "publishable_narrow"
    narrow = row.get("status") != "passed_through" and not trusts_interval(row)
    return "mean_only" if verdict == "with_caution" and narrow else verdict


def disagrees(row: Mapping[str, Any]) -> bool:
    """Whether the algorithms contradict each other on the cause of this estimate."""
    return "algorithms_disagree" in split_flags(row["flags"] or "")
