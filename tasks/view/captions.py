"""The caveats that go into every picture and file head, and the titles of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.results import ENSEMBLE, MANY_SET_ASIDE, split_flags
from tasks.terms import FLAGS, NOTHING
from tasks.view.view import SHOWN, Result, Unit, View


def warning(view: View) -> tuple[str, str]:
    """The warning of an illustrative run, as a sentence and as a word; both empty for any other."""
    if not view.manifest["inventory"]["illustrative"]:
        return "", ""
    return view.say("flags.illustrative"), view.say("figures.watermark")


def inventory_line(view: View) -> str:
    """Which matrices were used, and which run it is."""
    return view.say("figures.source", inventory=inventory_name(view), run=view.manifest["run"])


def inventory_name(view: View) -> str:
    """Id of the inventory, and its version where the id does not say it."""
    inventory = view.manifest["inventory"]
    name, version = str(inventory["id"]), str(inventory.get("version") or "")
    return name if version in name else f"{name} {version}"


def set_aside(view: View) -> list[str]:
    """How many records are in no result, where these are many; nothing else."""
    say = view.say
    of_request = view.records[view.records["reason"] != "algorithm_not_requested"]
    received = int(of_request["records"].sum())
    rejected = int(of_request.loc[of_request["disposition"] == "rejected", "records"].sum())
    if rejected <= MANY_SET_ASIDE * received:
        return []
    share, numbers = say.percent(rejected / received), (say.number(rejected), say.number(received))
    return [say("report.set_aside", rejected=numbers[0], received=numbers[1], share=share)]


def nothing_usable(view: View) -> list[str]:
    """That no main result may be published, of the totals where there are some, else of the strata."""
    units = view.totals or view.strata
    unusable = all(unit.verdict == "do_not_publish" for unit in units)
    return [view.say("report.nothing_usable")] if unusable else []


def warnings(view: View) -> list[str]:
    """What the reader must know first: records set aside, nothing to publish, made-up matrices, missing results."""
    say, found = view.say, [*set_aside(view), *nothing_usable(view)]
    found += [say("report.illustrative")] if view.manifest["inventory"]["illustrative"] else []
    if view.manifest["status"] == "failed":
        found.append(say("report.failed_all"))
    elif view.manifest["status"] != "complete":
        found.append(say("report.failed_part", count=view.missing.num_rows))
    return found


def run_caveats(view: View) -> list[str]:
    """The caveats of a run, one sentence each: warnings, verdicts, what the flags raised mean, source."""
    raised = {flag for text in view.counts("flags") for flag in split_flags(text)}
    return [
        *warnings(view),
        mixed_verdicts(view, view.strata)[0],
        *view.say.flags(raised - ({"illustrative"} if view.manifest["inventory"]["illustrative"] else set())),
        *ensemble_note(view, view.algorithms),
        inventory_line(view),
    ]


def provenance(view: View) -> list[tuple[str, str]]:
    """From what the run was computed: name and value of each fact."""
    manifest, say = view.manifest, view.say
    inventory = manifest["inventory"]
    versions = (f"{name} {version}" for name, version in manifest["versions"].items())
    return [
        (say("report.run"), manifest["run"]),
        (say("report.run_state"), say.or_plain(f"run_status.{manifest['status']}")),
        (say("report.inventory"), inventory_name(view)),
        (say("report.inventory_checksum"), inventory["checksum"]),
        (say("report.inventory_source"), str(inventory.get("source") or NOTHING)),
        (say("report.input_checksum"), manifest["input"]["checksum"]),
        (say("report.versions"), say.listing(versions)),
        (say("report.seed"), str(manifest["seed"])),
    ]


def caveat_lines(view: View, results: Sequence[Result]) -> list[str]:
    """Verdict of each result of a unit, the flags raised, the source: the foot of a picture."""
    say = view.say
    by_verdict: dict[str, list[str]] = {}
    for result in results:
        by_verdict.setdefault(result.shown, []).append(result.name)
    verdicts = [
        say.pair(say(f"verdicts.{verdict}"), say.listing(by_verdict[verdict])) + "."
        for verdict in reversed(SHOWN)
        if verdict in by_verdict
    ]
    return [
        " ".join(verdicts),
        *_flags_raised(view, results, count=False),
        *ensemble_note(view, (result.algorithm for result in results)),
        inventory_line(view),
    ]


def ensemble_note(view: View, algorithms: Iterable[str | None]) -> list[str]:
    """What is to be said beside every ensemble: its intervals are too narrow; nothing without one.

    By common matrix draws an ensemble counts each death about once.
    """
    counted_once = view.manifest["request"].get("matrix_sharing") == "common"
    return [view.say("report.ensemble_note")] if ENSEMBLE in algorithms and not counted_once else []


def mixed_verdicts(view: View, units: Sequence[Unit]) -> list[str]:
    """How many main results have which verdict, then the source: the foot of a picture of many units."""
    say, mains = view.say, main_results(units)
    counts = Counter(main.shown for main in mains)
    counts["do_not_publish"] += len(units) - len(mains)
    text = say.series(say.pair(say(f"verdicts.{v}"), say.number(counts[v])) for v in SHOWN if counts[v])
    return [
        say("figures.verdicts_mixed", text=text),
        *_flags_raised(view, mains),
        *ensemble_note(view, (main.algorithm for main in mains)),
        inventory_line(view),
    ]


def _flags_raised(view: View, results: Sequence[Result], *, count: bool = True) -> list[str]:
    """One line with the short names of the flags of the results, and how many carry each; none without."""
    say = view.say
    counts = Counter(flag for result in results for flag in split_flags(result.fit.get("flags") or ""))
    names = [
        say(f"flag_names.{flag}") + (f" ({counts[flag]})" if count else "") for flag in FLAGS if counts[flag]
    ]
    return [say("figures.caveats", text=say.series(names))] if names else []


def main_results(units: Iterable[Unit]) -> list[Result]:
    """The main result of each unit that has one."""
    return [main for unit in units if (main := unit.main)]


def group_title(view: View, units: Sequence[Unit]) -> str:
    """Country, age group and algorithms of units that are drawn together."""
    say = view.say
    where = say.pair(say.country(units[0].country), say.or_plain(f"age_groups.{units[0].age_group}"))
    return f"{where} · {say.listing(dict.fromkeys(main.name for main in main_results(units)))}"


def unit_title(unit: Unit) -> str:
    """The unit and the deaths behind it."""
    say = unit.view.say
    return f"{unit.label} · " + say("report.deaths_received", count=unit.deaths)


def run_verdict(units: Iterable[Unit]) -> str:
    """The worst verdict among the main results of the units, as readers see it; `publishable` of none."""
    return max((unit.shown for unit in units), key=SHOWN.index, default="publishable")


def level_name(view: View, level: str) -> str:
    """A level of roll-up, or the strata, as a person names it."""
    return view.say.or_plain(f"levels.{level}")


def span_text(view: View, rows: Mapping[tuple[Unit, str], Mapping[str, Any]]) -> str:
    """For each cause the units with the lowest and the highest share, in words."""
    say = view.say
    by_cause: dict[str, list[tuple[float, str]]] = {}
    for (unit, cause), row in rows.items():
        if row["mean"] is not None:
            by_cause.setdefault(cause, []).append((row["mean"], unit.place))
    return say.series(
        say(
            "figures.alt_range",
            cause=say.cause(cause), low=say.percent(min(found)[0]), where_low=min(found)[1],
            high=say.percent(max(found)[0]), where_high=max(found)[1],
        )
        for cause, found in by_cause.items()
    )  # fmt: skip
