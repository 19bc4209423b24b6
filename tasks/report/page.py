"""The report of a run: one self-contained HTML page that begins with the verdict; and its short forms for
Prefect.

Made from the published tables and the manifest alone, so that the same run gives the same page.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tasks.report.sections import answer, disagreements, main_units, sections, summary_sentences
from tasks.report.tables import reasons
from tasks.terms import Language, words
from tasks.view import View, caveat_lines, ensemble_note, run_verdict

SUMMARY_ROWS = 40
"""Rows of the table in a Prefect artifact: more belong into the report."""


def render_report(view: View, language: Language = "en", boundaries: str | None = None) -> str:
    """The report as an HTML page without any outside reference; boundaries: text of a GeoJSON file, for maps.

    Raises InputError if the boundaries do not fit the run.
    """
    say = words(language)
    return _pages().get_template("report.html.j2").render(say=say, **sections(view, say, boundaries))


def markdown_summary(view: View, language: Language = "en") -> str:
    """The first lines of the report in Markdown: state, verdicts, main figures with their caveats."""
    say = words(language)
    lines = [f"# {say('report.title', name=view.manifest['name'])}", ""]
    lines += [f"{sentence}\n" for sentence in summary_sentences(view, say)]
    for unit in main_units(view):
        main = view.main(unit)
        lines += [
            f"## {_plain(unit.label(say))}",
            "",
            f"**{say(f'verdicts.{view.shown_verdict(unit, main)}')}**",
        ]
        if main is not None:
            lines += ["", _plain(answer(view, unit, say)), "", *_markdown_table(view, unit, main, say), ""]
            lines += [f"- {_plain(sentence)}" for sentence in reasons(view, unit, main, say)]
            lines += [f"- {_plain(sentence)}" for sentence in disagreements(view, unit, say)]
            lines += [f"- {_plain(sentence)}" for sentence in ensemble_note([main], say)]
            lines += ["", *caveat_lines(view, unit, [main], say)[-1:]]
        lines.append("")
    return "\n".join(lines)


def artifact_table(view: View, language: Language = "en") -> list[dict[str, str]]:
    """Rows for a table artifact: main result, verdict and largest causes of at most SUMMARY_ROWS units."""
    say = words(language)
    return [_summary_row(view, unit, say) for unit in view.units[:SUMMARY_ROWS]]


def overall_verdict(view: View) -> str:
    """The worst verdict among the main results that the report begins with, as a reader is told it."""
    return run_verdict(view, main_units(view))


def _summary_row(view: View, unit: Any, say: Any) -> dict[str, str]:
    main = view.main(unit)
    rows = sorted(view.rows(unit, main) if main else [], key=lambda row: -(row["mean"] or 0))
    largest = (
        f"{say.cause(row['cause'])} {say.percent(row['mean'])}" for row in rows[:3] if row["mean"] is not None
    )
    return {
        say("columns.stratum"): unit.label(say),
        say("columns.deaths"): say.number(unit.deaths),
        say("columns.algorithm"): say.algorithm(main) if main else "",
        say("columns.verdict"): say(f"verdicts.{view.shown_verdict(unit, main)}"),
        say("columns.mean"): say.series(largest),
        say("columns.reasons"): " ".join(reasons(view, unit, main, say)) if main else "",
    }


def _markdown_table(view: View, unit: Any, algorithm: str, say: Any) -> list[str]:
    head = [say(f"columns.{name}") for name in ("cause", "raw", "mean", "interval")]
    lines = [f"| {' | '.join(head)} |", "|---|---:|---:|---:|"]
    for row in view.rows(unit, algorithm):
        figures = (say.percent(row["raw"]), *view.quotable(row, say))
        lines.append(f"| {_plain(say.cause(row['cause']))} | {' | '.join(figures)} |")
    return lines


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    for sign in "\\`*_{}[]<>|#":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


@cache
def _pages() -> Environment:
    return Environment(
        loader=PackageLoader("tasks.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
