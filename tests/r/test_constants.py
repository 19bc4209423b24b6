"""Constants and rules that Python and the R package both have: what either computes with is the same."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from tasks.engine.border import JOINT_CHAINS, Batch
from tasks.results import schema
from tasks.rollups.combine import _disagreement
from tasks.run.chunks import JOINT_SIZE
from tasks.settings import settings
from tasks.terms.causes import MOST_CAUSES


def ask_r(code: str, *arguments: str) -> Any:
    """What R code leaves in `answer`."""
    script = f"arguments <- commandArgs(TRUE); {code}; cat(jsonlite::toJSON(answer, digits = NA))"
    environment = {**os.environ, "R_LIBS": str(settings().r_library)}
    told = subprocess.run(
        ["Rscript", "--vanilla", "-e", script, *arguments], env=environment, capture_output=True, check=True
    )
    return json.loads(told.stdout)


def test_python_and_r_have_the_same_limits_and_thresholds() -> None:
    assert ask_r("answer <- vacal:::constants()") == {
        "most_causes": [MOST_CAUSES],
        "noop_below": [schema.NOOP],
        "interval": [*schema.DEFAULT_QUANTILES],
        "with_result": [*schema.WITH_RESULT],
        "misfit_below": [schema.MISFIT],
        "misfit_residual": [schema.MISFIT_RESIDUAL],
        "joint_size": [JOINT_SIZE],
        "joint_chains": [JOINT_CHAINS],
        "joint_budget": [5_000_000],
        "rhat_nation": [1.01],
        "rhat_published": [schema.RHAT_PUBLISHED],
    }


def test_a_batch_has_the_defaults_of_r() -> None:
    fields = (
        "rule threshold path_correction shrinkage ensemble draws effective_draws seed quantiles keep_draws"
    )
    r = ask_r("answer <- unclass(vacal::calibration_settings())")
    batch = {name: Batch.__dataclass_fields__[name].default for name in fields.split()}
    assert {name: [*value] if name == "quantiles" else [value] for name, value in batch.items()} == {
        name: r[name] for name in batch
    }


def test_roll_ups_and_strata_judge_disagreement_by_the_same_rule(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    cases = []
    for _ in range(300):
        ends = np.sort(rng.random((rng.integers(1, 4), 2)) * 0.4 + rng.random() * 0.3, axis=1)
        calibrated = rng.random(len(ends)) < 0.8
        mean = [float(rng.random())] if rng.random() < 0.7 else []
        cases.append(
            {
                "low": ends[:, 0].tolist(),
                "high": ends[:, 1].tolist(),
                "in_use": calibrated.tolist(),
                "mean": mean,
            }
        )
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    r = ask_r(
        """answer <- vapply(jsonlite::read_json(arguments[1], simplifyVector = FALSE), function(case) {
             at <- function(name) matrix(ifelse(unlist(case$in_use), unlist(case[[name]]), NA_real_))
             vacal:::disagreements(at("low"), at("high"), as.double(unlist(case$mean)))
           }, NA)""",
        str(tmp_path / "cases.json"),
    )
    assert r == [_disagrees(case) for case in cases]
    assert 0 < sum(r) < len(r)


def _disagrees(case: dict[str, Any]) -> bool:
    rows: list[dict[str, Any]] = [
        {
            "algorithm": f"a{i}",
            "cause": "x",
            "status": "calibrated" if used else "passed_through",
            "q025": low if used else None,
            "q975": high if used else None,
            "flags": [],
        }
        for i, (low, high, used) in enumerate(zip(case["low"], case["high"], case["in_use"], strict=True))
    ]
    rows += [
        {"algorithm": "ensemble", "cause": "x", "status": "calibrated", "mean": m, "flags": []}
        for m in case["mean"]
    ]
    _disagreement(rows, [])
    return "algorithms_disagree" in rows[0]["flags"]
