"""The pages on the inventory and on simulated data say what the code does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from support import ROOT
from typer.testing import CliRunner

from flows.cli.main import app
from tasks.matrices.find import load_inventory
from tasks.matrices.table import OPTIONAL, REQUIRED
from tasks.results.store import Results
from tasks.simulate.write import SimulationPlan

DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[str]:
    """The indented code blocks of a page."""
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    return ["\n".join(line[4:] for line in block.strip("\n").splitlines()) for block in found]


def test_every_field_of_a_plan_is_documented_with_its_default() -> None:
    text = page("simulate.md")
    for name, field in SimulationPlan.model_fields.items():
        default = ", ".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
        assert f"| `{name}` | {default} | {field.description} |" in text


def test_every_column_of_ones_own_matrices_is_documented() -> None:
    text = page("inventory.md")
    for column in (*REQUIRED, *OPTIONAL):
        assert f"| `{column}` |" in text


def test_the_example_of_ones_own_matrices_can_be_used(tmp_path: Path) -> None:
    (example,) = [block for block in blocks(page("inventory.md")) if block.startswith("type,algorithm")]
    (tmp_path / "example.csv").write_text(example)
    entry = load_inventory(str(tmp_path / "example.csv")).matrices("child", "mycoder", "Mali", "prior")
    assert entry.values.tolist() == [[40, 5], [8, 30]]


def test_the_command_on_the_page_makes_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (command,) = [block for block in blocks(page("simulate.md")) if block.startswith("vacal simulate")]
    done = CliRunner().invoke(app, shlex.split(command.replace("200000", "2000"))[1:])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "simulated" / "request.yaml").is_file()


def test_the_page_of_matrices_reads_a_table_that_results_have() -> None:
    (code,) = [block for block in blocks(page("inventory.md")) if block.startswith("import vacal")]
    (table,) = re.findall(r"open_results\(.*\)\.(\w+)", code)
    assert hasattr(Results, table)
