"""Tables of the report: rows of texts, made from the run's tables, in the words of a language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.results import ENSEMBLE, split_flags
from tasks.terms import NOTHING, Words
from tasks.verdict import VERDICTS, reasons_in_words
from tasks.view import NO_INTERVAL, Unit, View, ensemble_note, shown_verdict, trusts_interval

OPEN_AT_MOST = 30  # rows of a table that is not folded


@dataclass(frozen=True)
class Table:
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


def estimates(view: View, unit: Unit, algorithm: str, say: Words) -> Table:
    """All figures of one result, cause by cause."""
    rows = view.rows(unit, algorithm)
    column = say.section("columns")
    last = column["estimated_deaths" if unit.is_total else "calibrated_deaths"]
    head = [column[name] for name in ("cause", "deaths", "raw", "mean", "interval", "change")]
    return Table(
        f"{unit.label(say)} · {say.algorithm(algorithm)}",
        [*head, last, column["verdict"]],
        [_estimate(row, unit, algorithm, say) for row in rows],
        frozenset(range(1, 7)),
        [row["verdict"] or "" for row in rows],
        note=" ".join(ensemble_note([algorithm], say)),
        under=4,
    )


def _estimate(row: Mapping[str, Any], unit: Unit, algorithm: str, say: Words) -> list[str]:
    """The cells of one cause; an ensemble has no deaths of its own, its algorithms saw the same ones."""
    calibrated = row["status"] == "calibrated"
    interval = say.interval(row["q025"], row["q975"], 1)
    if interval and not trusts_interval(row):
        interval = say("report.wider_than", interval=interval)
    if not interval and row["mean"] is not None:
        interval = say("report.interval_none")
    return [
        say.cause(row["cause"]),
        NOTHING if algorithm == ENSEMBLE else say.number(row["deaths"]),
        say.percent(row["raw"], 1),
        say.percent(row["mean"], 1),
        interval or NOTHING,
        _points(row, say) if calibrated else NOTHING,
        say.number(row["estimated_deaths"] if unit.is_total else row["calibrated_deaths"]),
        say(f"verdicts_short.{shown_verdict(row)}") if row["verdict"] else NOTHING,
    ]


def _points(row: Mapping[str, Any], say: Words) -> str:
    """Change by calibration in percentage points, with its sign."""
    if row["mean"] is None or row["raw"] is None:
        return NOTHING
    change = round(100 * (row["mean"] - row["raw"]), 1)
    sign = "+" if change > 0 else "\N{MINUS SIGN}" if change < 0 else ""
    return sign + say.decimal(abs(change), 1)


def brief(view: View, unit: Unit, algorithm: str, say: Words) -> Table:
    """The figures of one result that a decision maker needs, in whole percents."""
    rows = view.rows(unit, algorithm)
    column = say.section("columns")
    return Table(
        f"{unit.label(say)} · {say.algorithm(algorithm)}",
        [column[name] for name in ("cause", "raw", "mean", "interval")],
        [
            [
                say.cause(row["cause"]),
                say.percent(row["raw"]),
                *(text or NOTHING for text in view.quotable(row, say)),
            ]
            for row in rows
        ],
        frozenset((1, 2, 3)),
        remarks=[_of_cause(row, say) for row in rows],
        note=" ".join(ensemble_note([algorithm], say)),
        under=3,
    )


def _of_cause(row: Mapping[str, Any], say: Words) -> str:
    """What speaks against this cause's figure alone, in a few words; empty if nothing does."""
    said = (
        [say("flag_names.algorithms_disagree")]
        if "algorithms_disagree" in split_flags(row["flags"] or "")
        else []
    )
    said += [say("figures.passed_through")] if row["status"] == "passed_through" else []
    return say.listing(said)


def verdict_counts(view: View, units: Sequence[Unit], say: Words) -> Table:
    """How many results of each algorithm have which verdict."""
    head = [say("columns.algorithm"), *(say(f"verdicts.{verdict}") for verdict in VERDICTS)]
    rows = []
    for algorithm in view.algorithms:
        counts = Counter(view.verdict(unit, algorithm) for unit in units if view.fit(unit, algorithm))
        rows.append([say.algorithm(algorithm), *(say.number(counts[verdict]) for verdict in VERDICTS)])
    note = " ".join(ensemble_note(view.algorithms, say))
    return Table(say("report.counts_caption"), head, rows, frozenset((1, 2, 3)), note=note)


def overview(view: View, units: Sequence[Unit], caption: str, say: Words) -> Table:
    """One row for each unit: main result, verdict, and the share of each cause with its interval.

    Where all main results are by one algorithm the caption names it, else a column does.
    """
    causes = view.causes(units)
    mains = list(dict.fromkeys(main for unit in units if (main := view.main(unit))))
    own = len(mains) != 1
    names = ("stratum", "deaths", *(["algorithm"] if own else []), "verdict")
    return Table(
        caption if own else f"{caption} · {say.algorithm(mains[0])}",
        [*(say(f"columns.{name}") for name in names), *map(say.cause, causes)],
        [_overview_row(view, unit, causes, own, say) for unit in units],
        frozenset((1, *range(len(names), len(names) + len(causes)))),
        [view.verdict(unit, view.main(unit)) for unit in units],
        note=" ".join([*_marks_note(view, units, say), *ensemble_note(mains, say)]),
    )


def _overview_row(view: View, unit: Unit, causes: Sequence[str], own: bool, say: Words) -> list[str]:
    main = view.main(unit)
    rows = {row["cause"]: row for row in view.rows(unit, main)} if main else {}
    return [
        unit.name(say) if len(view.countries) == 1 else unit.place(say),
        say.number(unit.deaths),
        *([say.algorithm(main) if main else NOTHING] if own else []),
        say(f"verdicts_short.{view.shown_verdict(unit, main)}"),
        *(view.marked(rows[cause], say) if cause in rows else NOTHING for cause in causes),
    ]


def _marks_note(view: View, units: Sequence[Unit], say: Words) -> list[str]:
    """What NO_INTERVAL means, where a unit has such an interval."""
    fits = (view.fit(unit, main) for unit in units if (main := view.main(unit)))
    return [] if all(map(trusts_interval, fits)) else [say("report.marks_note", mark=NO_INTERVAL)]


def reasons(view: View, unit: Unit, algorithm: str, say: Words) -> list[str]:
    """Why a result is not publishable, in sentences."""
    return reasons_in_words(view.fit(unit, algorithm).get("verdict_codes"), say)
