"""Every example, from its file through the real flow to tables; and the published figures, where at hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support import ROOT
from typer.testing import CliRunner

from flows.calibrate import calibrate
from flows.cli.main import app
from tasks.matrices.find import load_inventory
from tasks.request.model import CalibrationRequest, load_request
from tasks.results.store import open_results

pytestmark = pytest.mark.usefixtures("prefect_server")

EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
REFERENCE = ROOT.parent / "shared" / "data" / "reference.json"
INVENTORY = ROOT.parent / "shared" / "data" / "CCVA_missmat.rda"

MEAN_TOLERANCE = 0.015  # Monte-Carlo error of both sides, and a step of lambda (docs/method.md)
INTERVAL_TOLERANCE = 0.025


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_runs_from_the_command_line_to_complete_tables(path: Path, tmp_path: Path) -> None:
    printed = CliRunner().invoke(
        app, ["run", str(path), "--matrix-source", "illustrative", "--output", str(tmp_path)]
    )

    assert printed.exit_code == 3, printed.output  # published, and by illustrative matrices not to be used
    assert re.search("(none of the|the) .* published .*illustrative matrices", printed.output)
    assert "Illustrative, not for publication." in printed.output
    results = open_results(re.findall("^Results: (.*)$", printed.output, re.MULTILINE)[-1])
    assert results.manifest["status"] == "complete"
    fractions = results.csmf[results.csmf["level"] == "stratum"]
    totals = fractions.groupby(["stratum", "algorithm"])["mean"].sum(min_count=1).dropna()
    assert totals.sub(1).abs().max() < 1e-9
    assert results.csmf["flags"].str.contains("illustrative").all()


def _case(name: str, tmp_path: Path) -> tuple[dict[str, Any], CalibrationRequest]:
    case = json.loads(REFERENCE.read_text())[name]
    asked = case["request"]
    request = {
        "name": name.replace("_", "-"),
        "input": {"counts": case["deaths_uncalibrated"]},
        "age_group": asked["age_group"],
        "country": asked["country"],
        "algorithms": list(case["deaths_uncalibrated"]),
        "matrix": {"type": asked["missmat_type"]},
        "study_cause_map": asked.get("study_cause_map"),
        "output": str(tmp_path),
    }
    return case, CalibrationRequest.model_validate(request)


@pytest.mark.real
@pytest.mark.skipif(
    not (REFERENCE.is_file() and INVENTORY.is_file()),
    reason="the published figures and matrices are not beside the project (../shared/data)",
)
@pytest.mark.parametrize(
    "name",
    [
        "moz_neonate_eava",
        "moz_neonate_ensemble",
        "moz_child_ensemble",
        "moz_neonate_ensemble_fixed",
        "cacode_bangladesh_neonate_eava",
    ],
)
def test_results_agree_with_the_published_package(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, request = _case(name, tmp_path)
    request = request.model_copy(
        update={"matrix": request.matrix.model_copy(update={"source": str(INVENTORY)})}
    )

    results = open_results(calibrate(request))

    for algorithm, published in case["calibrated"].items():
        ours = results.csmf[results.csmf["algorithm"] == algorithm].set_index("cause")
        kept = case["not_calibrated"].get(algorithm, [])
        expected = {kept} if isinstance(kept, str) else set(kept)
        assert set(ours.index[ours["status"] == "passed_through"]) == expected
        for cause, mean in published["mean"].items():
            assert ours.loc[cause, "mean"] == pytest.approx(mean, abs=MEAN_TOLERANCE), (algorithm, cause)
            if ours.loc[cause, "status"] == "calibrated":
                low, high = published["lower95"][cause], published["upper95"][cause]
                assert ours.loc[cause, "q025"] == pytest.approx(low, abs=INTERVAL_TOLERANCE), (
                    algorithm,
                    cause,
                )
                assert ours.loc[cause, "q975"] == pytest.approx(high, abs=INTERVAL_TOLERANCE), (
                    algorithm,
                    cause,
                )
    shown = results.strata.set_index("algorithm")["lambda"]
    for algorithm, published_lambda in case["lambda"].items():
        assert shown[algorithm] == pytest.approx(published_lambda, abs=0.011), algorithm


def test_the_examples_of_mozambique_hold_the_published_counts() -> None:
    if not REFERENCE.is_file():
        pytest.skip("the published figures are not beside the project (../shared/data)")
    cases = json.loads(REFERENCE.read_text())
    for stem, name in (("neonate", "moz_neonate_ensemble"), ("child", "moz_child_ensemble")):
        request = load_request(ROOT / "examples" / f"comsa-mozambique-{stem}.yaml")
        assert request.input.counts is not None
        for algorithm, deaths in cases[name]["deaths_uncalibrated"].items():
            ours = {c: n for c, n in request.input.counts[algorithm].items() if c != "Unspecified"}
            assert ours == deaths


def test_a_published_run_names_the_verified_inventory(tmp_path: Path) -> None:
    if not INVENTORY.is_file():
        pytest.skip("the published matrices are not beside the project (../shared/data)")
    inventory = load_inventory(str(INVENTORY))
    assert (inventory.id, inventory.verified) == ("champs-2.2", True)
