"""Tables of the report: rows of texts, made from the run's tables, in the words of a language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.figures_records import records_by
from tasks.flags import FLAGS
from tasks.schema import DISPOSITIONS, split_flags
from tasks.verdict import VERDICTS, reasons_in_words
from tasks.view import Unit, View
from tasks.words import NOTHING, Words, in_order


@dataclass(frozen=True)
class Table:
    """A table as it is shown: the first column heads its rows; `numeric` columns are set right.

    `verdicts`: verdict of each row, for its colour; empty where rows have none.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()
    verdicts: Sequence[str] = field(default=())


def estimates(view: View, unit: Unit, algorithm: str, say: Words) -> Table:
    """All figures of one result, cause by cause."""
    rows = view.rows(unit, algorithm)
    column = say.section("columns")
    last = column["estimated_deaths" if unit.is_total else "calibrated_deaths"]
    head = [column[name] for name in ("cause", "deaths", "raw", "mean", "interval", "change")]
    return Table(
        f"{unit.label(say)} · {say.algorithm(algorithm)}",
        [*head, last, column["verdict"]],
        [_estimate(row, unit, say) for row in rows],
        frozenset(range(1, 7)),
        [row["verdict"] or "" for row in rows],
    )


def _estimate(row: Mapping[str, Any], unit: Unit, say: Words) -> list[str]:
    calibrated = row["status"] == "calibrated"
    interval = say.interval(row["q025"], row["q975"], 1)
    if not interval and row["mean"] is not None:
        interval = say("report.interval_none")
    return [
        say.cause(row["cause"]),
        say.number(row["deaths"]),
        say.percent(row["raw"], 1),
        say.percent(row["mean"], 1),
        interval or NOTHING,
        _points(row, say) if calibrated else NOTHING,
        say.number(row["estimated_deaths"] if unit.is_total else row["calibrated_deaths"]),
        say(f"verdicts_short.{row['verdict']}") if row["verdict"] else NOTHING,
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
        [column["cause"], column["raw"], column["mean"], column["interval"], column["flag"]],
        [
            [
                say.cause(row["cause"]),
                say.percent(row["raw"]),
                *_quotable(view, row, say),
                _of_cause(row, say),
            ]
            for row in rows
        ],
        frozenset((1, 2, 3)),
    )


def _quotable(view: View, row: Mapping[str, Any], say: Words) -> tuple[str, str]:
    """Share and interval; of an interval that is too narrow it is said that the true one is wider."""
    trusted = view.trusts_interval(row)
    share, interval = say.estimate(row["mean"], row["q025"], row["q975"], trusted=trusted)
    if interval and not trusted:
        interval = say("report.wider_than", interval=interval)
    return share, interval or NOTHING


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
    return Table(say("report.counts_caption"), head, rows, frozenset((1, 2, 3)))


def records(view: View, say: Words) -> Table:
    """Records accounted for, by age group and algorithm."""
    wide = records_by(view, "age_group", "algorithm")
    head = [
        say("columns.algorithm"), say("report.records_received"), *(say(f"dispositions.{d}") for d in
        DISPOSITIONS)
    ]  # fmt: skip
    rows = [
        [
            f"{say.algorithm(str(algorithm))}, {say.or_plain(f'age_groups_short.{age_group}')}",
            *map(say.number, [sum(counts), *counts]),
        ]
        for (age_group, algorithm), *counts in wide.itertuples()
    ]
    return Table(say("figures.records_title"), head, rows, frozenset(range(1, 6)))


def records_left_out(view: View, say: Words) -> Table:
    """Why records were not used."""
    wanted = ["algorithm", "disposition", "reason"]
    frame = view.results.records
    frame = frame[frame["disposition"] != "used"].fillna({"reason": "unknown"})
    sums = frame.groupby(wanted, sort=True)["records"].sum()
    rows = [
        [
            say.algorithm(str(a)),
            say(f"dispositions.{d}"),
            say.or_plain(f"reasons.{reason}"),
            say.number(count),
        ]
        for (a, d, reason), count in sums.items()
        if count
    ]
    head = [say(f"columns.{name}") for name in ("algorithm", "status", "reason", "records")]
    return Table(say("report.records_why"), head, rows, frozenset((3,)))


def overview(view: View, units: Sequence[Unit], caption: str, say: Words) -> Table:
    """One row for each unit: main result, verdict, and the share of each cause with its interval."""
    causes = view.causes(units)
    head = [say(f"columns.{name}") for name in ("stratum", "deaths", "algorithm", "verdict")]
    rows = [_overview_row(view, unit, causes, say) for unit in units]
    return Table(
        caption,
        [*head, *map(say.cause, causes)],
        rows,
        frozenset((1, *range(4, 4 + len(causes)))),
        [view.verdict(unit, view.main(unit)) for unit in units],
    )


def _overview_row(view: View, unit: Unit, causes: Sequence[str], say: Words) -> list[str]:
    main = view.main(unit)
    rows = {row["cause"]: row for row in view.rows(unit, main)} if main else {}
    return [
        unit.name(say) if len(view.countries) == 1 else unit.place(say),
        say.number(unit.deaths),
        say.algorithm(main) if main else NOTHING,
        say(f"verdicts_short.{view.verdict(unit, main)}"),
        *(view.quoted(rows[cause], say) if cause in rows else NOTHING for cause in causes),
    ]


def caveats(view: View, say: Words) -> Table:
    """The flags that results carry: how many, and what each means for the reader."""
    counts: Counter[str] = Counter()
    for frame in (view.results.strata, view.rollups):
        for text, number in frame["flags"].value_counts().items() if len(frame) else ():
            counts.update(dict.fromkeys(split_flags(str(text)), int(number)))
    total = len(view.results.strata) + len(view.rollups)
    rows = [
        [say(f"flag_names.{flag}"), f"{say.number(counts[flag])} / {say.number(total)}", say(f"flags.{flag}")]
        for flag in FLAGS
        if counts[flag]
    ]
    head = [say("columns.flag"), say("columns.results"), say("columns.meaning")]
    return Table(say("report.caveats"), head, rows, frozenset((1,)))


def failures(view: View, at_most: int, say: Words) -> Table:
    """Results that are missing, and why."""
    strata = view.results.strata
    missing = strata[~strata["status"].isin(["calibrated", "not_calibrated"])].head(at_most)
    names = {unit.stratum: unit.label(say) for unit in view.strata}
    rows = [
        [
            names[stratum],
            say.algorithm(algorithm),
            say(f"statuses.{status}"),
            say.or_plain(f"reasons.{reason or 'unknown'}"),
        ]
        for stratum, algorithm, status, reason in zip(
            *(
                missing[c].astype(object).where(missing[c].notna(), None)
                for c in ("stratum", "algorithm", "status", "reason")
            ),
            strict=True,
        )
    ]
    head = [say(f"columns.{name}") for name in ("stratum", "algorithm", "status", "reason")]
    return Table(say("report.failures"), head, rows)


def fits(view: View, units: Sequence[Unit], at_most: int, say: Words) -> Table:
    """Diagnostics of fits, the worst verdicts first."""
    found = [
        (VERDICTS.index(view.verdict(unit, a)), unit, a)
        for unit in units
        for a in view.algorithms
        if view.fit(unit, a)
    ]
    found.sort(key=lambda entry: -entry[0])
    names = ("stratum", "algorithm", "verdict", "deaths", "lambda", "rhat", "ess", "sampler", "reasons")
    rows = [_fit_row(view, unit, algorithm, say) for _, unit, algorithm in found[:at_most]]
    verdicts = [view.verdict(unit, algorithm) for _, unit, algorithm in found[:at_most]]
    head = [say(f"columns.{name}") for name in names]
    return Table(say("report.fits"), head, rows, frozenset((3, 4, 5, 6)), verdicts)


def _fit_row(view: View, unit: Unit, algorithm: str, say: Words) -> list[str]:
    fit = view.fit(unit, algorithm)
    ess = [value for value in (fit.get("ess_bulk"), fit.get("ess_tail")) if value is not None]
    return [
        unit.label(say),
        say.algorithm(algorithm),
        say(f"verdicts_short.{view.verdict(unit, algorithm)}"),
        say.number(fit.get("deaths", fit.get("weight"))),
        say.decimal(fit.get("lambda"), 2),
        say.decimal(fit.get("rhat"), 3),
        say.number(min(ess, default=None)),
        fit.get("sampler") or NOTHING,
        " ".join(reasons(view, unit, algorithm, say)) or NOTHING,
    ]


def reasons(view: View, unit: Unit, algorithm: str, say: Words) -> list[str]:
    """Why a result is not publishable, in sentences."""
    return reasons_in_words(view.fit(unit, algorithm).get("verdict_codes") or "", say)


def options(view: View, say: Words) -> Table:
    """The request as it was run, one row an option."""
    rows = [
        [key, value]
        for key, value in _flat(view.manifest["request"])
        if not key.startswith(
            ("verdict_rules.", "input.counts.")
        )  # rules have a table, counts are in all others
    ]
    return Table(say("report.asked"), [say("columns.option"), say("columns.value")], rows)


def rules(view: View, say: Words) -> Table:
    """The rules of the verdict as this run used them."""
    used = (
        (view.manifest.get("request") or {}).get("verdict_rules") or view.manifest.get("verdict_rules") or {}
    )
    rows = [[key, value] for key, value in _flat(used)]
    return Table(say("report.rules"), [say("columns.option"), say("columns.value")], rows)


def files(view: View, say: Words) -> Table:
    """Files of the run with their checksums."""
    rows = [[file["path"], say.number(file["bytes"]), file["sha256"]] for file in view.manifest["files"]]
    head = [say("columns.source"), say("columns.size"), say("columns.checksum")]
    return Table(say("report.files"), head, rows, frozenset((1,)))


def sources(view: View, at_most: int, say: Words) -> Table:
    """Input files with their checksums."""
    rows = [
        [str(source["uri"]), say.number(source.get("bytes")), str(source.get("sha256") or NOTHING)]
        for source in (view.manifest["input"].get("sources") or ())[:at_most]
    ]
    head = [say("columns.source"), say("columns.size"), say("columns.checksum")]
    return Table(say("report.sources"), head, rows, frozenset((1,)))


def _flat(value: Any, path: str = "") -> Iterable[tuple[str, str]]:
    """Nested options as `path.to.option` and text; empty ones are left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for place, inner in enumerate(value, 1):
            yield from _flat(inner, f"{path}.{place}")
    elif value not in (None, [], ()):
        yield path, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(
            f"[{', '.join(map(str, item))}]" if isinstance(item, list | tuple) else str(item)
            for item in value
        )
    return str(value)


def lambdas(view: View, algorithm: str) -> list[float]:
    """Path correction lambdas of an algorithm over the strata, sorted."""
    strata = view.results.strata
    return sorted(strata.loc[strata["algorithm"] == algorithm, "lambda"].dropna().tolist())


def causes_text(names: Iterable[str], say: Words) -> str:
    """Readable causes in order."""
    return say.listing(map(say.cause, in_order(names)))
