"""A run as an Excel workbook: what to know first, the results in words, then one sheet a table.

Texts are written as texts, whatever they begin with, so that no cell becomes a formula; the same run gives
the same bytes. Fractions are numbers between 0 and 1 shown in percent.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from tasks.results import ALL, TABLE_MEANING, Results
from tasks.terms import MISSING, Language
from tasks.verdict import VERDICTS, reasons_in_words
from tasks.view import SHOWN, View, provenance, run_caveats, shown_verdict, trusts_interval

SHEETS = (
    "csmf", "strata", "rollups", "checks", "contrasts", "common_fits", "joint_fits", "misfit", "records", "matrices"
)  # fmt: skip
"""Tables that become sheets, in this order; draws are for programs."""

ROWS_AT_MOST = 1_048_575  # of an Excel sheet, without the head
MATRIX_ROWS_AT_MOST = 20_000  # nobody reads more of them in a spreadsheet
RESULT_ROWS_AT_MOST = 100_000  # of the results in words
_ON_FIRST_SHEET = ("run", "name", "inventory", "inventory_version", "inventory_checksum")
_EPOCH = datetime(2000, 1, 1)  # so that the bytes do not depend on the day
_FRACTIONS = (
    "raw", "mean", "sd", "value", "share_left_out", "share_passed_through", "reference_mean", "compared_mean",
    "difference", "probability_higher",
)  # fmt: skip
_COLOURS = {
    "publishable": "#e8f3e9", "publishable_narrow": "#e8f3e9", "with_caution": "#fff3d9",
    "mean_only": "#fff3d9", "do_not_publish": "#fdecea",
}  # fmt: skip


def excel_bytes(results: Results, language: Language = "en") -> bytes:
    """The workbook; its first two sheets are in the language, the tables are as they are."""
    buffer = io.BytesIO()
    options = {
        "in_memory": True, "constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
        "strings_to_numbers": False, "nan_inf_to_errors": False,
    }  # fmt: skip
    with xlsxwriter.Workbook(buffer, options) as book:
        book.set_properties({"title": results.manifest["run"], "author": "vacal", "created": _EPOCH})
        view = View(results, language)
        sheets = [name for name in SHEETS if view.has_table(name)]
        about = book.add_worksheet(view.say("exports.about"))
        notes = [_write_results(book, view)]
        notes += [_write_table(book, name, view) for name in sheets]
        notes = [note for note in notes if note]
        _write_about(book, about, view, sheets, notes)
    return buffer.getvalue()


def _write_about(
    book: xlsxwriter.Workbook,
    sheet: Worksheet,
    view: View,
    sheets: Sequence[str],
    notes: Sequence[str],
) -> None:
    head, wrap = (
        book.add_format({"bold": True, "font_size": 14}),
        book.add_format({"text_wrap": True, "valign": "top"}),
    )
    bold = book.add_format({"bold": True, "valign": "top"})
    sheet.set_column(0, 0, 34)
    sheet.set_column(1, 1, 100)
    for row, (name, text) in enumerate(_about_rows(view, sheets, notes)):
        sheet.write_string(row, 0, name, head if row == 0 else bold)
        sheet.write_string(row, 1, text, wrap)


def _about_rows(view: View, sheets: Sequence[str], notes: Sequence[str]) -> Iterator[tuple[str, str]]:
    say = view.say
    yield say("report.title", name=view.manifest["name"]), ""
    yield "", say("exports.about_text")
    if review := say("language.review"):
        yield "", review
    for place, caveat in enumerate([*run_caveats(view), *notes]):
        yield (say("exports.caveats") if place == 0 else ""), caveat
    yield "", ""
    for name, value in provenance(view):
        yield name, value
    yield "", ""
    yield say("exports.sheets"), say.pair(say("exports.results"), say("exports.results_meaning"))
    for name in sheets:
        yield "", say.pair(name, say.section("tables").get(name, TABLE_MEANING[name]))


def _write_results(book: xlsxwriter.Workbook, view: View) -> str:
    """The sheet in words; returns what had to be left out, in words."""
    say = view.say
    sheet = book.add_worksheet(say("exports.results"))
    bold, percent = book.add_format({"bold": True, "bottom": 1}), book.add_format({"num_format": "0%"})
    colours = {verdict: book.add_format({"bg_color": _COLOURS[verdict]}) for verdict in SHOWN}
    head = [
        say("options.country"), *view.columns, say("options.age_group"),
        *(say(f"columns.{name}") for name in (
            "algorithm", "cause", "deaths", "raw", "mean", "low", "high", "verdict", "reasons")),
    ]  # fmt: skip
    rows = list(itertools.islice(_result_rows(view), RESULT_ROWS_AT_MOST + 1))
    shown = rows[:RESULT_ROWS_AT_MOST]
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, len(shown), len(head) - 1)
    for place, name in enumerate(head):
        sheet.set_column(place, place, 100 if place == len(head) - 1 else max(14, len(name) + 2))
        sheet.write_string(0, place, name, bold)
    for row, (verdict, values) in enumerate(shown, 1):
        formats = [percent if isinstance(value, float) else None for value in values]
        formats[-2] = colours[verdict]
        _write_row(sheet, row, values, formats)
    if len(rows) <= RESULT_ROWS_AT_MOST:
        return ""
    number = say.number(view.estimates.table.num_rows)
    return say.pair(
        say("exports.results"), say("exports.too_long", shown=say.number(len(shown)), number=number)
    )


def _result_rows(view: View) -> Iterator[tuple[str, list[Any]]]:
    """The verdict and the row of each estimate, as the head of the sheet says; no interval that is too narrow."""
    say = view.say
    for unit in view.units:
        missing = say("report.missing")
        place = [missing if value == MISSING else value for value in unit.values.values()]
        where = [say.country(unit.country), *(None if value == ALL else value for value in place)]
        for result in unit.estimated:
            for row in result.rows:
                ends = [row["q025"], row["q975"]] if trusts_interval(row) else [None, None]
                verdict = shown_verdict(row)
                yield verdict, [
                    *where, say.or_plain(f"age_groups.{unit.age_group}"), result.name,
                    say.cause(row["cause"]), None if result.is_ensemble else row["deaths"],
                    row["raw"], row["mean"], *ends, say(f"verdicts.{verdict}"),
                    " ".join(reasons_in_words(row["verdict_codes"], say)),
                ]  # fmt: skip


def _write_table(book: xlsxwriter.Workbook, name: str, view: View) -> str:
    """One sheet; returns what had to be left out, in words."""
    say, frame = view.say, view.results.table(name).drop_columns(list(_ON_FIRST_SHEET)).to_pandas()
    limit = MATRIX_ROWS_AT_MOST if name == "matrices" else ROWS_AT_MOST
    sheet = book.add_worksheet(name)
    head = book.add_format({"bold": True, "bottom": 1})
    percent = book.add_format({"num_format": "0.0%"})
    colours = {verdict: book.add_format({"bg_color": _COLOURS[verdict]}) for verdict in VERDICTS}
    verdict_at = frame.columns.get_loc("verdict") if "verdict" in frame else None
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, min(len(frame), limit), len(frame.columns) - 1)
    for place, column in enumerate(frame.columns):
        sheet.set_column(place, place, _width(column), percent if _is_fraction(column) else None)
        sheet.write_string(0, place, column, head)
    fractions = [_is_fraction(str(column)) for column in frame.columns]
    for row, values in enumerate(_plain_rows(frame.head(limit)), 1):
        formats = [percent if fraction else None for fraction in fractions]
        if verdict_at is not None:
            formats[verdict_at] = colours.get(values[verdict_at])
        _write_row(sheet, row, values, formats)
    if len(frame) <= limit:
        return ""
    return f"{name}: " + say("exports.too_long", shown=say.number(limit), number=say.number(len(frame)))


def _write_row(sheet: Worksheet, row: int, values: Sequence[Any], formats: Sequence[Format | None]) -> None:
    for place, (value, look) in enumerate(zip(values, formats, strict=True)):
        if value is None:
            continue
        if isinstance(value, str):
            sheet.write_string(row, place, value, look)
        elif isinstance(value, bool):
            sheet.write_boolean(row, place, value, look)
        else:
            sheet.write_number(row, place, value, look)


def _plain_rows(frame: pd.DataFrame) -> Iterator[Sequence[Any]]:
    """Rows of plain Python values or None."""
    columns = []
    for name in frame.columns:
        missing = frame[name].isna().tolist()
        values = zip(frame[name].tolist(), missing, strict=True)
        columns.append([None if gone else value for value, gone in values])
    yield from zip(*columns, strict=True)


def _is_fraction(name: str) -> bool:
    return name in _FRACTIONS or (name[:1] == "q" and name[1:].isdigit()) or name.startswith("share_")


def _width(name: str) -> int:
    return 60 if name in ("caveat", "verdict_reasons", "stratum") else max(11, len(name) + 2)
