"""The contracts between rooms can break, the table of rooms is current, and a wheel is refused."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support import ROOT

structure = runpy.run_path(str(ROOT / "script" / "structure.py"))

BREAKS = {
    "Rooms import rooms of lower lines, never of their own line": ("tasks.terms.text", "tasks.run.job"),
    "Tasks know nothing of flows": ("tasks.errors", "flows.names"),
    "Flows know nothing of the command line": ("flows.progress", "flows.cli.main"),
    "What shows results never reaches what makes them": ("tasks.view.rows", "tasks.request.model"),
    "Only request, run, service, steps, flows take a whole request": (
        "tasks.rollups.plan",
        "tasks.request.file",
    ),
    "Only steps, service and flows know Prefect": ("tasks.results.parquet", "prefect"),
}


def lint_imports(folder: Path) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=folder, env={"COLUMNS": "200"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the contracts say of a copy of the code in which each is broken once."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("tasks", "flows"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for importer, imported in BREAKS.values():
        with (folder / f"{importer.replace('.', '/')}.py").open("a") as file:
            file.write(f"\nimport {imported}\n")
    return lint_imports(folder)


@pytest.mark.parametrize("contract", BREAKS)
def test_a_contract_fails_when_it_is_broken(contract: str, broken: str) -> None:
    importer, imported = BREAKS[contract]
    assert f"{contract} BROKEN" in broken
    _, _, below = broken.partition("Broken contracts")
    assert f"{importer} -> {imported}" in below.split(contract)[1].split("\n---")[1]


def test_every_contract_has_a_break() -> None:
    contracts = re.findall(r'contracts\]\]\nname = "(.+)"', (ROOT / "pyproject.toml").read_text())
    assert sorted(contracts) == sorted(BREAKS)


def test_the_contract_on_prefect_names_every_room_but_those_that_know_it() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if "know Prefect" in contract["name"]]
    rooms = {path.stem for path in (ROOT / "tasks").iterdir() if path.is_dir() or path.suffix == ".py"}
    rooms -= {"__init__", "__pycache__", "steps", "service"}
    assert set(contract["source_modules"]) == {f"tasks.{room}" for room in rooms}


def test_the_table_in_the_docs_has_the_rooms_with_their_levels_and_arrows() -> None:
    """The numbers of modules and exports may be older."""
    document = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    stored = document.split(structure["BEGIN"])[1].split(structure["END"])[0]
    assert _arrows(stored) == _arrows(structure["table"](ROOT)), "to mend: script/structure.py --write"


def _arrows(table: str) -> list[tuple[str, ...]]:
    return re.findall(r"^\| (\d+) \| (\S+) \| \d+ \| \d* \| (.*) \|$", table, re.M)


def test_circles_and_levels_are_counted() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": set()}
    assert structure["circles"](graph) == [frozenset({"b", "c"})]
    assert structure["levels"](graph) == {"a": 3, "b": 2, "c": 2, "d": 1, "e": 1}


def test_a_wheel_is_refused_with_what_to_do_instead(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "the clone is the installation" in done.stdout + done.stderr
    assert "script/bootstrap" in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_changes_that_maintainers_are_shown_touch_files_that_exist_and_four_rooms_at_most() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", text.split("## Ten changes")[1].split("\n## ")[0], re.M)[1:]
    assert len(rows) == 10
    for change, files in rows:
        named = re.findall(r"`?((?:tasks|flows|r|script|docs)/[\w/.]+)", files)
        assert named, change
        assert [file for file in named if not (ROOT / file).exists()] == []
        code = {file for file in named if file.startswith(("tasks/", "flows/", "r/"))}
        rooms = {
            "r" if file.startswith("r/") else structure["room"](file.removesuffix(".py").replace("/", "."))
            for file in code
        }
        assert len(rooms) <= 4, (change, rooms)
