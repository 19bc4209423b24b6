"""A run as its readers see it, in their language: its units (strata and roll-ups), each with its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.results import ALL, ENSEMBLE, WITH_RESULT, Results
from tasks.terms import AGE_GROUPS, Language, in_order, words
from tasks.verdict import identity_columns
from tasks.view.names import unique_names
from tasks.view.rows import Rows
from tasks.view.units import Unit, trusts_interval

NO_INTERVAL = "*"
"""Behind a share whose interval is known to be too narrow and therefore not shown."""
_ESTIMATE = (
    "level", "stratum", "algorithm", "cause", "deaths", "raw", "mean", "q025", "q975", "status", "flags",
    "not_calibrated_reason", "calibrated_deaths", "estimated_deaths", "verdict", "verdict_codes",
)  # fmt: skip
_FIT = (
    "stratum", "algorithm", "deaths", "deaths_received", "status", "reason", "lambda", "rhat", "ess_bulk",
    "ess_tail", "sampler", "flags", "verdict", "verdict_codes",
)  # fmt: skip
_ROLLUP = ("level", "stratum", "algorithm", "weight", "ess_bulk", "flags", "verdict", "verdict_codes")
_RECORDS = ("age_group", "algorithm", "disposition", "reason")
_AGES: dict[str, int] = {age_group: place for place, age_group in enumerate(AGE_GROUPS)}


class View:
    """The tables of a run by unit and algorithm, as far as pages and pictures show them, and the words."""

    def __init__(self, results: Results, language: Language = "en") -> None:
        self.results = results
        self.say = words(language)
        self.manifest = results.manifest
        place = identity_columns(results.column_names("strata"))
        self.columns = [name for name in place if name not in ("age_group", "country")]
        self.estimates = self._table("csmf", _ESTIMATE, by=("level", "stratum", "algorithm"))
        self.fits = self._table("strata", (*_FIT, *place), by=("stratum", "algorithm"))
        self.rollups = (
            self._table("rollups", (*_ROLLUP, *place), by=("level", "stratum", "algorithm"))
            if self.has_table("rollups")
            else None
        )
        self.algorithms = self._algorithms()
        self._matrices: tuple[Unit, pa.Table] | None = None

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

    def has_table(self, name: str) -> bool:
        """Whether the run has a table of that name."""
        return any(file["path"] == f"{name}.parquet" for file in self.manifest["files"])

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

    def fit(self, unit: Unit, algorithm: str) -> Mapping[str, Any]:
        """The row of `strata` or `rollups`; empty if the unit has no such result."""
        if unit.is_total:
            found = self.rollups.of(unit.level, unit.stratum, algorithm) if self.rollups else []
        else:
            found = self.fits.of(unit.stratum, algorithm)
        return found[0] if found else {}

    @property
    def published_matrices(self) -> bool:
        """Whether the run used the published matrices, and not made-up ones or a user's own."""
        matrix = (self.manifest.get("request") or {}).get("matrix") or {}
        return str(matrix.get("source", "inventory")) == "inventory"

    def matrices(self, unit: Unit, algorithm: str) -> pd.DataFrame:
        """Matrices of an algorithm: the published of age group and country, and those used in the stratum."""
        if not self.has_table("matrices"):
            return pd.DataFrame()
        if self._matrices is None or self._matrices[0] != unit:  # of one unit: there may be millions of rows
            group = (pc.field("age_group") == unit.age_group) & (pc.field("country") == unit.country)
            wanted = group & ((pc.field("kind") == "published") | (pc.field("stratum") == unit.stratum))
            names = ("algorithm", "kind", "champs_cause", "va_cause", "value")
            self._matrices = unit, self.results.table("matrices", names, wanted)
        return self._matrices[1].filter(pc.field("algorithm") == algorithm).to_pandas()

    def quotable(self, row: Mapping[str, Any]) -> tuple[str, str]:
        """Share and interval; of an interval that is too narrow it is said that it is not to be quoted."""
        trusted = trusts_interval(row)
        share, interval = self.say.estimate(row["mean"], row["q025"], row["q975"], trusted=trusted)
        return share, interval if trusted or not interval else self.say("report.interval_invalid")

    def quoted(self, row: Mapping[str, Any]) -> str:
        """`44% (31-60)`: an estimate with its interval, as one quotes it; a dash where there is none."""
        share, interval = self.quotable(row)
        return share + (f" ({interval})" if interval else "")

    def marked(self, row: Mapping[str, Any]) -> str:
        """The same where room is short: NO_INTERVAL in place of an interval that is too narrow."""
        if trusts_interval(row) or row["q025"] is None:
            return self.quoted(row)
        return self.quotable(row)[0] + NO_INTERVAL

    def causes(self, units: Iterable[Unit]) -> list[str]:
        """All causes of the units, in order."""
        strata = pa.array({unit.stratum for unit in units}, pa.string())
        rows = self.estimates.table.filter(pc.field("stratum").isin(strata))
        return in_order(rows["cause"].unique().to_pylist())

    @cached_property
    def records(self) -> pd.DataFrame:
        """Records by age group, algorithm, disposition and reason, over all strata."""
        rows = self.results.table("records", (*_RECORDS, "records"))
        sums = rows.group_by(list(_RECORDS), use_threads=False).aggregate([("records", "sum")])
        return sums.rename_columns({"records_sum": "records"}).to_pandas()

    @property
    def missing(self) -> pa.Table:
        """The fits without a result."""
        return self.fits.table.filter(~pc.field("status").isin(WITH_RESULT))

    def counts(self, column: str) -> Counter[str]:
        """How many fits, roll-ups among them, have each text of `flags` or `verdict_codes`."""
        tables = [rows.table for rows in (self.fits, self.rollups) if rows is not None]
        pairs = (pair for table in tables for pair in table[column].value_counts().to_pylist())
        found: Counter[str] = Counter()
        for pair in pairs:
            found[pair["values"]] += pair["counts"]
        return found

    def _table(self, name: str, columns: Sequence[str], by: Sequence[str]) -> Rows:
        return Rows(self.results.table(name, columns, compact=True), by)

    def _algorithms(self) -> list[str]:
        """The request's algorithms in its order, then what else the tables hold, the ensemble last."""
        there = self.estimates.table["algorithm"].unique().to_pylist()
        asked = [str(name) for name in (self.manifest.get("request") or {}).get("algorithms", ())]
        own = [name for name in dict.fromkeys([*asked, *there]) if name in there and name != ENSEMBLE]
        return [*own, *([ENSEMBLE] if ENSEMBLE in there else [])]

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
