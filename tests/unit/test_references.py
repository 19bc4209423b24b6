"""Where code, scripts and messages send people: the pages of the documentation and their sections exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import ROOT

FOLDERS = ("flows", "tasks", "script", "deployments", "r/R", "r/src", "r/inst", "r/man", "examples")
FILES = [
    path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".o", ".so", ".parquet")
]
FILES += [ROOT / name for name in ("prefect.yaml", "vacal.py", "pyproject.toml", "CHANGELOG.md", "README.md")]

PAGE = re.compile(r"docs/([\w/-]+\.md)")
SECTION = re.compile(
    r"""docs/([\w/-]+\.md)(?:\#(?P<anchor>[\w-]+)|,\ (?:sections?\ )?["']?(?P<first>[A-Z][\w -]*)["']?"""
    r"""(?:\ and\ ["'](?P<second>[A-Z][\w -]*)["'])?)""",
    re.VERBOSE,
)


def text_of(path: Path) -> str:
    """The text with breaks of lines, and of strings over lines, taken out."""
    text = path.read_text(encoding="utf-8", errors="ignore")
    return re.sub(r"[\"']?\s*\n\s*(?:#'?|//|\*)?\s*[\"']?", " ", text)


def headings(page: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)


def anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def wrong_references(text: str) -> list[str]:
    """The pages and sections that the text names and that do not exist."""
    pages = {page for page in PAGE.findall(text) if not (ROOT / "docs" / page).is_file()}
    wrong = [f"docs/{page}" for page in sorted(pages)]
    for found in SECTION.finditer(text):
        if found[1] in pages:
            continue
        known = headings(found[1])
        named = [name for name in (found["first"], found["second"]) if name]
        wrong += [f"docs/{found[1]}, {name}" for name in named if not any(map(name.startswith, known))]
        if found["anchor"] and found["anchor"] not in map(anchor, known):
            wrong.append(f"docs/{found[1]}#{found['anchor']}")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_file_says_of_the_documentation_is_there(path):
    assert wrong_references(text_of(path)) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("see docs/install.md, Store", ["docs/install.md, Store"]),
        ("see docs/outputs.md, Object storage", []),
        ('(docs/method.md, section "Roll-ups")', []),
        ('docs/method.md, sections "Path correction" and "No such"', ["docs/method.md, No such"]),
        ("docs/gone.md", ["docs/gone.md"]),
        ("docs/install.md#upgrade", []),
        ("docs/install.md#store", ["docs/install.md#store"]),
        ("docs/install.md, which says", []),
    ],
)
def test_a_page_or_section_that_does_not_exist_is_noticed(text, wrong):
    assert wrong_references(text) == wrong
