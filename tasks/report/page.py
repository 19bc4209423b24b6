"""The report of a run: one self-contained HTML page that begins with the verdict; and its short forms for
Prefect.

Made from the published tables and the manifest alone, so that the same run gives the same page.
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from tasks.report.sections import answer, disagreements, main_units, sections, summary_sentences
from tasks.view import Result, Unit, View, caveat_lines, ensemble_note, run_verdict

SUMMARY_ROWS = 40
"""Rows of the table in a Prefect artifact: more belong into the report."""


def render_report(view: View, boundaries: str | None = None) -> str:
    """The report as an HTML page without any outside reference, in the language of the view.

    boundaries: text of a GeoJSON file, for maps. Raises InputError if they do not fit the run.
    """
    return _pages().get_template("report.html.j2").render(say=view.say, **sections(view, boundaries))


def markdown_summary(view: View) -> str:
    """The first lines of the report in Markdown: state, verdicts, main figures with their caveats."""
    lines = [f"# {view.say('report.title', name=view.manifest['name'])}", ""]
    lines += [f"{sentence}\n" for sentence in summary_sentences(view)]
    for unit in main_units(view):
        lines += [f"## {_plain(unit.label)}", "", f"**{view.say(f'verdicts.{unit.shown}')}**"]
        if main := unit.main:
            lines += ["", _plain(answer(main)), "", *_markdown_table(main), ""]
            notes = (*main.reasons, *disagreements(unit), *ensemble_note(view, [main.algorithm]))
            lines += [f"- {_plain(sentence)}" for sentence in notes]
            lines += ["", *caveat_lines(view, [main])[-1:]]
        lines.append("")
    return "\n".join(lines)


def artifact_table(view: View) -> list[dict[str, str]]:
    """Rows for a table artifact: main result, verdict and largest causes of at most SUMMARY_ROWS units."""
    return [_summary_row(unit) for unit in view.units[:SUMMARY_ROWS]]


def overall_verdict(view: View) -> str:
    """The worst verdict among the main results that the report begins with, as readers see it."""
    return run_verdict(main_units(view))


def _summary_row(unit: Unit) -> dict[str, str]:
    say, main = unit.view.say, unit.main
    rows = sorted(main.rows if main else [], key=lambda row: -(row["mean"] or 0))
    largest = (
        f"{say.cause(row['cause'])} {say.percent(row['mean'])}" for row in rows[:3] if row["mean"] is not None
    )
    return {
        say("columns.stratum"): unit.label,
        say("columns.deaths"): say.number(unit.deaths),
        say("columns.algorithm"): main.name if main else "",
        say("columns.verdict"): say(f"verdicts.{unit.shown}"),
        say("columns.mean"): say.series(largest),
        say("columns.reasons"): " ".join(main.reasons) if main else "",
    }


def _markdown_table(result: Result) -> list[str]:
    view, say = result.view, result.view.say
    head = [say(f"columns.{name}") for name in ("cause", "raw", "mean", "interval")]
    lines = [f"| {' | '.join(head)} |", "|---|---:|---:|---:|"]
    for row in result.rows:
        figures = (say.percent(row["raw"]), *view.quotable(row))
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
