"""Tables of the report: rows of texts, made from the run's tables, in the words of a language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.terms import NOTHING, Words
from tasks.verdict import VERDICTS
from tasks.view import (
    NO_INTERVAL,
    Result,
    Unit,
    View,
    disagrees,
    ensemble_note,
    main_results,
    shown_verdict,
    trusts_interval,
)

OPEN_AT_MOST = 30  # rows of a table that is not folded


@dataclass(frozen=True)
class PageTable:
    """A table as it is shown: the first column heads its rows; `numeric` columns are set right.

    `verdicts`: verdict of each row, for its colour; empty where rows have none. `remarks`: what stands below
    the head of each row, or empty. `note`: a sentence below the table. `under`: the column that narrow
    screens show below the one before it.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()
    verdicts: Sequence[str] = field(default=())
    remarks: Sequence[str] = field(default=())
    note: str = ""
    under: int | None = None

    @property
    def is_long(self) -> bool:
        """Whether the page folds it."""
        return len(self.rows) > OPEN_AT_MOST


def estimates(result: Result) -> PageTable:
    """All figures of one result, cause by cause."""
    column = result.view.say.section("columns")
    last = column["estimated_deaths" if result.unit.is_total else "calibrated_deaths"]
    head = [column[name] for name in ("cause", "deaths", "raw", "mean", "interval", "change")]
    return PageTable(
        f"{result.unit.label} · {result.name}",
        [*head, last, column["verdict"]],
        [_estimate(row, result) for row in result.rows],
        frozenset(range(1, 7)),
        [row["verdict"] or "" for row in result.rows],
        note=" ".join(ensemble_note(result.view, [result.algorithm])),
        under=4,
    )


def _estimate(row: Mapping[str, Any], result: Result) -> list[str]:
    """The cells of one cause; an ensemble has no deaths of its own, its algorithms saw the same ones."""
    say = result.view.say
    calibrated = row["status"] == "calibrated"
    interval = say.interval(row["q025"], row["q975"], 1)
    if interval and not trusts_interval(row):
        interval = say("report.wider_than", interval=interval)
    if not interval and row["mean"] is not None:
        interval = say("report.interval_none")
    return [
        say.cause(row["cause"]),
        NOTHING if result.is_ensemble else say.number(row["deaths"]),
        say.percent(row["raw"], 1),
        say.percent(row["mean"], 1),
        interval or NOTHING,
        _points(row, say) if calibrated else NOTHING,
        say.number(row["estimated_deaths"] if result.unit.is_total else row["calibrated_deaths"]),
        say(f"verdicts_short.{shown_verdict(row)}") if row["verdict"] else NOTHING,
    ]


def change(row: Mapping[str, Any]) -> float | None:
    """What calibration changed of a fraction; None where there is no raw or no calibrated one."""
    return None if row["mean"] is None or row["raw"] is None else row["mean"] - row["raw"]


def _points(row: Mapping[str, Any], say: Words) -> str:
    """Change by calibration in percentage points, with its sign."""
    moved = change(row)
    if moved is None:
        return NOTHING
    points = round(100 * moved, 1)
    sign = "+" if points > 0 else "\N{MINUS SIGN}" if points < 0 else ""
    return sign + say.decimal(abs(points), 1)


def brief(result: Result) -> PageTable:
    """The figures of one result that a decision maker needs, in whole percents."""
    view, say = result.view, result.view.say
    column = say.section("columns")
    figures = [
        [say.percent(row["raw"]), *(text or NOTHING for text in view.quotable(row))] for row in result.rows
    ]
    return PageTable(
        f"{result.unit.label} · {result.name}",
        [column[name] for name in ("cause", "raw", "mean", "interval")],
        [[say.cause(row["cause"]), *cells] for row, cells in zip(result.rows, figures, strict=True)],
        frozenset((1, 2, 3)),
        remarks=[_of_cause(row, say) for row in result.rows],
        note=" ".join(ensemble_note(view, [result.algorithm])),
        under=3,
    )


def _of_cause(row: Mapping[str, Any], say: Words) -> str:
    """What speaks against this cause's figure alone, in a few words; empty if nothing does."""
    said = [say("flag_names.algorithms_disagree")] if disagrees(row) else []
    said += [say("figures.passed_through")] if row["status"] == "passed_through" else []
    return say.listing(said)


def verdict_counts(view: View, units: Sequence[Unit]) -> PageTable:
    """How many results of each algorithm have which verdict."""
    say = view.say
    head = [say("columns.algorithm"), *(say(f"verdicts.{verdict}") for verdict in VERDICTS)]
    results = [result for unit in units for result in unit.results]
    counts = Counter((result.algorithm, result.verdict) for result in results)
    rows = [
        [say.algorithm(algorithm), *(say.number(counts[algorithm, verdict]) for verdict in VERDICTS)]
        for algorithm in view.algorithms
    ]
    note = " ".join(ensemble_note(view, view.algorithms))
    return PageTable(say("report.counts_caption"), head, rows, frozenset((1, 2, 3)), note=note)


def overview(view: View, units: Sequence[Unit], caption: str) -> PageTable:
    """One row for each unit: main result, verdict, and the share of each cause with its interval.

    Where all main results are by one algorithm the caption names it, else a column does.
    """
    say, causes = view.say, view.causes(units)
    mains = main_results(units)
    algorithms = list(dict.fromkeys(main.algorithm for main in mains))
    several = len(algorithms) != 1
    names = ("stratum", "deaths", *(["algorithm"] if several else []), "verdict")
    return PageTable(
        caption if several else f"{caption} · {mains[0].name}",
        [*(say(f"columns.{name}") for name in names), *map(say.cause, causes)],
        [_overview_row(unit, causes, several) for unit in units],
        frozenset((1, *range(len(names), len(names) + len(causes)))),
        [unit.verdict for unit in units],
        note=" ".join([*_marks_note(view, mains), *ensemble_note(view, algorithms)]),
    )


def _overview_row(unit: Unit, causes: Sequence[str], several: bool) -> list[str]:
    view, say, main = unit.view, unit.view.say, unit.main
    rows = {row["cause"]: row for row in main.rows} if main else {}
    return [
        unit.name if len(view.countries) == 1 else unit.place,
        say.number(unit.deaths),
        *([main.name if main else NOTHING] if several else []),
        say(f"verdicts_short.{main.shown if main else unit.shown}"),
        *(view.marked(rows[cause]) if cause in rows else NOTHING for cause in causes),
    ]


def _marks_note(view: View, mains: Sequence[Result]) -> list[str]:
    """What NO_INTERVAL means, where a result has such an interval."""
    return [] if all(main.trusted for main in mains) else [view.say("report.marks_note", mark=NO_INTERVAL)]
