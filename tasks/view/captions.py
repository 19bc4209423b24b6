"""The caveats that go into every picture and file head, and the names of pictures."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.results import ALL, ENSEMBLE, MANY_SET_ASIDE, split_flags
from tasks.terms import FLAGS, NOTHING, Words
from tasks.view.view import SHOWN, Unit, View


def warning(view: View, say: Words) -> tuple[str, str]:
    """The warning of an illustrative run, as a sentence and as a word; both empty for any other."""
    if not view.manifest["inventory"]["illustrative"]:
        return "", ""
    return say("flags.illustrative"), say("figures.watermark")


def inventory_line(view: View, say: Words) -> str:
    """Which matrices were used, and which run it is."""
    return say("figures.source", inventory=inventory_name(view), run=view.manifest["run"])


def inventory_name(view: View) -> str:
    """Id of the inventory, and its version where the id does not say it."""
    inventory = view.manifest["inventory"]
    name, version = str(inventory["id"]), str(inventory.get("version") or "")
    return name if version in name else f"{name} {version}"


def set_aside(view: View, say: Words) -> list[str]:
    """How many records are in no result, where these are many; nothing else."""
    of_request = view.records[view.records["reason"] != "algorithm_not_requested"]
    received = int(of_request["records"].sum())
    rejected = int(of_request.loc[of_request["disposition"] == "rejected", "records"].sum())
    if rejected <= MANY_SET_ASIDE * received:
        return []
    share, numbers = say.percent(rejected / received), (say.number(rejected), say.number(received))
    return [say("report.set_aside", rejected=numbers[0], received=numbers[1], share=share)]


def warnings(view: View, say: Words) -> list[str]:
    """What the reader must know first: many records set aside, made-up matrices, missing results."""
    found = set_aside(view, say)
    found += [say("report.illustrative")] if view.manifest["inventory"]["illustrative"] else []
    if view.manifest["status"] == "failed":
        found.append(say("report.failed_all"))
    elif view.manifest["status"] != "complete":
        found.append(say("report.failed_part", number=say.number(view.missing.num_rows)))
    return found


def run_caveats(view: View, say: Words) -> list[str]:
    """The caveats of a run, one sentence each: warnings, verdicts, what the flags raised mean, source."""
    raised = {flag for text in view.counts("flags") for flag in split_flags(text)}
    return [
        *warnings(view, say),
        mixed_verdicts(view, view.strata, say)[0],
        *say.flags(raised - ({"illustrative"} if view.manifest["inventory"]["illustrative"] else set())),
        *ensemble_note(view.algorithms, say),
        inventory_line(view, say),
    ]


def provenance(view: View, say: Words) -> list[tuple[str, str]]:
    """From what the run was computed: name and value of each fact."""
    manifest = view.manifest
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


def caveat_lines(view: View, unit: Unit, algorithms: Sequence[str], say: Words) -> list[str]:
    """Verdict of each result of a unit, the flags raised, the source: the foot of a picture."""
    by_verdict: dict[str, list[str]] = {}
    for algorithm in algorithms:
        by_verdict.setdefault(view.shown_verdict(unit, algorithm), []).append(say.algorithm(algorithm))
    verdicts = [
        say.pair(say(f"verdicts.{verdict}"), say.listing(by_verdict[verdict])) + "."
        for verdict in reversed(SHOWN)
        if verdict in by_verdict
    ]
    results = [(unit, algorithm) for algorithm in algorithms]
    return [
        " ".join(verdicts),
        *_flags_raised(view, results, say, count=False),
        *ensemble_note(algorithms, say),
        inventory_line(view, say),
    ]


def ensemble_note(algorithms: Iterable[str | None], say: Words) -> list[str]:
    """What is to be said beside every ensemble: its intervals are too narrow; nothing without one."""
    return [say("report.ensemble_note")] if ENSEMBLE in algorithms else []


def mixed_verdicts(view: View, units: Sequence[Unit], say: Words) -> list[str]:
    """How many main results have which verdict, then the source: the foot of a picture of many units."""
    counts = Counter(view.shown_verdict(unit, view.main(unit)) for unit in units)
    text = say.series(say.pair(say(f"verdicts.{v}"), say.number(counts[v])) for v in SHOWN if counts[v])
    results = [(unit, algorithm) for unit in units if (algorithm := view.main(unit))]
    return [
        say("figures.verdicts_mixed", text=text),
        *_flags_raised(view, results, say),
        *ensemble_note((algorithm for _, algorithm in results), say),
        inventory_line(view, say),
    ]


def _flags_raised(
    view: View, results: Sequence[tuple[Unit, str]], say: Words, *, count: bool = True
) -> list[str]:
    """One line with the short names of the flags of the results, and how many carry each; none without."""
    counts = Counter(
        flag for unit, a in results for flag in split_flags(view.fit(unit, a).get("flags") or "")
    )
    names = [
        say(f"flag_names.{flag}") + (f" ({counts[flag]})" if count else "") for flag in FLAGS if counts[flag]
    ]
    return [say("figures.caveats", text=say.series(names))] if names else []


def main_results(view: View, units: Sequence[Unit], say: Words) -> str:
    """Names of the algorithms that are the main results of the units."""
    return say.listing(dict.fromkeys(say.algorithm(a) for unit in units if (a := view.main(unit))))


def group_title(view: View, units: Sequence[Unit], say: Words) -> str:
    """Country, age group and algorithm of units that are drawn together."""
    where = say.pair(units[0].country, say.or_plain(f"age_groups.{units[0].age_group}"))
    return f"{where} · {main_results(view, units, say)}"


def group_slug(unit: Unit) -> str:
    """Age group and country as a part of a file name."""
    return plain_name(f"{unit.age_group}-{unit.country}")


def unit_title(unit: Unit, say: Words) -> str:
    """The unit and the deaths behind it."""
    return f"{unit.label(say)} · " + say("report.deaths_received", number=say.number(unit.deaths))


def slug(unit: Unit) -> str:
    """The unit as a part of a file name: letters, digits and dashes."""
    parts = [unit.age_group, unit.country, *(value for value in unit.values.values() if value != ALL)]
    return plain_name("-".join(parts))


def plain_name(text: str) -> str:
    """Small letters, digits and dashes."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


def run_verdict(view: View, units: Sequence[Unit]) -> str:
    """The worst verdict among the main results of the units, as readers are told; `publishable` of none."""
    shown = (view.shown_verdict(unit, view.main(unit)) for unit in units)
    return max(shown, key=SHOWN.index, default="publishable")


def level_name(level: str, say: Words) -> str:
    """A level of roll-up, or the strata, as a person names it."""
    return say.or_plain(f"levels.{level}")


def span_text(rows: Mapping[tuple[Unit, str], Mapping[str, Any]], say: Words) -> str:
    """For each cause the units with the lowest and the highest share, in words."""
    by_cause: dict[str, list[tuple[float, str]]] = {}
    for (unit, cause), row in rows.items():
        if row["mean"] is not None:
            by_cause.setdefault(cause, []).append((row["mean"], unit.place(say)))
    return say.series(
        say(
            "figures.alt_range",
            cause=say.cause(cause), low=say.percent(min(found)[0]), where_low=min(found)[1],
            high=say.percent(max(found)[0]), where_high=max(found)[1],
        )
        for cause, found in by_cause.items()
    )  # fmt: skip
