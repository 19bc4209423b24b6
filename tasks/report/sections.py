"""What each section of the report says: texts, tables and pictures, from a view of the run."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
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
from tasks.report.common import common_fits
from tasks.report.contrasts import contrasts
from tasks.report.joint import joint_fits
from tasks.report.tables import PageTable
from tasks.results import ENSEMBLE, NOOP, reasons_from_json
from tasks.verdict import VERDICTS
from tasks.view import (
    NO_INTERVAL,
    SHOWN,
    Result,
    Unit,
    View,
    disagrees,
    ensemble_note,
    main_results,
    provenance,
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
GROUPS = 8  # age groups and countries whose matrices are shown
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
class Embedded:
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
    table: PageTable | None
    facts: Sequence[str]
    picture: Embedded


@dataclass(frozen=True)
class ResultDetail:
    """All figures of one algorithm in one unit."""

    title: str
    verdict: str
    reasons: Sequence[str]
    table: PageTable


@dataclass(frozen=True)
class Detail:
    """A unit with the results of all its algorithms."""

    title: str
    picture: Embedded | None
    results: Sequence[ResultDetail]


class _Pictures:
    """Puts pictures into the page, each with a number of its own so that ids do not meet."""

    def __init__(self) -> None:
        self.count = 0

    def embed(self, picture: Picture) -> Embedded:
        self.count += 1
        return Embedded(picture.title, inline(picture, f"p{self.count}"))

    def all(self, pictures: Iterable[Picture]) -> list[Embedded]:
        return [self.embed(picture) for picture in pictures]


def sections(view: View, boundaries: str | None) -> dict[str, Any]:
    """Everything that the page's template shows, by the template's names."""
    pictures = _Pictures()
    main = main_units(view)
    return {
        "title": view.say("report.title", name=view.manifest["name"]),
        "warnings": warnings(view),
        "summary": summary_sentences(view),
        "counts": [tables.verdict_counts(view, view.strata)] if len(view.strata) > 1 else [],
        "has_ensemble": ENSEMBLE in view.algorithms,
        "cards": [_card(unit, pictures) for unit in main],
        "not_shown": len(view.units) - len(main),
        "options": lists.options(view),
        "records": [table for table in (lists.records(view), lists.records_left_out(view)) if table.rows],
        "records_picture": pictures.embed(records_picture(view)) if len(view.records) else None,
        "details": [_detail(unit, unit not in main, pictures) for unit in _detailed(view, main)],
        "totals": _by_age_group(view, view.totals),
        "contrasts": contrasts(view),
        "strata_pictures": pictures.all(strata_pictures(view)),
        "trends": pictures.all(trend_pictures(view)),
        "maps": pictures.all(map_pictures(view, boundaries)) if boundaries else [],
        **_strata(view),
        **_matrices(view, pictures),
        **_diagnostics(view),
        **_methods(view),
        "citations": CITATIONS,
        "provenance": _provenance(view),
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


def summary_sentences(view: View) -> list[str]:
    """The run in a few sentences: how many main results may be published."""
    say = view.say
    counts = Counter(unit.verdict for unit in view.strata)
    number: dict[str, Any] = {verdict: say.number(counts[verdict]) for verdict in VERDICTS}
    sentences = warnings(view)
    if len(view.strata) > 1:
        counted = say("report.in_brief_counts", number=say.number(len(view.strata)), **number)
        mains = (main.algorithm for main in main_results(view.strata))
        narrow = ensemble_note(view, mains) if counts["publishable"] else []
        sentences.append(" ".join([counted, *narrow]))
    return sentences


def _card(unit: Unit, pictures: _Pictures) -> Card:
    say, main = unit.view.say, unit.main
    subtitle = [say("report.deaths_received", count=unit.deaths)]
    subtitle += [say("report.main_result", algorithm=main.name)] if main else []
    return Card(
        unit.label,
        " ".join(subtitle),
        unit.shown,
        answer(main) if main else "",
        main.reasons if main else [_no_result(unit)],
        disagreements(unit) if main and _names_disagreement(main) else [],
        tables.brief(main) if main else None,
        _facts(main) if main else [],
        pictures.embed(csmf_picture(unit)),
    )


def answer(main: Result) -> str:
    """What people die of here and how sure that is: the largest causes of a main result, in a sentence.

    For a result that is not to be published the sentence is that there is no answer.
    """
    say = main.view.say
    if main.verdict == "do_not_publish":
        return say("report.no_answer")
    known = [row for row in main.rows if row["mean"]]
    largest = sorted(known, key=lambda row: -row["mean"])[:LARGEST]
    text = say.series(_largest(main.view, row) for row in largest)
    return say("report.answer" if main.trusted else "report.answer_mean_only", text=text, mark=NO_INTERVAL)


def _no_result(unit: Unit) -> str:
    say = unit.view.say
    unknown = say("verdict_reasons.no_result", value=say("reasons.unknown"))
    return next((result.reasons[0] for result in unit.results if result.reasons), unknown)


def _largest(view: View, row: Mapping[str, Any]) -> str:
    """A cause with its share, and that the algorithms disagree on it."""
    said = f"{view.say.cause(row['cause'])} {view.marked(row)}"
    return f"{said}, {view.say('report.disputed')}" if disagrees(row) else said


def _facts(main: Result) -> list[str]:
    """What calibration changed most, and the verdicts of the other algorithms."""
    say = main.view.say
    others = [
        say.pair(other.name, say(f"verdicts.{other.shown}")) for other in main.unit.results if other != main
    ]
    return [*_moved_most(main), *([say("report.other_results", text=say.series(others))] if others else [])]


def _moved_most(main: Result) -> list[str]:
    """The cause whose fraction calibration changed most; none where it moved none, or none was observed."""
    say = main.view.say
    moved = [(abs(change), row) for row in main.rows if (change := tables.change(row)) is not None]
    most, row = max(moved, key=lambda pair: pair[0], default=(0.0, None))
    if row is None or most < NOOP:
        return []
    before, after = say.percent(row["raw"]), say.percent(row["mean"])
    return [say("report.moved_most", cause=say.cause(row["cause"]), raw=before, mean=after)]


def _names_disagreement(result: Result) -> bool:
    """Whether the reasons of a result say that algorithms disagree: the last one then does."""
    return any(reason.rule == "algorithms_disagree" for reason in reasons_from_json(result.codes))


def disagreements(unit: Unit) -> list[str]:
    """For each cause on which the algorithms contradict each other, what each of them says."""
    view, say = unit.view, unit.view.say
    found: dict[str, list[str]] = {}
    doubtful = set()
    for result in unit.fitted:
        for row in result.rows:
            share, _ = view.quotable(row)
            by = "ensemble" if result.is_ensemble else "algorithm"
            text = say(f"report.share_by_{by}", share=share, algorithm=result.name)
            found.setdefault(row["cause"], []).append(text)
            doubtful |= {row["cause"]} if disagrees(row) else set()
    return [
        say("report.disagreement", cause=say.cause(cause), text=say.listing(found[cause]))
        for cause in view.causes([unit])
        if cause in doubtful
    ]


def _detailed(view: View, main: Sequence[Unit]) -> list[Unit]:
    """Units shown with all figures: the main ones, then the others in order, DETAILED at most."""
    others = [unit for unit in view.units if unit not in main]
    return [*main, *others][:DETAILED]


def _detail(unit: Unit, drawn: bool, pictures: _Pictures) -> Detail:
    results = [
        ResultDetail(result.name, result.shown, result.reasons, tables.estimates(result))
        for result in unit.estimated
    ]
    return Detail(unit_title(unit), pictures.embed(csmf_picture(unit)) if drawn else None, results)


def _strata(view: View) -> dict[str, Any]:
    """Tables of strata, one per age group; of too many those with the most deaths and the worst."""
    say = view.say
    largest = set(sorted(view.strata, key=lambda unit: -unit.deaths)[:OVERVIEW])
    limited = len(view.strata) > OVERVIEW
    refused = [unit for unit in view.strata if unit.verdict == "do_not_publish"] if limited else []
    worst = sorted(refused, key=lambda unit: -unit.deaths)[:WORST]
    return {
        "strata": _by_age_group(view, [unit for unit in view.strata if unit in largest]),
        "strata_limited": say(
            "report.strata_limited", number=say.number(len(view.strata)), shown=say.number(len(largest))
        ) if limited else "",
        "worst": lists.fits(view, worst, WORST) if worst else None,
        "compare_strata": len(view.strata) > len(view.groups()),
    }  # fmt: skip


def _by_age_group(view: View, units: Sequence[Unit]) -> list[PageTable]:
    """Main results of the units, one table per age group: their causes differ."""
    found = []
    for age_group in dict.fromkeys(unit.age_group for unit in units):
        own = [unit for unit in units if unit.age_group == age_group]
        found.append(tables.overview(view, own, view.say.or_plain(f"age_groups.{age_group}")))
    return found


def _matrices(view: View, pictures: _Pictures) -> dict[str, Any]:
    """Matrices: published and used for few strata, else the published ones of each age group and country."""
    used = len(view.strata) <= USED_MATRICES * len(view.groups())
    drawn = [matrix_picture(result, used=used) for result in _with_matrices(view, each=used)]
    text = "report.matrices_text" if view.published_matrices else "report.matrices_text_own"
    return {
        "matrix_pictures": pictures.all(picture for picture in drawn if picture),
        "matrices_text": view.say(text),
        "matrices_many": "" if used else _lambda_text(view),
    }


def _with_matrices(view: View, *, each: bool) -> Iterator[Result]:
    """The calibrated results of each stratum; else one per age group, country and algorithm."""
    groups = (
        [[unit] for unit in view.strata]
        if each
        else [[unit for unit in view.strata if unit.group == group] for group in view.groups()[:GROUPS]]
    )
    for units in groups:
        for algorithm in view.algorithms:
            results = (unit.result(algorithm) for unit in units if algorithm != ENSEMBLE)
            yield from islice((r for r in results if r.fit.get("status") == "calibrated"), 1)


def _lambda_text(view: View) -> str:
    say, parts = view.say, []
    for algorithm in view.algorithms:
        found = lists.lambdas(view, algorithm)
        if found:
            low, middle, high = (say.decimal(v, 2) for v in (found[0], statistics.median(found), found[-1]))
            name = say.algorithm(algorithm)
            parts.append(say("report.matrices_lambda", algorithm=name, median=middle, low=low, high=high))
    return say("report.matrices_many", text=say.series(parts)) if parts else ""


def _diagnostics(view: View) -> dict[str, Any]:
    say, total = view.say, sum(len(unit.results) for unit in view.units)
    limited = say("report.fits_limited", shown=FITS, number=say.number(total))
    return {
        "caveats": lists.caveats(view),
        "failures": lists.failures(view, FAILURES),
        "joint_fits": [*joint_fits(view), *common_fits(view)],
        "fits": lists.fits(view, view.units, FITS),
        "fits_limited": limited if total > FITS else "",
    }


def _methods(view: View) -> dict[str, Any]:
    say, request = view.say, view.manifest["request"]
    model = request.get("matrix_sharing") or "per_stratum"
    corrected = request.get("path_correction")
    if corrected is None:
        corrected = model == "per_stratum"
    if corrected:
        path = say("report.methods_path_on")
    elif model != "per_stratum":
        path = say(f"report.methods_path_off_{model}")
    else:
        path = say("report.methods_path_off", value=request.get("shrinkage") or 0)
    sharing = say("report.methods_per_stratum" if model == "per_stratum" else f"report.methods_{model}")
    text = say("report.methods_text")
    if model != "common":  # whose ensembles count each death about once
        text = f"{text} {say('report.methods_ensemble')}"
    limits = [say(f"report.limit_{name}") for name in ("selection", "matrix", "causes", "small")]
    return {"methods": [text, path, sharing], "limits": limits}


def _provenance(view: View) -> dict[str, Any]:
    listed = [lists.rules(view), lists.sources(view, SOURCES), lists.files(view)]
    return {"facts": provenance(view), "tables": [table for table in listed if table.rows]}
