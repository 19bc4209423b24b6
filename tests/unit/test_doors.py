"""Every room has a door, and everybody else comes in through it."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

structure = runpy.run_path(str(ROOT / "script" / "structure.py"))
ROOMS = sorted(folder.name for folder in (ROOT / "tasks").iterdir() if (folder / "__init__.py").exists())
CODE = [ROOT / "vacal.py", *(ROOT / "tasks").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]
SCRIPTS = [*(ROOT / "script").glob("*.py")]
DOORS = {room: structure["exported"](ROOT / "tasks" / room / "__init__.py") for room in ROOMS}


@pytest.fixture(scope="module")
def used() -> list[tuple[Path, str, str, int]]:
    """All that files take from rooms: file, room, name, line."""
    return [(file, *found) for file in [*CODE, *SCRIPTS] for found in doors_used(file)]


def doors_used(file: Path) -> Iterator[tuple[str, str, int]]:
    """Room, name and line of all that the file takes from rooms; an empty name: from behind the door.

    Both ways count: `from tasks.terms import words`, and `from tasks import terms` with `terms.words`.
    """
    tree = ast.parse(file.read_text())
    rooms: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "tasks":
            rooms |= {alias.asname or alias.name: alias.name for alias in node.names if alias.name in ROOMS}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tasks."):
            _, room, *behind = str(node.module).split(".")
            if room in ROOMS:
                yield from ((room, "" if behind else alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                _, room, *behind = [*alias.name.split("."), "", ""]
                if alias.name.startswith("tasks.") and room in ROOMS:
                    yield room, "", node.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in rooms:
            yield rooms[node.value.id], node.attr, node.lineno


def room_of(file: Path) -> str:
    """The room that the file stands in; empty outside of tasks/."""
    parts = file.relative_to(ROOT).parts
    return parts[1] if parts[0] == "tasks" and parts[1] in ROOMS else ""


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_a_door_that_says_what_it_is_for(room):
    file = ROOT / "tasks" / room / "__init__.py"
    purpose = ast.get_docstring(ast.parse(file.read_text())) or ""
    assert re.fullmatch(r"[^\n]+\.", purpose)
    assert structure["exported"](file) != []


def test_other_rooms_and_flows_come_in_by_the_door(used):
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {room}: {name or 'a module behind the door'}"
        for file, room, name, line in used
        if room != room_of(file) and file in CODE and name not in DOORS[room]
    ]
    assert wrong == []


def test_every_export_is_used_outside_of_its_room(used):
    outside = {(room, name) for file, room, name, _ in used if room != room_of(file)}
    unused = [
        f"tasks.{room}: {name}" for room in ROOMS for name in DOORS[room] if (room, name) not in outside
    ]
    assert unused == []


def test_both_ways_around_a_door_are_seen(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "from tasks import results as stored\nfrom tasks.terms.words import words\nimport tasks.view.rows\n"
        "stored.secret\n"
    )
    assert sorted(doors_used(file)) == [("results", "secret", 4), ("terms", "", 2), ("view", "", 3)]
