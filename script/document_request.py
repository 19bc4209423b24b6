"""Writes the reference of a request's fields into docs/requests.md, from the model itself.

python script/document_request.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tasks.request import CalibrationRequest

PAGE = Path(__file__).parent.parent / "docs" / "requests.md"
BEGIN, END = "<!-- fields: written by script/document_request.py -->", "<!-- end of fields -->"


def reference(model: type[BaseModel] = CalibrationRequest, prefix: str = "") -> Iterator[str]:
    """One table row for each field, those of a part after the part: path, description, default."""
    for name, field in model.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield from reference(part, f"{prefix}{name}.")
        else:
            description = " ".join((field.description or "").split()).replace("|", "\\|")
            yield f"| `{prefix}{name}` | {description} | {_default(field)} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "see there"
    value: Any = field.default
    return "empty" if value is None else f"`{json.dumps(value)}`"


def with_reference(page: str) -> str:
    """The page with the reference between its two marks renewed."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    table = "\n".join(["| Field | Meaning | Default |", "| --- | --- | --- |", *reference()])
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_reference(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
