"""Every example of a request in the documentation can be checked as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import ROOT

from tasks.request import load_request
from tasks.run import prepare

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BASE: dict[str, Any] = {
    "name": "example",
    "age_group": "neonate",
    "country": "Mozambique",
    "algorithms": ["eava"],
    "input": {"uri": "deaths.csv"},
    "matrix": {"source": "illustrative"},
}
DEATHS = "ID,cause,province,year\n" + "".join(
    f"{place}{year}{i},{cause},{place},{year}\n"
    for place in "AB"
    for year in (2022, 2023)
    for i, cause in enumerate(("ipre", "Preterm", "Sepsis"))
)
MATRICES = "type,algorithm,champs_cause,va_cause,value\n" + "".join(
    f"prior,mycoder,{true},{said},{9 if true == said else 2}\n"
    for true in ("injury", "infection")
    for said in ("injury", "infection")
)


def examples() -> list[Any]:
    """Blocks of YAML, fenced or indented, whose first key is a field of a request."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fenced = re.findall(r"^```yaml\n(.*?)^```$", text, re.M | re.S)
        indented = [
            m.replace("\n    ", "\n")[4:]
            for m in re.findall(r"(?:^    verdict_rules:\n(?:    .*\n)+)", text, re.M)
        ]
        found += [
            pytest.param(block, id=f"{page.name}-{number}") for number, block in enumerate(fenced + indented)
        ]
    return found


@pytest.mark.parametrize("block", examples())
def test_an_example_is_a_request_that_can_be_checked(block: str, tmp_path: Path) -> None:
    given = yaml.safe_load(block)
    uri = given.get("input", {}).get("uri")
    if isinstance(uri, dict):
        given.setdefault("algorithms", list(uri))
        for name in uri.values():
            (tmp_path / name).write_text(DEATHS)
    (tmp_path / "deaths.csv").write_text(DEATHS)
    (tmp_path / "my-matrices.csv").write_text(MATRICES)
    (tmp_path / "request.yaml").write_text(yaml.safe_dump(BASE | given))
    assert prepare(load_request(tmp_path / "request.yaml")).chunks
