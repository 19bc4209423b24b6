"""What each section of the report says: texts, tables and pictures, from a view of the run."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tasks.figures import (
    Picture,
    csmf_picture,
    inline,
    map_pictures,
    matrix_picture,
    records_picture,
    strata_pictures,
    trend_pictures,
)
from tasks.report import lists, tables
from tasks.report.contrasts import contrasts
from tasks.report.joint import joint_fits
from tasks.report.tables import Table
from tasks.results import ENSEMBLE, NOOP, split_flags
from tasks.terms import Words
from tasks.verdict import VERDICTS
from tasks.view import (
    NO_INTERVAL,
    SHOWN,
    Unit,
    View,
    ensemble_note,
    provenance,
    trusts_interval,
    unit_title,
    warnings,
)

CARDS = 4  # units in the section "In brief"
LARGEST = 3  # causes that a card begins with
DETAILED = 16  # units with all their figures
OVERVIEW = 300  # rows in the table of strata
WORST = 50  # rows in the list of those not to be published
FITS = 100
FAILURES = 100
SOURCES = 20
USED_MATRICES = 2  # strata up to which matrices as used are shown

CITATIONS = (
    "Pramanik S, et al. (2025). Modeling structure and country-specific heterogeneity in misclassification "
    "matrices of verbal autopsy-based cause of death classifiers. Annals of Applied Statistics 19(2). "
    "doi:10.1214/24-AOAS2006",
    "Pramanik S, et al. (2026). Country-specific estimates of misclassification rates of computer-coded "
    "verbal autopsy algorithms. BMJ Global Health. doi:10.1136/bmjgh-2025-021747",
    "Fiksel J, Datta A, Amouzou A, Zeger S (2022). Generalized Bayes quantification learning under dataset "
    "shift. Journal of the American Statistical Association.",
    "Datta A, Fiksel J, Amouzou A, Zeger S (2021). Regularized Bayesian transfer learning for "
    "population-level etiological distributions. Biostatistics. doi:10.1093/biostatistics/kxaa001",
)


@dataclass(frozen=True)
class Shown:
    """A picture in the page: its SVG with ids of its own, and its title."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class Card:
    """A unit in the section "In brief"."""

    title: str
    subtitle: str
    verdict: str
    answer: str
    reasons: Sequence[str]
    contradictions: Sequence[str]
    table: Table | None
    facts: Sequence[str]
    picture: Shown


@dataclass(frozen=True)
class Result:
    """All figures of one algorithm in one unit."""

    title: str
    verdict: str
    reasons: Sequence[str]
    table: Table


@dataclass(frozen=True)
class Detail:
    """A unit with the results of all its algorithms."""

    title: str
    picture: Shown | None
    results: Sequence[Result]


class _Pictures:
    """Puts pictures into the page, each with a number of its own so that ids do not meet."""

    def __init__(self) -> None:
        self.count = 0

    def show(self, picture: Picture) -> Shown:
        self.count += 1
        return Shown(picture.title, inline(picture, f"p{self.count}"))

    def all(self, pictures: Iterable[Picture]) -> list[Shown]:
        return [self.show(picture) for picture in pictures]


def sections(view: View, say: Words, boundaries: str | None) -> dict[str, Any]:
    """Everything that the page's template shows, by the template's names."""
    pictures = _Pictures()
    main = main_units(view)
    detailed = _detailed(view, main)
    return {
        "title": say("report.title", name=view.manifest["name"]),
        "warnings": warnings(view, say),
        "summary": summary_sentences(view, say),
        "counts": [tables.verdict_counts(view, view.strata, say)] if len(view.strata) > 1 else [],
        "has_ensemble": ENSEMBLE in view.algorithms,
        "cards": [_card(view, unit, pictures, say) for unit in main],
        "not_shown": len(view.units) - len(main),
        "options": lists.options(view, say),
        "records": [t for t in (lists.records(view, say), lists.records_left_out(view, say)) if t.rows],
        "records_picture": pictures.show(records_picture(view, say)) if len(view.records) else None,
        "details": [_detail(view, unit, unit not in main, pictures, say) for unit in detailed],
        "totals": _by_age_group(view, view.totals, say),
        "contrasts": contrasts(view, say),
        "strata_pictures": pictures.all(strata_pictures(view, say)),
        "trends": pictures.all(trend_pictures(view, say)),
        "maps": pictures.all(map_pictures(view, boundaries, say)) if boundaries else [],
        **_strata(view, say),
        **_matrices(view, pictures, say),
        **_diagnostics(view, say),
        **_methods(view, say),
        "citations": CITATIONS,
        "provenance": _provenance(view, say),
        "verdicts": _verdicts(view),
    }


def _verdicts(view: View) -> list[str]:
    """The verdicts that readers may meet on the page."""
    only = {"mean_only": bool(view.totals), "publishable_narrow": ENSEMBLE in view.algorithms}
    return [verdict for verdict in SHOWN if only.get(verdict, True)]


def main_units(view: View) -> list[Unit]:
    """Units that the report begins with: the coarsest roll-ups, else the strata with the most deaths."""
    units = view.totals or view.strata
    level = units[0].level if units else ""
    same = [unit for unit in units if unit.level == level]
    kept = set(sorted(same, key=lambda unit: -unit.deaths)[:CARDS])
    return [unit for unit in same if unit in kept]


def summary_sentences(view: View, say: Words) -> list[str]:
    """The run in a few sentences: how many main results may be published."""
    counts = Counter(view.verdict(unit, view.main(unit)) for unit in view.strata)
    number = {verdict: say.number(counts[verdict]) for verdict in VERDICTS}
    sentences = warnings(view, say)
    if len(view.strata) > 1:
        counted = say("report.in_brief_counts", number=say.number(len(view.strata)), **number)
        narrow = ensemble_note(map(view.main, view.strata), say) if counts["publishable"] else []
        sentences.append(" ".join([counted, *narrow]))
    return sentences


def _card(view: View, unit: Unit, pictures: _Pictures, say: Words) -> Card:
    main = view.main(unit)
    subtitle = [say("report.deaths_received", number=say.number(unit.deaths))]
    subtitle += [say("report.main_result", algorithm=say.algorithm(main))] if main else []
    return Card(
        unit.label(say),
        " ".join(subtitle),
        view.shown_verdict(unit, main),
        answer(view, unit, say),
        tables.reasons(view, unit, main, say) if main else [_no_result(view, unit, say)],
        disagreements(view, unit, say) if main and _names_disagreement(view, unit, main) else [],
        tables.brief(view, unit, main, say) if main else None,
        _facts(view, unit, main, say) if main else [],
        pictures.show(csmf_picture(view, unit, say)),
    )


def answer(view: View, unit: Unit, say: Words) -> str:
    """What people die of here and how sure that is: the largest causes of the main result, in a sentence.

    A result that is not to be published gives no answer, and that is said.
    """
    main = view.main(unit)
    if main is None:
        return ""
    if view.verdict(unit, main) == "do_not_publish":
        return say("report.no_answer")
    known = [row for row in view.rows(unit, main) if row["mean"]]
    largest = sorted(known, key=lambda row: -row["mean"])[:LARGEST]
    text = say.series(_largest(view, row, say) for row in largest)
    trusted = trusts_interval(view.fit(unit, main))
    return say("report.answer" if trusted else "report.answer_mean_only", text=text, mark=NO_INTERVAL)


def _no_result(view: View, unit: Unit, say: Words) -> str:
    codes = (tables.reasons(view, unit, algorithm, say) for algorithm in view.algorithms)
    return next(
        (found[0] for found in codes if found), say("verdict_reasons.no_result", value=say("reasons.unknown"))
    )


def _largest(view: View, row: Mapping[str, Any], say: Words) -> str:
    """A cause with its share, and that the algorithms disagree on it."""
    said = f"{say.cause(row['cause'])} {view.marked(row, say)}"
    disputed = "algorithms_disagree" in split_flags(row["flags"] or "")
    return f"{said}, {say('report.disputed')}" if disputed else said


def _facts(view: View, unit: Unit, main: str, say: Words) -> list[str]:
    """What calibration changed most, and the verdicts of the other algorithms."""
    rows = [row for row in view.rows(unit, main) if row["mean"] is not None]
    moved = max(rows, key=lambda row: abs(row["mean"] - row["raw"]))
    facts = []
    if abs(moved["mean"] - moved["raw"]) >= NOOP:
        before, after = say.percent(moved["raw"]), say.percent(moved["mean"])
        facts.append(say("report.moved_most", cause=say.cause(moved["cause"]), raw=before, mean=after))
    others = [
        say.pair(say.algorithm(a), say(f"verdicts.{view.shown_verdict(unit, a)}"))
        for a in view.algorithms
        if a != main and view.fit(unit, a)
    ]
    return [*facts, *([say("report.other_results", text=say.series(others))] if others else [])]


def _names_disagreement(view: View, unit: Unit, algorithm: str) -> bool:
    """Whether the reasons of a result say that algorithms disagree: the last one then does."""
    return "algorithms_disagree" in (view.fit(unit, algorithm).get("verdict_codes") or "")


def disagreements(view: View, unit: Unit, say: Words) -> list[str]:
    """For each cause on which the algorithms contradict each other, what each of them says."""
    found: dict[str, list[str]] = {}
    doubtful = set()
    for algorithm in view.fitted(unit):
        for row in view.rows(unit, algorithm):
            share, _ = view.quotable(row, say)
            by = "ensemble" if algorithm == ENSEMBLE else "algorithm"
            text = say(f"report.share_by_{by}", share=share, algorithm=say.algorithm(algorithm))
            found.setdefault(row["cause"], []).append(text)
            doubtful |= {row["cause"]} if "algorithms_disagree" in split_flags(row["flags"] or "") else set()
    return [
        say("report.disagreement", cause=say.cause(cause), text=say.listing(found[cause]))
        for cause in view.causes([unit])
        if cause in doubtful
    ]


def _detailed(view: View, main: Sequence[Unit]) -> list[Unit]:
    """Units shown with all figures: the main ones, then the others in order, DETAILED at most."""
    others = [unit for unit in view.units if unit not in main]
    return [*main, *others][:DETAILED]


def _detail(view: View, unit: Unit, drawn: bool, pictures: _Pictures, say: Words) -> Detail:
    results = [
        Result(
            say.algorithm(algorithm),
            view.shown_verdict(unit, algorithm),
            tables.reasons(view, unit, algorithm, say),
            tables.estimates(view, unit, algorithm, say),
        )
        for algorithm in view.algorithms
        if view.rows(unit, algorithm)
    ]
    return Detail(
        unit_title(unit, say), pictures.show(csmf_picture(view, unit, say)) if drawn else None, results
    )


def _strata(view: View, say: Words) -> dict[str, Any]:
    """Tables of strata, one an age group; of too many those with the most deaths and the worst."""
    largest = set(sorted(view.strata, key=lambda unit: -unit.deaths)[:OVERVIEW])
    shown = [unit for unit in view.strata if unit in largest]
    limited = len(view.strata) > OVERVIEW
    refused = [u for u in view.strata if view.verdict(u, view.main(u)) == "do_not_publish"] if limited else []
    worst = sorted(refused, key=lambda unit: -unit.deaths)[:WORST]
    return {
        "strata": _by_age_group(view, shown, say),
        "strata_limited": say(
            "report.strata_limited", number=say.number(len(view.strata)), shown=say.number(len(largest))
        ) if limited else "",
        "worst": lists.fits(view, worst, WORST, say) if worst else None,
        "compare_strata": len(view.strata) > len(view.groups()),
    }  # fmt: skip


def _by_age_group(view: View, units: Sequence[Unit], say: Words) -> list[Table]:
    """Main results of the units, one table an age group: their causes differ."""
    found = []
    for age_group in dict.fromkeys(unit.age_group for unit in units):
        own = [unit for unit in units if unit.age_group == age_group]
        found.append(tables.overview(view, own, say.or_plain(f"age_groups.{age_group}"), say))
    return found


def _matrices(view: View, pictures: _Pictures, say: Words) -> dict[str, Any]:
    """Matrices: published and used for few strata, else the published ones of each age group and country."""
    used = len(view.strata) <= USED_MATRICES * len(view.groups())
    first = (
        view.strata
        if used
        else [next(u for u in view.strata if (u.age_group, u.country) == g) for g in _some(view)]
    )
    drawn = []
    for unit in first:
        for algorithm in view.algorithms:
            if algorithm != ENSEMBLE:
                candidates = (
                    [unit]
                    if used
                    else [
                        u for u in view.strata if (u.age_group, u.country) == (unit.age_group, unit.country)
                    ]
                )
                fitted = next((u for u in candidates if _calibrated(view, u, algorithm)), None)
                picture = matrix_picture(view, fitted, algorithm, say, used=used) if fitted else None
                drawn += [picture] if picture else []
    text = "report.matrices_text" if view.published_matrices else "report.matrices_text_own"
    return {
        "matrix_pictures": pictures.all(drawn),
        "matrices_text": say(text),
        "matrices_many": "" if used else _lambda_text(view, say),
    }


def _some(view: View) -> list[tuple[str, str]]:
    return view.groups()[:8]


def _calibrated(view: View, unit: Unit, algorithm: str) -> bool:
    return view.fit(unit, algorithm).get("status") == "calibrated"


def _lambda_text(view: View, say: Words) -> str:
    parts = []
    for algorithm in view.algorithms:
        found = lists.lambdas(view, algorithm)
        if found:
            low, middle, high = (say.decimal(v, 2) for v in (found[0], statistics.median(found), found[-1]))
            name = say.algorithm(algorithm)
            parts.append(say("report.matrices_lambda", algorithm=name, median=middle, low=low, high=high))
    return say("report.matrices_many", text=say.series(parts)) if parts else ""


def _diagnostics(view: View, say: Words) -> dict[str, Any]:
    total = sum(1 for unit in view.units for a in view.algorithms if view.fit(unit, a))
    return {
        "caveats": lists.caveats(view, say),
        "failures": lists.failures(view, FAILURES, say),
        "joint_fits": joint_fits(view, say),
        "fits": lists.fits(view, view.units, FITS, say),
        "fits_limited": say("report.fits_limited", shown=FITS, number=say.number(total))
        if total > FITS
        else "",
    }


def _methods(view: View, say: Words) -> dict[str, Any]:
    request = view.manifest["request"]
    joint = request.get("matrix_sharing") == "joint"
    corrected = request.get("path_correction")
    if corrected is None:
        corrected = not joint
    if corrected:
        path = say("report.methods_path_on")
    elif joint:
        path = say("report.methods_path_off_joint")
    else:
        path = say("report.methods_path_off", value=request.get("shrinkage") or 0)
    sharing = say("report.methods_joint" if joint else "report.methods_per_stratum")
    limits = [say(f"report.limit_{name}") for name in ("selection", "matrix", "causes", "small")]
    return {"methods": [say("report.methods_text"), path, sharing], "limits": limits}


def _provenance(view: View, say: Words) -> dict[str, Any]:
    listed = [lists.rules(view, say), lists.sources(view, SOURCES, say), lists.files(view, say)]
    return {"facts": provenance(view, say), "tables": [table for table in listed if table.rows]}
