"""Counts modules, imports, levels, circles and arrows between rooms, and writes the table of docs/design.md.

    python3 script/structure.py            prints the table
    python3 script/structure.py --write    writes it into docs/design.md
    python3 script/structure.py FOLDER     the totals of another clone, for example of an older version

A room is a folder of tasks/ (or a module directly in it), `flows` or `flows.cli`. An import counts once for
each pair of modules, wherever it stands in the file. Needs nothing but Python.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- structure: begin (script/structure.py --write) -->", "<!-- structure: end -->"
Graph = Mapping[str, set[str]]


@cache
def modules(root: Path) -> dict[str, Path]:
    """All modules of tasks/ and flows/ and `vacal`, by dotted name."""
    files = [*(root / "tasks").rglob("*.py"), *(root / "flows").rglob("*.py"), *root.glob("vacal.py")]
    return {_dotted(file.relative_to(root)): file for file in sorted(files)}


def _dotted(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """The room of a module: `terms` for tasks.terms.words; the module itself if it stands in no folder."""
    parts = module.split(".")
    if parts[0] == "flows":
        return "flows.cli" if parts[1:2] == ["cli"] else "flows"
    return parts[1] if len(parts) > 1 else parts[0]


@cache
def imports(root: Path) -> dict[str, set[str]]:
    """For each module, the modules of the project that it imports.

    `from tasks.terms import words` means the function if the door exports one, else the module.
    """
    found = modules(root)
    doors = {name: exported(file) for name, file in found.items() if file.name == "__init__.py"}
    return {
        name: {target for target in _targets(file, found, doors) if target != name}
        for name, file in found.items()
    }


def exported(file: Path) -> list[str]:
    """The names in the module's `__all__`."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def _targets(file: Path, found: Iterable[str], doors: Mapping[str, list[str]]) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in found)
        elif isinstance(node, ast.ImportFrom) and node.module in found:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                inner = module in found and alias.name not in doors.get(node.module, [])
                yield module if inner else node.module


def between_rooms(graph: Graph) -> dict[str, set[str]]:
    """For each room, the other rooms that it imports."""
    rooms: dict[str, set[str]] = {room(module): set() for module in graph}
    for module, targets in graph.items():
        rooms[room(module)] |= {room(target) for target in targets} - {room(module)}
    return rooms


def circles(graph: Graph) -> list[frozenset[str]]:
    """The groups of nodes that import each other, directly or through others."""
    reached = {node: _reached(graph, node) for node in graph}
    groups = {frozenset(other for other in reached[node] if node in reached[other]) for node in graph}
    return [group for group in groups if group]


def _reached(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += graph[node]
    return seen


def levels(graph: Graph) -> dict[str, int]:
    """The length of the longest chain of imports from each node down, in nodes; a circle counts once."""
    group = {node: frozenset({node}) for node in graph}
    for circle in circles(graph):
        group |= dict.fromkeys(circle, circle)

    @cache
    def level(members: frozenset[str]) -> int:
        below = {group[target] for node in members for target in graph[node]} - {members}
        return 1 + max(map(level, below), default=0)

    return {node: level(group[node]) for node in graph}


def totals(root: Path) -> dict[str, int]:
    """Counts of tasks/ alone, without its doors and what they import from their own rooms."""
    found = modules(root)
    graph = {module: targets for module, targets in imports(root).items() if module.startswith("tasks")}
    inner = {module: targets for module, targets in graph.items() if found[module].name != "__init__.py"}
    rooms = between_rooms(graph)
    return {
        "modules": len(inner),
        "rooms": len(rooms),
        "imports": sum(map(len, inner.values())),
        "imports between rooms": sum(room(to) != room(module) for module in inner for to in inner[module]),
        "arrows between rooms": sum(map(len, rooms.values())),
        "levels": max(levels(rooms).values()),
        "circles of modules": len(circles(graph)),
        "longest chain of modules": max(levels(graph).values()),
    }


def table(root: Path) -> str:
    """The Markdown of docs/design.md: one line for each room, the highest first, and the totals."""
    graph = imports(root)
    rooms = between_rooms(graph)
    level = levels(rooms)
    lines = ["| level | room | modules | exports | imports the rooms |", "|--:|---|--:|--:|---|"]
    for name in sorted(rooms, key=lambda name: (-level[name], name)):
        inside = [module for module in graph if room(module) == name]
        door = modules(root)[min(inside, key=len)]
        exports = str(len(exported(door)) or "")
        lines.append(
            f"| {level[name]} | {name} | {len(inside)} | {exports} | {', '.join(sorted(rooms[name]))} |"
        )
    counts = "; ".join(f"{count} {name}" for name, count in totals(root).items())
    return "\n".join([*lines, "", f"tasks/ alone: {counts}."])


def main(arguments: list[str]) -> None:
    """Print the table, or write it between its two marks in docs/design.md."""
    if arguments != ["--write"]:
        print(table(Path(arguments[0]) if arguments else ROOT))
        return
    document = ROOT / "docs" / "design.md"
    before, rest = document.read_text().split(BEGIN)
    document.write_text(f"{before}{BEGIN}\n\n{table(ROOT)}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main(sys.argv[1:])
