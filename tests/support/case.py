"""A folder with files and a request beside them, prepared as `vacal check` and `vacal run` prepare it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tasks.errors import InputError
from tasks.ingest import Tabulation
from tasks.request import load_request
from tasks.run import prepare


class Case:
    """One folder; `check` tells what is read, `refused` why it is not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, name: str, content: str | bytes | pd.DataFrame) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pd.DataFrame):
            content.to_parquet(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def check(self, uri: Any, layout: str = "records", **fields: Any) -> Tabulation:
        request = {
            "name": "case",
            "age_group": "neonate",
            "country": "Mozambique",
            "algorithms": ["eava"],
            "input": {"uri": uri, "layout": layout},
            "matrix": {"source": "illustrative"},
            "output": str(self.folder / "results"),
            **fields,
        }
        file = self.folder / "request.yaml"
        file.write_text(yaml.safe_dump(request))
        return prepare(load_request(file)).tabulation

    def refused(self, uri: Any, layout: str = "records", **fields: Any) -> str:
        with pytest.raises(InputError) as raised:
            self.check(uri, layout, **fields)
        return "\n".join(problem.replace(f"{self.folder}/", "") for problem in raised.value.problems)
