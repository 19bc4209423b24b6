"""Further tables of the report: records, caveats, failures, diagnostics, the request, files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from tasks.report.tables import PageTable
from tasks.results import DISPOSITIONS, split_flags
from tasks.terms import FLAGS, NOTHING, Words
from tasks.verdict import VERDICTS, reasons_in_short
from tasks.view import Result, Unit, View, records_by


def records(view: View) -> PageTable:
    """Records accounted for, by age group and algorithm."""
    say = view.say
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
    return PageTable(say("figures.records_title"), head, rows, frozenset(range(1, 6)))


def records_left_out(view: View) -> PageTable:
    """Why records were not used."""
    say = view.say
    wanted = ["algorithm", "disposition", "reason"]
    frame = view.records
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
    return PageTable(say("report.records_why"), head, rows, frozenset((3,)))


def caveats(view: View) -> PageTable:
    """The flags that results carry: how many, and what each means for the reader."""
    say = view.say
    counts: Counter[str] = Counter()
    raised = view.counts("flags")
    for text, number in raised.items():
        counts.update(dict.fromkeys(split_flags(text), number))
    total = raised.total()
    rows = [
        [say(f"flag_names.{flag}"), f"{say.number(counts[flag])} / {say.number(total)}", say(f"flags.{flag}")]
        for flag in FLAGS
        if counts[flag]
    ]
    head = [say("columns.flag"), say("columns.results"), say("columns.meaning")]
    return PageTable(say("report.caveats"), head, rows, frozenset((1,)))


def failures(view: View, at_most: int) -> PageTable:
    """Results that are missing, and why."""
    say = view.say
    names = {unit.stratum: unit.label for unit in view.strata}
    rows = [
        [
            names[fit["stratum"]],
            say.algorithm(fit["algorithm"]),
            say(f"statuses.{fit['status']}"),
            say.or_plain(f"reasons.{fit['reason'] or 'unknown'}"),
        ]
        for fit in view.missing.slice(0, at_most).to_pylist()
    ]
    head = [say(f"columns.{name}") for name in ("stratum", "algorithm", "status", "reason")]
    return PageTable(say("report.failures"), head, rows)


def fits(view: View, units: Sequence[Unit], at_most: int) -> PageTable:
    """Diagnostics of fits, the worst verdicts first."""
    say = view.say
    found = [result for unit in units for result in unit.results]
    found.sort(key=lambda result: -VERDICTS.index(result.verdict))
    shown = found[:at_most]
    names = ("stratum", "algorithm", "verdict", "deaths", "lambda", "rhat", "ess", "sampler", "reasons")
    head = [say(f"columns.{name}") for name in names]
    note = say("report.fits_totals") if any(result.unit.is_total for result in shown) else ""
    return PageTable(
        say("report.fits"),
        head,
        [_fit_row(result) for result in shown],
        frozenset((3, 4, 5, 6)),
        [result.verdict for result in shown],
        note=note,
    )


def _fit_row(result: Result) -> list[str]:
    say, unit, fit = result.view.say, result.unit, result.fit
    pooled = result.is_ensemble and "deaths" in fit  # every death as often as there are algorithms
    ess = [value for value in (fit.get("ess_bulk"), fit.get("ess_tail")) if value is not None]
    return [
        unit.short if len(result.view.countries) == 1 else unit.label,
        result.name,
        say(f"verdicts_short.{result.shown}"),
        NOTHING if pooled else say.number(fit.get("deaths", fit.get("weight"))),
        say.decimal(fit.get("lambda"), 2),
        say.decimal(fit.get("rhat"), 3),
        say.number(min(ess, default=None)),
        fit.get("sampler") or NOTHING,
        say.series(reasons_in_short(result.codes, say)) or NOTHING,
    ]


def options(view: View) -> PageTable:
    """The request as it was run, one row per option, in the order in which one would say them."""
    say = view.say
    order = {name: place for place, name in enumerate(say.section("options"))}
    shown = [
        (key, value)
        for key, value in _flat(view.manifest["request"])
        if not key.startswith(
            ("verdict_rules.", "input.counts.")
        )  # rules have a table, counts are in all others
    ]
    shown.sort(key=lambda option: order.get(option[0].partition(".")[0], len(order)))
    rows = [[_option(key, say), value] for key, value in shown]
    return PageTable(say("report.asked"), [say("columns.option"), say("columns.value")], rows)


def rules(view: View) -> PageTable:
    """The rules of the verdict as this run used them."""
    say = view.say
    used = (
        (view.manifest.get("request") or {}).get("verdict_rules") or view.manifest.get("verdict_rules") or {}
    )
    rows = [[_rule(key, say), _severity(value, say)] for key, value in _flat(used)]
    return PageTable(say("report.rules"), [say("columns.option"), say("columns.value")], rows)


def _option(path: str, say: Words) -> str:
    """An option in words, then as the request spells it."""
    named = say.section("options").get(path.partition(".")[0])
    return f"{named} ({path})" if named else path


def _rule(key: str, say: Words) -> str:
    """A rule in words, then as the request spells it."""
    rule, _, end = key.rpartition("_")
    severity = {"caution": "with_caution", "refuse": "do_not_publish"}.get(end)
    name = {**say.section("flag_names"), **say.section("rule_names")}.get(rule if severity else key)
    if name is None:
        return key
    return f"{say.pair(name, _severity(severity, say)) if severity else name} ({key})"


def _severity(value: str, say: Words) -> str:
    """What a rule calls for, in words; a limit as it is."""
    return say("rule_names.ignore") if value == "ignore" else say.section("verdicts_short").get(value, value)


def files(view: View) -> PageTable:
    """Files of the run with their checksums."""
    say = view.say
    rows = [[file["path"], say.number(file["bytes"]), file["sha256"]] for file in view.manifest["files"]]
    head = [say("columns.source"), say("columns.size"), say("columns.checksum")]
    return PageTable(say("report.files"), head, rows, frozenset((1,)))


def sources(view: View, at_most: int) -> PageTable:
    """Input files with their checksums."""
    say = view.say
    rows = [
        [str(source["uri"]), say.number(source.get("bytes")), str(source.get("sha256") or NOTHING)]
        for source in (view.manifest["input"].get("sources") or ())[:at_most]
    ]
    head = [say("columns.source"), say("columns.size"), say("columns.checksum")]
    return PageTable(say("report.sources"), head, rows, frozenset((1,)))


def _flat(value: Any, path: str = "") -> Iterable[tuple[str, str]]:
    """Nested options as `path.to.option` and text, as the request spells them; empty ones are left out."""
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
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(
            f"[{', '.join(map(str, item))}]" if isinstance(item, list | tuple) else str(item)
            for item in value
        )
    return str(value)


def lambdas(view: View, algorithm: str) -> list[float]:
    """Path correction lambdas of an algorithm over the strata, sorted."""
    own = view.fits.table.filter(pc.field("algorithm") == algorithm)
    return sorted(own["lambda"].drop_null().to_pylist())
