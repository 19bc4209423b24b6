"""What the command line prints: labels exactly as they are, and nothing cut off on a narrow terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from support import ROOT
from support.build_results import Case, build

from flows.cli.follow import print_events
from flows.cli.listings import dict_table, plain_table, records_table
from flows.cli.main import err, out
from flows.cli.tables import describe_run, estimates_table
from flows.cli.terminal import console
from tasks.service import Line

LABELS = ("Gaza [urban]", "Gaza [rural]", ":warning: check", "[/bold]", "[red]x[/red]", "a\\[b]")


def printed(what: Any, width: int = 110, **options: Any) -> str:
    stream = io.StringIO()
    console(file=stream, width=width, **options).print(what)
    return stream.getvalue()


def estimates(*causes: str) -> pd.DataFrame:
    row = {
        "algorithm": "eava", "level": "stratum", "deaths": 132, "raw": 0.23, "mean": 0.217, "q025": 0.123,
        "q975": 0.314, "flags": "", "not_calibrated_reason": None, "calibrated_deaths": 124567.0,
        "estimated_deaths": None,
    }  # fmt: skip
    return pd.DataFrame([{**row, "cause": cause} for cause in causes])


def records(label: str) -> list[dict[str, Any]]:
    return [{"algorithm": label, "disposition": "excluded", "reason": label, "records": 7}]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("soft_wrap", [True, False])
def test_labels_are_printed_as_they_are_by_every_table(label: str, soft_wrap: bool) -> None:
    tables = (
        plain_table((label, "n"), [(label, 1)], title=label),
        dict_table([{"place": label, label: 2}], title=label),
        estimates_table(label, estimates(label)),
        records_table(records(label)),
    )
    for table in tables:
        assert printed(table, soft_wrap=soft_wrap).count(label) >= 2


def test_labels_are_printed_as_they_are_whoever_prints_the_table() -> None:
    stream = io.StringIO()
    Console(file=stream, width=110).print(plain_table(("place",), [(label,) for label in LABELS]))
    assert all(label in stream.getvalue() for label in LABELS)


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=10))
def test_any_label_is_printed_as_it_is(label: str) -> None:
    for what in (plain_table(("place",), [(label,)]), f"{label} written"):
        assert label in printed(what)


def test_a_run_with_brackets_in_its_labels_is_printed(tmp_path: Path) -> None:
    case = Case(columns={"place": LABELS[:3]}, algorithms=("eava",))
    text = printed(describe_run(build(tmp_path, case)))
    assert all(label in text for label in LABELS[:3])


@pytest.mark.parametrize("label", LABELS)
def test_log_lines_are_printed_as_they_are(label: str) -> None:
    stream = io.StringIO()
    line = Line(id=uuid4(), time=datetime(2024, 1, 1, tzinfo=UTC), level="INFO", task="", text=label)
    print_events([line], console(file=stream, width=110))
    assert label in stream.getvalue()


def test_every_console_of_the_command_line_prints_texts_as_they_are() -> None:
    from flows.cli import input, inventory, results, runs, service

    for one in (out, err, *(module.out for module in (input, inventory, results, runs, service))):
        with one.capture() as caught:
            one.print("results [final]/runs/:warning:")
        assert caught.get() == "results [final]/runs/:warning:\n"


CAUSES = ("Pneumonia", "Other Defined Causes of Child Deaths", "Other Cardiovascular Diseases")


@pytest.mark.parametrize("width", [30, 44, 60, 80, 100])
def test_figures_stay_whole_and_long_labels_are_folded(width: int) -> None:
    text = printed(estimates_table("EAVA", estimates(*CAUSES)), width=width)
    assert text.count("124,567") == len(CAUSES)
    assert text.count("12.3\N{EN DASH}31.4") == len(CAUSES)
    assert max(map(len, text.splitlines())) <= width
    assert all(word in text for cause in CAUSES for word in cause.split() if len(word) <= 10)


COMSA = (
    ("prematurity", 164, 0.174, 0.103, (0.022, 0.177), 97),
    ("ipre", 268, 0.285, 0.344, (0.190, 0.468), 323),
    ("sepsis_meningitis_inf", 267, 0.284, 0.439, (0.312, 0.601), 413),
    ("pneumonia", 168, 0.179, 0.060, (0.003, 0.165), 56),
    ("congenital_malformation", 44, 0.047, 0.023, (0.001, 0.058), 22),
    ("other", 29, 0.031, 0.031, (None, None), 29),
)


def test_the_readme_shows_the_table_as_it_is_printed_in_80_columns() -> None:
    rows = estimates(*(cause for cause, *_ in COMSA)).to_dict("records")
    for row, (_, deaths, raw, mean, (low, high), calibrated) in zip(rows, COMSA, strict=True):
        row |= {"deaths": deaths, "raw": raw, "mean": mean, "q025": low, "q975": high}
        row |= {"calibrated_deaths": calibrated, "not_calibrated_reason": None if low else "asked_for"}
    table = printed(estimates_table("EAVA: Publish with caution", pd.DataFrame(rows)), width=80)
    lines = [line.rstrip() for line in table.splitlines()]
    assert "\n".join(lines).strip() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_only_the_labels_for_which_there_is_no_room_are_folded() -> None:
    rows = [("neonate", "Congenital malformation of the heart " * 2, "congenital_malformation", 7)]
    text = printed(plain_table(("age group", "cause", "calibrated as", "records"), rows), width=70)
    assert "congenital_malformation" in text


@pytest.mark.parametrize("width", [20, 40, 80])
@pytest.mark.parametrize("columns", [2, 7, 15])
def test_no_column_is_lost(width: int, columns: int) -> None:
    heads = [f"head{n}" for n in range(columns)]
    rows = [[f"cell{n}x{row}" if n % 2 else 10_000 * row + n for n in range(columns)] for row in (1, 2)]
    text = printed(plain_table(heads, rows), width=width)
    for row in rows:
        assert all(str(cell) in text for cell in row)
    assert all(head in text for head in heads)
