"""What became of a run as a whole: whether what it was for may be used, and how much is missing from it.

These are facts, kept in the manifest. What a state makes of them depends on the request of the moment, whose
limits (`unfitted_share`, `left_out_share`) are no part of a run's identity.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from tasks.results import ENSEMBLE, WITH_RESULT, Results, Shortfall, reasons_from_json
from tasks.terms import amount, words

NAMED = 3
"""Totals that are named one by one in a sentence."""

FIT_COLUMNS = ("stratum", "algorithm", "status", "reason", "verdict", "verdict_codes")
TOTAL_COLUMNS = ("level", "stratum", "algorithm", "strata_fitted", "verdict", "verdict_codes")
RECORD_COLUMNS = ("algorithm", "disposition", "reason", "records")

_Row = Mapping[str, Any]
_NO_DEATH = ("stillbirth", "algorithm_not_requested")
"""Reasons of records that are none of the deaths that the request is about."""
_NOT_USED = ("excluded", "rejected")


@dataclass(frozen=True)
class Outcome:
    """Facts of a published run. A unit (stratum or total) is usable if its main result may be published.

    The main result is the ensemble, else the first algorithm of the request that has an estimate.
    """

    totals: int
    """Totals that the request declares (`roll_ups`): one for each age group, country and value."""
    unusable_totals: tuple[str, ...]
    """Keys of those that must not be published."""
    strata: int
    usable_strata: int
    below_minimum: int
    """Strata in which no algorithm reaches the request's minimum_deaths."""
    unfitted: int
    """Strata of which a fit failed or was lost."""
    left_out: Mapping[str, float]
    """By algorithm: the share of records received that is excluded or rejected, stillbirths aside."""
    because: Mapping[str, int]
    """Why main results must not be published, of totals, else of strata: the first reason, and how many have it."""

    @property
    def nothing_usable(self) -> bool:
        """Whether no total may be published; where none is declared, no stratum."""
        return len(self.unusable_totals) == self.totals if self.totals else not self.usable_strata

    @property
    def unfitted_share(self) -> float:
        """Share of strata without a whole fit, of those that have the deaths for one."""
        return self.unfitted / max(1, self.strata - self.below_minimum)

    @property
    def left_out_most(self) -> tuple[float, str]:
        """The largest share of records left out, and whose."""
        return max(((share, name) for name, share in self.left_out.items()), default=(0.0, ""))

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {**asdict(self), "unusable_totals": list(self.unusable_totals)}


def outcome(
    strata: pa.Table, records: pa.Table, totals: pa.Table | None, algorithms: Sequence[str]
) -> Outcome:
    """The outcome of a run from its tables `strata`, `records` and `rollups` (columns above).

    algorithms: of the request, in its order.
    """
    fits = _by_unit(strata.select(list(FIT_COLUMNS)).to_pylist(), ("stratum",)).values()
    of_strata = [_main(rows, algorithms, lambda row: row["status"] in WITH_RESULT) for rows in fits]
    declared = [] if totals is None else totals.select(list(TOTAL_COLUMNS)).to_pylist()
    of_totals = [
        _main(rows, algorithms, lambda row: bool(row["strata_fitted"]))
        for rows in _by_unit(declared, ("level", "stratum")).values()
    ]
    unusable = [main for main in of_totals or of_strata if not _is_usable(main)]
    return Outcome(
        totals=len(of_totals),
        unusable_totals=tuple(main["stratum"] for main in unusable) if of_totals else (),
        strata=len(of_strata),
        usable_strata=sum(map(_is_usable, of_strata)),
        below_minimum=sum(map(_below_minimum, fits)),
        unfitted=sum(any(row["status"] == "failed" for row in rows) for rows in fits),
        left_out=_left_out(records, algorithms),
        because=dict(Counter(map(_worst, unusable)).most_common()),
    )


def stored_outcome(results: Results) -> Outcome:
    """The outcome of a published run: as its manifest has it, else from its tables."""
    if kept := results.manifest.get("outcome"):
        return Outcome(**{**kept, "unusable_totals": tuple(kept["unusable_totals"])})
    has_totals = any(file["path"] == "rollups.parquet" for file in results.manifest["files"])
    return outcome(
        results.table("strata", FIT_COLUMNS),
        results.table("records", RECORD_COLUMNS),
        results.table("rollups", TOTAL_COLUMNS) if has_totals else None,
        results.manifest["request"]["algorithms"],
    )


def shortfalls(
    found: Outcome, *, unfitted_share: float, left_out_share: float
) -> list[tuple[Shortfall, str]]:
    """What a run lacks more of than the limits allow, the gravest first: name of the state, and a sentence."""
    totals, strata, records = _about_totals(found), _about_strata(found), _about_records(found)
    checks: list[tuple[Shortfall, bool, str]] = [
        ("NothingUsable", found.nothing_usable, totals or strata),
        ("TotalsUnusable", bool(found.unusable_totals) and not found.nothing_usable, totals),
        ("CompletedWithFailures", found.unfitted_share > unfitted_share, _about_failures(found)),
        ("TooMuchLeftOut", found.left_out_most[0] > left_out_share, records),
    ]
    return [(name, sentence) for name, holds, sentence in checks if holds]


def sentences(found: Outcome, *, minimum_deaths: int) -> list[str]:
    """All that is to be said of a run beside its results, the gravest first; counts and shares only."""
    few = amount(found.below_minimum, "stratum has", "strata have")
    below = f"{few} fewer than {amount(minimum_deaths, 'death')}" if found.below_minimum else ""
    said = (_about_totals(found), _about_strata(found), below, _about_records(found))
    return [sentence for sentence in said if sentence]


def _about_totals(found: Outcome) -> str:
    unusable = found.unusable_totals
    if not unusable:
        return ""
    many = _of(len(unusable), found.totals, "total", "totals")
    named = f": {', '.join(unusable)}" if len(unusable) <= NAMED and found.totals > 1 else ""
    return f"{many}{_reasons(found)}{named}"


def _about_strata(found: Outcome) -> str:
    unusable = found.strata - found.usable_strata
    if found.usable_strata and unusable <= found.below_minimum + found.unfitted:  # they are told as such
        return ""
    many = _of(unusable, found.strata, "stratum", "strata")
    return f"{many}{'' if found.totals else _reasons(found)}"


def _about_failures(found: Outcome) -> str:
    return (
        f"{amount(found.unfitted, 'stratum', 'strata')} could not be calibrated ({found.unfitted_share:.0%})"
    )


def _about_records(found: Outcome) -> str:
    share, algorithm = found.left_out_most
    return f"{words().percent(share)} of the records of {algorithm} are left out" if share else ""


def _of(few: int, all_of_them: int, one: str, many: str) -> str:
    if all_of_them == 1:
        return f"the {one} must not be published"
    if few == all_of_them:
        return f"none of the {all_of_them} {many} may be published"
    return f"{few} of {all_of_them} {many} must not be published"


def _reasons(found: Outcome) -> str:
    """Why, in short: the first reason of each result, with how many results have it."""
    said = "; ".join(f"{_in_short(rule)}: {count}" for rule, count in found.because.items())
    return f" ({said})" if said else ""


def _in_short(rule: str) -> str:
    """A rule of the verdict, or the reason of a missing result, in a few English words."""
    found = (words().section(name).get(rule) for name in ("flag_names", "rule_names", "reasons"))
    text = next(filter(None, found), rule.replace("_", " "))
    return text[0].lower() + text[1:]


def _by_unit(rows: Iterable[_Row], keys: Sequence[str]) -> dict[tuple[str, ...], list[_Row]]:
    units: dict[tuple[str, ...], list[_Row]] = defaultdict(list)
    for row in rows:
        units[tuple(row[key] for key in keys)].append(row)
    return units


def _main(rows: Sequence[_Row], algorithms: Sequence[str], has_estimate: Callable[[_Row], bool]) -> _Row:
    """The main result of a unit; where none has an estimate, the first, which says why."""
    order = [ENSEMBLE, *algorithms]
    ranked = sorted(rows, key=lambda row: order.index(row["algorithm"]))
    return next(filter(has_estimate, ranked), ranked[-1])


def _is_usable(main: _Row) -> bool:
    return bool(main["verdict"] != "do_not_publish")


def _worst(main: _Row) -> str:
    """The first reason of a result: its rule, or why there is no result."""
    first = next(iter(reasons_from_json(main["verdict_codes"])), None)
    if first is None:
        return "unknown"
    return first.because or first.rule


def _below_minimum(rows: Iterable[_Row]) -> bool:
    """Whether a stratum is not fitted for want of deaths and for nothing else; an ensemble has no reason of its own."""
    return all(row["status"] == "not_fitted" for row in rows if row["algorithm"] != ENSEMBLE)


def _left_out(records: pa.Table, algorithms: Sequence[str]) -> dict[str, float]:
    """By algorithm; records of which the algorithm is not known could be any algorithm's."""
    received: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for row in records.select(list(RECORD_COLUMNS)).to_pylist():
        if row["reason"] in _NO_DEATH:
            continue
        for name in (row["algorithm"],) if row["algorithm"] in algorithms else algorithms:
            received[name] += row["records"]
            left_out[name] += row["records"] if row["disposition"] in _NOT_USED else 0
    return {name: left_out[name] / received[name] for name in algorithms if received[name]}
