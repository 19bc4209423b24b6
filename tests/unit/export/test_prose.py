"""Exports decide by data: with every sentence replaced they hold the same figures, verdicts and reasons."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from support.build_results import Case, build
from support.prose import without_words

from tasks.export.dhis2 import dhis2_csv, read_mapping
from tasks.export.excel import excel_bytes
from tasks.export.json import json_text
from tasks.results.store import Results
from tasks.terms.words import LANGUAGES, Language

MAPPING = """
org_unit: {column: province, values: {Gaza: OuGaza00001, Tete: OuTete00001}}
period: "2024"
verdicts: [publishable, with_caution, do_not_publish]
data_elements: {neonate: {pneumonia: {mean: DePneuMean1, q975: DePneuHigh1}}}
"""


@pytest.fixture
def results(tmp_path: Path) -> Results:
    columns = {"province": ("Gaza", "Tete")}
    return build(tmp_path, Case(columns=columns, roll_ups=([],), deaths=(20, 300), every_flag=True))


def _data(value: Any) -> Any:
    """A JSON document without what is there to be read by people."""
    prose = {"words", "label", "quoted", "verdict_in_words", "caveats", "provenance"}
    if isinstance(value, dict):
        return {key: _data(part) for key, part in value.items() if key not in prose}
    return [_data(part) for part in value] if isinstance(value, list) else value


def _figures(results: Results, language: Language) -> list[Any]:
    """Size of every sheet, all of its numbers, and the texts of the sheets that are tables."""
    book = openpyxl.load_workbook(io.BytesIO(excel_bytes(results, language)))
    rows = {name: list(book[name].values) for name in book.sheetnames}
    sizes = [len(part) for part in rows.values()]
    numbers = [
        cell for part in rows.values() for row in part for cell in row if isinstance(cell, int | float)
    ]
    return [sizes, numbers, *(part for name, part in rows.items() if name in ("csmf", "strata", "rollups"))]


def _values(results: Results) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO(dhis2_csv(results, read_mapping(MAPPING))))
    return [{key: value for key, value in row.items() if key != "comment"} for row in rows]


@pytest.mark.parametrize("language", LANGUAGES)
def test_exports_are_the_same_but_for_their_words(
    results: Results, language: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    document, figures, values = json.loads(json_text(results, language)), _figures(results, language), None
    values = _values(results)
    without_words(monkeypatch)
    plain = json.loads(json_text(results, language))
    assert {reason["words"] for reason in plain["reasons"]} <= {"x", "x x"}
    assert {key: part for key, part in _data(plain).items() if key not in ("causes", "algorithms")} == {
        key: part for key, part in _data(document).items() if key not in ("causes", "algorithms")
    }
    assert plain["causes"].keys() == document["causes"].keys()
    assert _figures(results, language) == figures
    assert _values(results) == values != []
