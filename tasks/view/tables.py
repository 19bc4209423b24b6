"""The tables of a run by unit and algorithm, and the words in which its readers see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.results import ENSEMBLE, WITH_RESULT, Results
from tasks.terms import Language, words
from tasks.verdict import identity_columns
from tasks.view.rows import Rows, trusts_interval

NO_INTERVAL = "*"
"""Behind a share whose interval is known to be too narrow and therefore not shown."""
_ESTIMATE = (
    "level", "stratum", "algorithm", "cause", "deaths", "raw", "mean", "q025", "q975", "status", "flags",
    "not_calibrated_reason", "calibrated_deaths", "estimated_deaths", "verdict", "verdict_codes", "matrix_sharing",
)  # fmt: skip
_FIT = (
    "stratum", "algorithm", "deaths", "deaths_received", "status", "reason", "lambda", "rhat", "ess_bulk",
    "ess_tail", "sampler", "flags", "verdict", "verdict_codes", "matrix_sharing",
)  # fmt: skip
_ROLLUP = (
    "level", "stratum", "algorithm", "weight", "ess_bulk", "flags", "verdict", "verdict_codes", "matrix_sharing",
)  # fmt: skip
_RECORDS = ("age_group", "algorithm", "disposition", "reason")


class RunTables:
    """The tables of a run, as far as pages and pictures show them, in one language."""

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
        self._matrices: tuple[tuple[str, str, str], pa.Table] | None = None

    def has_table(self, name: str) -> bool:
        """Whether the run has a table of that name."""
        return any(file["path"] == f"{name}.parquet" for file in self.manifest["files"])

    def fit(self, level: str, stratum: str, algorithm: str) -> Mapping[str, Any]:
        """The row of `strata` or `rollups`; empty if there is no such result."""
        if level != "stratum":
            found = self.rollups.of(level, stratum, algorithm) if self.rollups else []
        else:
            found = self.fits.of(stratum, algorithm)
        return found[0] if found else {}

    @property
    def published_matrices(self) -> bool:
        """Whether the run used the published matrices, and not made-up ones or a user's own."""
        matrix = (self.manifest.get("request") or {}).get("matrix") or {}
        return str(matrix.get("source", "inventory")) == "inventory"

    def matrices(self, age_group: str, country: str, stratum: str, algorithm: str) -> pd.DataFrame:
        """Matrices of an algorithm: the published of age group and country, and those used in the stratum."""
        if not self.has_table("matrices"):
            return pd.DataFrame()
        unit = (age_group, country, stratum)
        if self._matrices is None or self._matrices[0] != unit:  # of one unit: there may be millions of rows
            group = (pc.field("age_group") == age_group) & (pc.field("country") == country)
            wanted = group & ((pc.field("kind") == "published") | (pc.field("stratum") == stratum))
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
