"""`import vacal` is all that a user's Python needs."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest
from support import ROOT

import vacal

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_everything_that_it_offers_is_documented() -> None:
    for name in set(vacal.__all__) - {"version"}:
        assert inspect.getdoc(getattr(vacal, name)), name


def test_the_import_loads_neither_prefect_nor_pictures_nor_r_and_a_wrong_request_none_either() -> None:
    heavy = ("prefect", "matplotlib", "rpy2", "duckdb", "flows")
    code = (
        "import sys, vacal\ntry: vacal.calibrate({})\n"
        f"finally: print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]"
    assert "InputError" in done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_documentation_imports_nothing_else_of_the_project(page: object) -> None:
    text = page.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    assert re.findall(r"^\W*(?:from|import) +(?:tasks|flows)\b.*|`from (?:tasks|flows).*", text, re.M) == []


def test_every_name_of_it_in_the_documentation_is_there() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"\bvacal\.([a-z_A-Z]+)\(", text.replace("vacal::", "")))
    assert named <= set(vacal.__all__)
