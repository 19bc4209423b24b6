"""Simulated national verbal-autopsy data with their truth, for demonstrations, tests and benchmarks.

Deaths of several provinces, years, sexes and age groups get a true cause from their stratum's true fractions;
each algorithm then says a cause according to its misclassification matrix. The records look like real
input: specific causes, undetermined causes, empty values. The truth is written beside them, in a folder.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import yaml

from tasks.errors import InputError
from tasks.matrices import Inventory, load_inventory, to_table
from tasks.simulate.deaths import Codes, Deaths
from tasks.simulate.files import RecordFiles
from tasks.simulate.plan import STRATA, SimulationPlan
from tasks.simulate.truth import true_csmf, true_matrices
from tasks.simulate.world import World, build_world


def simulate(plan: SimulationPlan, out: Path) -> Path:
    """Write simulated records into the folder `out`, with their truth and a request to calibrate them.

    records.parquet, records.csv or records/: the input. truth/: csmf.parquet, true fractions and deaths by
    cause; matrices.parquet, the true matrices; simulation.json, the plan. request.yaml: the request, written
    last. Memory does not grow with the number of deaths. Returns the path of the request.

    Raises InputError where `out` holds files or the inventory lacks a matrix, InventoryError without one.
    """
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty; give a new folder, nothing is overwritten")
    inventory = load_inventory(plan.source)
    world = build_world(plan, inventory)
    deaths = np.zeros(world.csmf.shape, dtype=np.int64)
    rows = 0
    out.mkdir(parents=True, exist_ok=True)
    with RecordFiles(out, plan.format, plan.partition_by, plan.partitions) as files:
        for block in Deaths(plan, world).blocks():
            files.add(block.records)
            deaths += block.true_deaths
            rows += block.records.num_rows
    _write_truth(plan, inventory, world, deaths, rows, out / "truth")
    request = out / "request.yaml"
    request.write_text(_request(plan, inventory, files.uri), encoding="utf-8")
    return request


def _write_truth(
    plan: SimulationPlan, inventory: Inventory, world: World, deaths: Codes, rows: int, folder: Path
) -> None:
    folder.mkdir()
    pq.write_table(true_csmf(plan, world, deaths), folder / "csmf.parquet")
    pq.write_table(to_table(true_matrices(plan, world)), folder / "matrices.parquet")
    facts = {
        "plan": plan.model_dump(),
        "rows": rows,
        "inventory": {
            name: getattr(inventory, name)
            for name in ("id", "version", "checksum", "verified", "illustrative")
        },
        "note": "Simulated data: no person, place or year in them is real.",
    }
    (folder / "simulation.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _request(plan: SimulationPlan, inventory: Inventory, uri: str) -> str:
    fields = {
        "name": f"simulated-{plan.seed}",
        "input": {"uri": uri, "format": plan.format},
        "columns": {"id": "ID", "cause": "cause", "algorithm": "algorithm", "strata": list(STRATA)},
        "age_group": {"column": "age_group"},
        "country": plan.country,
        "algorithms": list(plan.algorithms),
        "matrix": {"source": plan.source},
        "roll_ups": [["province"], ["year"], []],
        "matrix_sharing": "per_stratum",
        "bad_records": "reject" if plan.duplicates else "refuse",
    }
    head = "# Simulated deaths: see truth/ for what calibration should find.\n"
    head += "# Each stratum on its own, in a minute. Without matrix_sharing they are calibrated jointly, as\n"
    head += "# totals should be (docs/joint.md): that takes far longer for hundreds of strata.\n"
    if inventory.illustrative:
        head += "# Illustrative matrices, not for publication.\n"
    return head + yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
