"""Runs made up for tests and for the pages that script/report-check looks at, written through the real store.

The numbers are plausible, not calibrated: a fit here is the raw fraction moved towards a made-up truth.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from support.build_joint import contrasts, joint_fits
from tasks.results.schema import ALL, SHARES, conform
from tasks.results.store import Results, open_results
from tasks.results.write import publish
from tasks.terms.causes import BROAD_CAUSES
from tasks.verdict.judge import add_verdicts
from tasks.verdict.rules import VerdictRules

PROVINCES = (
    "Cabo Delgado", "Niassa", "Nampula", "Zambézia", "Tete", "Manica", "Sofala", "Inhambane", "Gaza",
    "Maputo Província", "Maputo Cidade",
)  # fmt: skip
YEARS = ("2019", "2020", "2021", "2022", "2023")
EVERY_FLAG = (
    "path_correction_stalled", "estimate_is_noop", "interval_unreliable", "country_served_by_other",
    "not_converged", "misfit", "inventory_not_verified",
)  # fmt: skip
TRUTH = {
    "neonate": (4, 14, 38, 24, 4, 16),
    "child": (18, 14, 18, 5, 6, 5, 5, 24, 5),
}


@dataclass
class Case:
    """What a made-up run looks like."""

    name: str = "made-up"
    country: str = "Mozambique"
    age_groups: Sequence[str] = ("neonate",)
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    algorithms: Sequence[str] = ("eava", "insilicova", "interva")
    ensemble: bool = True
    deaths: tuple[int, int] = (1190, 1190)
    roll_ups: Sequence[Sequence[str]] = ()
    illustrative: bool = False
    every_flag: bool = False
    failures: bool = False
    all_fail: bool = False
    joint: bool = False
    seed: int = 1
    rules: VerdictRules = field(default_factory=VerdictRules)


def build(root: Path, case: Case | None = None) -> Results:
    """The case as a published run in a store at `root`."""
    case = case or Case()
    maker = _Maker(case)
    tables = add_verdicts(maker.tables(), case.rules)
    run = f"{case.name}-0123456789ab"
    publish(str(root), run, {name: [table] for name, table in tables.items()}, _description(case, maker))
    return open_results(str(root), run)


def _description(case: Case, maker: _Maker) -> dict[str, Any]:
    fits = [fit["status"] for fit in maker.strata]
    bad = sum(status in ("failed", "not_fitted") for status in fits)
    status = "failed" if case.all_fail else "complete_with_failures" if bad else "complete"
    return {
        "name": case.name,
        "status": status,
        "request": {
            "name": case.name,
            "input": {"uri": "deaths.csv", "layout": "records"},
            "columns": {"id": "ID", "strata": list(case.columns)},
            "age_group": next(iter(case.age_groups))
            if len(case.age_groups) == 1
            else {"column": "age_group"},
            "country": case.country,
            "algorithms": list(case.algorithms),
            "ensemble": case.ensemble,
            "matrix": {"type": "prior", "source": "illustrative" if case.illustrative else "inventory"},
            **_model(case),
            "roll_ups": [list(level) for level in case.roll_ups],
            "seed": case.seed,
            "verdict_rules": case.rules.model_dump(),
        },
        "input": {
            "checksum": "ab" * 32,
            "sources": [{"uri": "deaths.csv", "bytes": 48213, "sha256": "cd" * 32}],
        },
        "versions": {"vacal": "0.1.0", "python": "3.11.2", "R": "4.2.2"},
        "inventory": {
            "id": "illustrative" if case.illustrative else "CCVA_missmat",
            "version": "1" if case.illustrative else "2.2",
            "checksum": "ef" * 32,
            "source": "made up" if case.illustrative else "R package vacalibration",
            "illustrative": case.illustrative,
            "verified": not case.illustrative,
        },
        "seed": case.seed,
        "strata": {s: fits.count(s) for s in sorted(set(fits))},
        "records": {},
        "warnings": [],
    }


def _model(case: Case) -> dict[str, Any]:
    sharing, shrinkage = ("joint", None) if case.joint else ("per_stratum", 0.0)
    return {"matrix_sharing": sharing, "path_correction": not case.joint, "shrinkage": shrinkage}


class _Maker:
    """Rows of the tables of a case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.random = np.random.default_rng(case.seed)
        self.csmf: list[dict[str, Any]] = []
        self.strata: list[dict[str, Any]] = []
        self.records: list[dict[str, Any]] = []
        self.matrices: list[dict[str, Any]] = []
        self.rollups: list[dict[str, Any]] = []
        self.published: set[tuple[str, str]] = set()

    def tables(self) -> dict[str, pa.Table]:
        case = self.case
        for age_group in case.age_groups:
            truth = self.random.dirichlet(np.array(TRUTH[age_group]) * 1.5, len(case.algorithms) and 1)[0]
            confusion = {a: self._confusion(age_group) for a in case.algorithms}
            for position, values in enumerate(itertools.product(*case.columns.values())):
                self._stratum(
                    age_group, dict(zip(case.columns, values, strict=True)), truth, confusion, position
                )
            for level in case.roll_ups:
                self._roll_up(age_group, level)
        constants = {
            "run": f"{case.name}-0123456789ab",
            "name": case.name,
            "country": case.country,
            "inventory": "illustrative" if case.illustrative else "CCVA_missmat",
            "inventory_version": "1" if case.illustrative else "2.2",
            "inventory_checksum": "ef" * 32,
            "illustrative": case.illustrative,
            "matrix_type": "prior",
            **_model(case),
        }
        rows = {"csmf": self.csmf, "strata": self.strata, "records": self.records, "matrices": self.matrices}
        if self.rollups:
            rows["rollups"] = self.rollups
        if case.joint:
            rows["joint_fits"] = list(joint_fits(self.strata, list(case.columns), case.country))
            rows["contrasts"] = list(contrasts(self.csmf, "year"))
        return {
            name: conform(name, _columns(part), strata_columns=tuple(case.columns), constants=constants)
            for name, part in rows.items()
            if part
        }

    def _confusion(self, age_group: str) -> np.ndarray[Any, Any]:
        n = len(BROAD_CAUSES[age_group])
        return 0.55 * np.eye(n) + 0.45 * self.random.dirichlet(np.ones(n), n)

    def _identity(self, age_group: str, values: Mapping[str, str]) -> dict[str, Any]:
        parts = {"age_group": age_group, "country": self.case.country, **values}
        stratum = "/".join(f"{key}={value}" for key, value in parts.items() if value != ALL)
        return {"stratum": stratum, "age_group": age_group, **values}

    def _stratum(
        self, age_group: str, values: dict[str, str], truth: Any, confusion: Mapping[str, Any], position: int
    ) -> None:
        case, random = self.case, self.random
        identity = self._identity(age_group, values)
        p = random.dirichlet(truth * 60)
        received = int(random.integers(case.deaths[0], case.deaths[1] + 1))
        counts = {}
        for a in case.algorithms:
            excluded = int(received * (0.21 if a == "eava" else 0.03))
            counts[a] = random.multinomial(received - excluded, p @ confusion[a])
            self._records(identity, a, received - excluded, excluded)
        failing = case.all_fail or (case.failures and position % 4 == 1)
        flags = _flags_of(case, position)
        for a in case.algorithms:
            fails = case.all_fail or (failing and a == case.algorithms[0])
            self._fit(identity, a, counts[a], p, flags, fails, confusion[a], received)
        if case.ensemble and len(case.algorithms) > 1:
            self._fit(identity, "ensemble", sum(counts.values()), p, flags, case.all_fail, None, received)

    def _records(self, identity: dict[str, Any], algorithm: str, used: int, excluded: int) -> None:
        row = {**identity, "algorithm": algorithm, "flags": ""}
        self.records.append({**row, "disposition": "used", "reason": None, "records": used})
        if excluded:
            self.records.append(
                {**row, "disposition": "excluded", "reason": "undetermined_cause", "records": excluded}
            )

    def _fit(
        self,
        identity: dict[str, Any],
        algorithm: str,
        counts: Any,
        p: Any,
        flags: Sequence[str],
        fails: bool,
        m: Any,
        received: int,
    ) -> None:
        causes = BROAD_CAUSES[identity["age_group"]]
        total = int(counts.sum())
        raw = counts / max(total, 1)
        stalled = "path_correction_stalled" in flags
        lam = 0.99 if stalled else round(float(self.random.beta(2, 6)), 2)
        own = [f for f in flags if f != "algorithms_disagree"]
        disagree = "algorithms_disagree" in flags
        fit = {
            **identity,
            "algorithm": algorithm,
            "deaths_received": received,
            "deaths": total,
            "status": "failed" if fails else "calibrated",
            "reason": "the solution of the matrix did not converge" if fails else None,
            "matrix_country": self.case.country,
            "lambda": None if algorithm == "ensemble" or fails or self.case.joint else lam,
            "unreliable_because": "eava"
            if "interval_unreliable" in flags and algorithm == "ensemble"
            else None,
            "sampler": "exact" if algorithm != "ensemble" else "hmc",
            "rhat": 1.31 if "not_converged" in flags else 1.002,
            "ess_bulk": 120.0 if "not_converged" in flags else 4100.0,
            "ess_tail": 90.0 if "not_converged" in flags else 3900.0,
            "converged": "not_converged" not in flags,
            "flags": [] if fails else [*own, *(["algorithms_disagree"] if disagree else [])],
        }
        self.strata.append(fit)
        calibrated = np.array([cause != "other" for cause in causes])
        mean = raw.copy()
        if not stalled:
            share = raw[calibrated].sum()
            moved = np.where(raw > 0, 0.3 * raw + 0.7 * p, 0.01)[calibrated]
            mean[calibrated] = share * moved / moved.sum()
        sd = np.sqrt(mean * (1 - mean) * (1 / max(total, 1) + 0.012 * (not stalled)))
        for i, cause in enumerate(causes):
            row: dict[str, Any] = {
                **identity, "level": "stratum", "algorithm": algorithm, "cause": cause,
                "deaths": int(counts[i]),
                "raw": float(raw[i]),
                "status": "no_result" if fails else "calibrated" if calibrated[i] else "passed_through",
                "flags": [] if fails else [*own, *(["algorithms_disagree"] if disagree and i == 1 else [])],
            }  # fmt: skip
            if not fails:
                row["mean"] = float(mean[i])
                if calibrated[i]:
                    row |= {"sd": float(sd[i]), **_quantiles(mean[i], sd[i])}
                else:
                    row["not_calibrated_reason"] = "asked_for"
            self.csmf.append(row)
        if m is not None and not fails:
            self._matrix(identity, algorithm, causes, calibrated, m, lam)

    def _matrix(
        self, identity: dict[str, Any], algorithm: str, causes: Any, calibrated: Any, m: Any, lam: float
    ) -> None:
        kept = np.outer(calibrated, calibrated)
        used = np.where(kept, m, 0.0)
        used = lam * np.eye(len(used)) + (1 - lam) * used / np.maximum(used.sum(axis=1, keepdims=True), 1e-12)
        whole = self._identity(identity["age_group"], dict.fromkeys(self.case.columns, ALL))
        parts = [(identity, "used", np.where(kept, used, np.eye(len(used))))]
        if (whole["stratum"], algorithm) not in self.published:
            self.published.add((whole["stratum"], algorithm))
            parts.append((whole, "published", m))
        for key, kind, values in parts:
            for i, j in itertools.product(range(len(causes)), repeat=2):
                self.matrices.append({
                    **key, "algorithm": algorithm, "kind": kind, "champs_cause": causes[i],
                    "va_cause": causes[j], "value": float(values[i, j]), "flags": "",
                })  # fmt: skip

    def _roll_up(self, age_group: str, level: Sequence[str]) -> None:
        fitted = [r for r in self.csmf if r["level"] == "stratum" and r["age_group"] == age_group]
        groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for row in fitted:
            groups.setdefault(tuple(row[c] for c in level), []).append(row)
        for key, rows in groups.items():
            values = dict.fromkeys(self.case.columns, ALL) | dict(zip(level, key, strict=True))
            self._total(self._identity(age_group, values), "/".join(level) or "nation", rows)

    def _total(self, identity: dict[str, Any], level: str, rows: list[dict[str, Any]]) -> None:
        received = {fit["stratum"]: fit["deaths_received"] for fit in self.strata}
        for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
            own = [row for row in rows if row["algorithm"] == algorithm]
            weights = {row["stratum"]: received[row["stratum"]] for row in own}
            lost = {row["stratum"] for row in own if row["status"] == "no_result"}
            total, left = sum(weights.values()), sum(weights[s] for s in lost)
            flags = ["rollup_incomplete"] if lost else []
            flags += [] if self.case.joint else ["rollup_interval_too_narrow"]
            self.rollups.append({
                **identity, "level": level, "algorithm": algorithm, "strata": len(weights), "flags": flags,
                "strata_fitted": len(weights) - len(lost), "weight": float(total),
                "weight_fitted": float(total - left),
                "share_left_out": left / total, **dict.fromkeys(SHARES, 0.02),
            })  # fmt: skip
            for cause in dict.fromkeys(row["cause"] for row in own):
                part = [row for row in own if row["cause"] == cause and row["stratum"] not in lost]
                self._total_row(identity, level, algorithm, cause, part, weights, total, left / total, flags)

    def _total_row(
        self, identity: dict[str, Any], level: str, algorithm: str, cause: str, part: list[dict[str, Any]],
        weights: Mapping[str, int], total: int, left: float, flags: list[str],
    ) -> None:  # fmt: skip
        row: dict[str, Any] = {
            **identity, "level": level, "algorithm": algorithm, "cause": cause,
            "weight": float(total), "flags": flags,
            "deaths": sum(r["deaths"] for r in part), "share_left_out": left, "status": "no_result",
        }  # fmt: skip
        if part:
            w = np.array([weights[r["stratum"]] for r in part], float)
            w /= w.sum()
            mean = float(w @ [r["mean"] for r in part])
            row |= {"mean": mean, "raw": float(w @ [r["raw"] for r in part]), "status": part[0]["status"]}
            row |= {
                "share_passed_through": float(row["status"] == "passed_through"),
                "estimated_deaths": mean * total,
            }
            if row["status"] == "calibrated":
                sd = float(np.sqrt((w**2) @ np.array([r["sd"] ** 2 for r in part])))
                row |= {"sd": sd, **_quantiles(mean, sd)}
                row |= {
                    "estimated_deaths_q025": row["q025"] * total,
                    "estimated_deaths_q975": row["q975"] * total,
                }
        self.csmf.append(row)


def _quantiles(mean: float, sd: float) -> dict[str, float]:
    """2.5% and 97.5% points of a gamma-like shape: never below 0 or above 1."""
    spread = 1.96 * sd / max(mean, 1e-9)
    return {
        "q025": float(mean * np.exp(-min(spread, 3.0))),
        "q975": float(min(mean * np.exp(min(0.8 * spread, 1.2)), 0.99)),
    }


def _flags_of(case: Case, position: int) -> list[str]:
    if not case.every_flag:
        return []
    each = [[flag] for flag in (*EVERY_FLAG, "algorithms_disagree")]
    return [[*EVERY_FLAG, "algorithms_disagree"], *each][position % (len(each) + 1)]


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
