"""The release verdict: may this estimate be published? Declared rules in one place, reasons in words.

Every estimate (stratum or roll-up, algorithm or ensemble, cause) is publishable, to be published with
caution, or not to be published. The rules and the evidence behind their limits: docs/verdict.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

import pyarrow as pa

from tasks.results import Named, Reason, named_from_json, reasons_to_json, split_flags
from tasks.terms import FLAGS, Words, words
from tasks.verdict.records import Unplaced, left_out_shares
from tasks.verdict.rules import VERDICTS, Severity, VerdictRules, worst
from tasks.verdict.words import reasons_in_words

COLUMNS = ("verdict", "verdict_reasons", "verdict_codes")

_Key = tuple[str, str, str]  # level, stratum, algorithm
_Found = tuple[Severity, Reason]
_STRATUM = "stratum"
_FITS = ("strata", "rollups")  # tables with a row for each result


def add_verdicts(
    tables: Mapping[str, pa.Table], rules: VerdictRules | None = None, unplaced: Unplaced | None = None
) -> dict[str, pa.Table]:
    """The tables with the columns verdict, verdict_reasons and verdict_codes in csmf, strata and rollups.

    tables: csmf, strata and records of whole strata (tasks/results/schema.py), or csmf and rollups of whole levels
    with the records of the strata below them, or both. Columns of these names are replaced.
    unplaced: `unplaced_shares` of the whole run where `records` are of a part of it; None: from `records`.
    """
    rules = rules or VerdictRules()
    judge = _Judge(tables, rules, unplaced)
    judged = dict(tables)
    judged["csmf"] = _with_columns(tables["csmf"], judge.of_estimates(), words())
    for name in (name for name in _FITS if name in tables):
        judged[name] = _with_columns(tables[name], judge.of_fits(tables[name]), words())
    return judged


class _Judge:
    """The reasons of every fit and every estimate of a set of whole strata."""

    def __init__(
        self, tables: Mapping[str, pa.Table], rules: VerdictRules, unplaced: Unplaced | None
    ) -> None:
        self.rules = rules
        self.estimates = _rows(
            tables["csmf"], ("level", _STRATUM, "algorithm", "cause", "deaths", "status", "flags")
        )
        self.left_out = left_out_shares(tables, unplaced)
        self.deaths = self._deaths_behind()
        fits = (tables[name] for name in _FITS if name in tables)
        self.fits = {_key(fit): fit for table in fits for fit in _rows(table, _FIT_COLUMNS)}
        self.by_fit: dict[_Key, list[dict[str, Any]]] = defaultdict(list)
        for row in self.estimates:
            self.by_fit[_key(row)].append(row)
        self.passed_through = self._passed_through_by_members()
        self.shared = {key: self._reasons_of_fit(key) for key in {*self.fits, *self.by_fit}}

    def of_estimates(self) -> list[list[_Found]]:
        """Reasons of each row of csmf: those of its fit and those of its cause."""
        return [self.shared[_key(row)] + self._reasons_of_cause(row) for row in self.estimates]

    def of_fits(self, table: pa.Table) -> list[list[_Found]]:
        """Reasons of each row of `strata` or `rollups`, with the causes on which algorithms disagree last."""
        return [
            self.shared.get(key, [])
            + self._certain_members(self.passed_through.get(key, {}))
            + self._disagreement(self.by_fit[key])
            for key in map(_key, _rows(table, ("level", _STRATUM, "algorithm")))
        ]

    def _deaths_behind(self) -> dict[_Key, int]:
        """Deaths behind each result; an ensemble's are its largest member's, as all saw the same deaths."""
        own: dict[_Key, int] = defaultdict(int)
        for row in self.estimates:
            own[_key(row)] += row["deaths"] or 0
        largest: dict[tuple[str, str], int] = defaultdict(int)
        for (level, stratum, algorithm), deaths in own.items():
            if algorithm != "ensemble":
                largest[level, stratum] = max(deaths, largest[level, stratum])
        return {
            key: (largest.get(key[:2], deaths) if key[2] == "ensemble" else deaths)
            for key, deaths in own.items()
        }

    def _passed_through_by_members(self) -> dict[_Key, dict[str, list[str]]]:
        """Of each ensemble the causes that it calibrates and calibrated members pass through, by member."""
        calibrated = {(_key(row), row["cause"]) for row in self.estimates if row["status"] == "calibrated"}
        members = {key for key, _ in calibrated}
        found: dict[_Key, dict[str, list[str]]] = defaultdict(dict)
        for row in self.estimates:
            member, ensemble = _key(row), (*_key(row)[:2], "ensemble")
            passed = row["status"] == "passed_through" and member in members
            if passed and (ensemble, row["cause"]) in calibrated:
                found[ensemble].setdefault(row["algorithm"], []).append(row["cause"])
        return found

    def _reasons_of_fit(self, key: _Key) -> list[_Found]:
        fit, rows, rules = self.fits.get(key, {}), self.by_fit[key], self.rules
        if _without_result(fit, rows):
            return [("do_not_publish", Reason("no_result", because=fit.get("reason") or None))]
        flags = {flag for row in [*rows, fit] for flag in (row.get("flags") or "").split(";") if flag}
        zero = [row["cause"] for row in rows if row["status"] == "calibrated" and row["deaths"] == 0]
        if fit.get("matrix_sharing") in ("joint", "common"):  # zeros stall a stratum only on its own
            zero = []
        found = [
            *(_flag(rules, flag, fit) for flag in FLAGS if flag in flags - _not_said_here(flags)),
            _below(rules, "deaths", self.deaths.get(key)),
            _above(rules, "lambda", fit.get("lambda") if "path_correction_stalled" not in flags else None),
            _above(rules, "rhat", fit.get("rhat")),
            _below(rules, "ess", _smallest(fit.get("ess_bulk"), fit.get("ess_tail"))),
            self._left_out(key),
            (rules.zero_causes, Reason("zero_causes", causes=tuple(zero))) if zero else None,
        ]
        return _serious(found)

    def _left_out(self, key: _Key) -> _Found | None:
        """Too many records left out; an ensemble's reason names the member whose records they are."""
        share, algorithm = self.left_out.get(key, (None, ""))
        found = _above(self.rules, "left_out", share)
        if found is None or algorithm == key[2]:
            return found
        return found[0], replace(found[1], algorithms=(Named(algorithm),))

    def _reasons_of_cause(self, row: Mapping[str, Any]) -> list[_Found]:
        found = self._disagreement([row])
        if row["status"] == "passed_through" and not self._not_calibrated(_key(row)):
            found.append((self.rules.passed_through, Reason("passed_through")))
        members = self.passed_through.get(_key(row), {})
        own = {member: [row["cause"]] for member, causes in members.items() if row["cause"] in causes}
        return _serious([*self._certain_members(own), *found])

    def _certain_members(self, members: Mapping[str, list[str]]) -> list[_Found]:
        """The reason that members of an ensemble pass causes through, with these causes."""
        if not members:
            return []
        named = tuple(Named(member, tuple(causes)) for member, causes in members.items())
        found = Reason("member_passed_through", algorithms=named)
        return _serious([(self.rules.member_passed_through, found)])

    def _not_calibrated(self, key: _Key) -> bool:
        return any(reason.rule == "not_calibrated" for _, reason in self.shared[key])

    def _disagreement(self, rows: Iterable[Mapping[str, Any]]) -> list[_Found]:
        causes = tuple(
            row["cause"] for row in rows if "algorithms_disagree" in split_flags(row["flags"] or "")
        )
        if not causes:
            return []
        return _serious([(self.rules.algorithms_disagree, Reason("algorithms_disagree", causes=causes))])


_FIT_COLUMNS = (
    "level", _STRATUM, "algorithm", "status", "reason", "flags", "unreliable_because", "misfit_of", "lambda",
    "rhat", "ess_bulk", "ess_tail", "matrix_sharing",
)  # fmt: skip


def _key(row: Mapping[str, Any]) -> _Key:
    return (row.get("level") or _STRATUM, row[_STRATUM], row["algorithm"])


def _rows(table: pa.Table, wanted: Iterable[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.select([c for c in wanted if c in table.column_names]).to_pylist()
    return rows


def _not_said_here(flags: set[str]) -> set[str]:
    """Flags that another reason says better: disagreement has its causes, a stalled search says why."""
    return {"algorithms_disagree", *(["interval_unreliable"] if "path_correction_stalled" in flags else [])}


def _without_result(fit: Mapping[str, Any], rows: list[dict[str, Any]]) -> bool:
    if fit.get("status") in ("no_result", "failed", "not_fitted"):
        return True
    return all(row["status"] == "no_result" for row in rows)


def _flag(rules: VerdictRules, flag: str, fit: Mapping[str, Any]) -> _Found:
    """The reason of a flag; a flag without a rule of its own is one for caution."""
    reason = Reason(flag)
    if flag == "interval_unreliable":
        members = (fit.get("unreliable_because") or "").split(",")  # no algorithm's name has a comma
        reason = replace(reason, algorithms=tuple(Named(name) for name in members if name))
    if flag == "misfit":
        reason = replace(reason, algorithms=named_from_json(fit.get("misfit_of")))
    if flag == "not_calibrated":
        reason = replace(reason, because=fit.get("reason") or None)
    return getattr(rules, flag, "with_caution"), reason


def _below(rules: VerdictRules, rule: str, value: float | None) -> _Found | None:
    for severity, limit in _limits(rules, rule):
        if value is not None and limit is not None and value < limit:
            return severity, Reason(rule, limit, value)
    return None


def _above(rules: VerdictRules, rule: str, value: float | None) -> _Found | None:
    for severity, limit in _limits(rules, rule):
        if value is not None and limit is not None and value > limit:
            return severity, Reason(rule, limit, value if isfinite(value) else None)
    return None


def _limits(rules: VerdictRules, rule: str) -> tuple[tuple[Severity, float | None], ...]:
    refuse = getattr(rules, f"{rule}_refuse", None)
    return (("do_not_publish", _plain(refuse)), ("with_caution", _plain(getattr(rules, f"{rule}_caution"))))


def _plain(limit: float | None) -> float | None:
    """A limit as it is written in results: 1000 whether the rules were given as 1000 or, by JSON, as 1000.0."""
    return int(limit) if limit is not None and float(limit).is_integer() else limit


def _smallest(*values: float | None) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _serious(found: Iterable[_Found | None]) -> list[_Found]:
    """The reasons that count, the worst first."""
    kept = [one for one in found if one is not None and one[0] != "ignore"]
    return sorted(kept, key=lambda one: -VERDICTS.index(one[0]))


def _with_columns(table: pa.Table, found: list[list[_Found]], say: Words) -> pa.Table:
    """The table with its three columns; each distinct set of reasons is put into words once."""
    kept = table.drop_columns([name for name in COLUMNS if name in table.column_names])
    reasons = [tuple(reason for _, reason in row) for row in found]
    cells = {some: reasons_to_json(some) for some in dict.fromkeys(reasons)}
    codes = pa.array([cells[some] for some in reasons], pa.string())
    encoded: Any = codes.dictionary_encode()
    sentences = [" ".join(reasons_in_words(text, say)) or None for text in encoded.dictionary.to_pylist()]
    verdicts = pa.array([worst(severity for severity, _ in row) for row in found], pa.string())
    in_words = pa.array(sentences, pa.string()).take(encoded.indices)
    for name, column in zip(COLUMNS, (verdicts, in_words, codes), strict=True):
        kept = kept.append_column(name, column)
    return kept
