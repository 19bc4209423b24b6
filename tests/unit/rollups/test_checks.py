"""The sum of strata against a direct fit: what is flagged, and what the table says."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tasks.results.schema import conform
from tasks.rollups.checks import DIFFERS, checked

PLACE = {
    "stratum": "age_group=child/country=Mali",
    "age_group": "child",
    "country": "Mali",
    "province": "(all)",
}
SHAPE: dict[str, Any] = {
    "strata_columns": ("province",),
    "constants": {
        "run": "r-1",
        "name": "r",
        "inventory": "i",
        "inventory_checksum": "c",
        "illustrative": False,
        "matrix_sharing": "common",
    },
}
CAUSES = ("hiv", "malaria", "other")
ENDS = ((0.2, 0.22), (0.3, 0.5), (None, None))  # a narrow interval, a wide one, none


def csmf() -> pa.Table:
    rows = [
        {
            **PLACE,
            "level": "nation",
            "algorithm": "eava",
            "cause": cause,
            "deaths": 9,
            "mean": 0.3,
            "status": "calibrated" if low else "passed_through",
            "q025": low,
            "q975": high,
            "flags": ["rollup_incomplete"],
        }
        for cause, (low, high) in zip(CAUSES, ENDS, strict=True)
    ]
    return conform("csmf", pa.Table.from_pylist(rows), **SHAPE)


def rollups() -> pa.Table:
    row = {**PLACE, "level": "nation", "algorithm": "eava", "strata": 2, "strata_fitted": 2, "flags": []}
    row |= {"weight": 9.0, "weight_fitted": 9.0, "share_left_out": 0.0}
    return conform("rollups", pa.Table.from_pylist([row]), **SHAPE)


def totals(*differences: float) -> list[pa.Table]:
    key = {"level": "nation", "group": PLACE["stratum"], "algorithm": "eava"}
    return [
        pa.Table.from_pylist([{**key, "cause": cause, "sum_of_strata": 0.3 + d, "direct_fit": 0.3}])
        for cause, d in zip(CAUSES, differences, strict=True)
    ]


def test_a_cause_is_flagged_above_a_hundredth_or_a_quarter_of_its_interval_whichever_is_more() -> None:
    own, total, table = checked(csmf(), rollups(), totals(0.011, -0.049, 0.009), quantiles=(), **SHAPE)
    assert own["flags"].to_pylist() == [
        f"rollup_incomplete;{DIFFERS}",
        "rollup_incomplete",
        "rollup_incomplete",
    ]
    assert total["flags"].to_pylist() == [DIFFERS]
    assert "direct fit of their deaths" in own["caveat"].to_pylist()[0]
    limits = [round(x, 9) for x in table["check_limit"].to_pylist()]
    assert limits == [0.01, 0.05, 0.01]
    assert [round(x, 9) for x in table["check_difference"].to_pylist()] == [0.011, -0.049, 0.009]


def test_where_nothing_differs_tables_stay_as_they_are() -> None:
    own, total, _ = checked(csmf(), rollups(), totals(0.01 - 1e-9, 0.05 - 1e-9, 0.0), quantiles=(), **SHAPE)
    assert own.equals(csmf())
    assert total.equals(rollups())


def test_totals_that_were_not_fitted_directly_have_no_row() -> None:
    assert checked(csmf(), rollups(), [], quantiles=(), **SHAPE)[2].num_rows == 0
