"""Algorithms and causes that do not fit: from R's numbers of causes to JSON, whatever their names."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa

from tasks.run.joint_tables import misfit_of, misfit_rows

CAUSES = ("ipre", "Other (specify; ipre)", "HIV, TB")
CHUNK: Any = SimpleNamespace(batch=SimpleNamespace(causes=CAUSES, strata=("a", "b")))
RESULT: Any = SimpleNamespace(
    misfit=pa.table(
        {
            "stratum": ["a", "b", "b"],
            "fit": ["ensemble"] * 3,
            "algorithm": ["eava", "eava", "interva"],
            "misfit": [False, True, True],
            "causes": [None, "Other (specify; ipre),HIV, TB", None],
            "cause_numbers": [None, "2,3", None],
        }
    )
)


def test_the_strata_name_algorithms_with_their_causes() -> None:
    fits = pd.DataFrame({"stratum": ["a", "b"], "algorithm": "ensemble"})
    none, named = misfit_of(CHUNK, RESULT, fits)
    assert none is None
    assert json.loads(named or "") == [
        {"algorithm": "eava", "causes": ["Other (specify; ipre)", "HIV, TB"]},
        {"algorithm": "interva"},
    ]


def test_the_table_of_misfit_has_the_causes_as_a_list() -> None:
    rows = misfit_rows(CHUNK, RESULT)
    assert "cause_numbers" not in rows
    assert list(rows["row"]) == [0, 1, 1]
    causes = rows["causes"].tolist()
    assert json.loads(causes[1]) == ["Other (specify; ipre)", "HIV, TB"]
    assert pd.isna(causes[0])
    assert pd.isna(causes[2])
