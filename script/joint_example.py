"""The worked example of docs/example-joint.md: a simulated nation, strata added up against the joint model.

python script/joint_example.py FOLDER [--picture PNG] [--algorithm ALGORITHM]

Simulates 11 provinces in two years, calibrates them one by one and jointly, and prints the truth beside both.
FOLDER keeps the data and both runs; a second call only prints and draws.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tasks import run as steps
from tasks.engine import Pool
from tasks.figures import style as figures_style
from tasks.request import parse_request
from tasks.results import Results, open_results, store
from tasks.simulate import SimulationPlan, simulate
from tasks.terms import words

PLAN = SimulationPlan(deaths=20_000, age_groups=("neonate",), year_count=2, matrices="drawn")
ASKED: dict[str, Any] = {
    "roll_ups": [["province"], ["year"], []],
    "contrasts": [{"between": "year"}],
    "draws": 2000,
    "effective_draws": 1000,
}
SHARINGS = {"per_stratum": "one by one, then added up", "joint": "jointly"}
LEVELS = ("nation", "year", "province")
PLACE = ["level", "province", "year", "cause"]
LOG = logging.getLogger("joint-example")


def run(folder: Path, sharing: str) -> Results:
    """The simulated deaths calibrated, or the run that is there already."""
    fields = yaml.safe_load((folder / "data" / "request.yaml").read_text(encoding="utf-8"))
    columns = {**fields["columns"], "strata": ["province", "year"]}
    uri = str(folder / "data" / "records.parquet")
    changes = {
        "input": {"uri": uri, "format": "parquet"},
        "columns": columns,
        "matrix_sharing": sharing,
        "output": str(folder / "results"),
    }
    job = steps.prepare(parse_request(fields | ASKED | changes))
    if store.find_run(job.work.root, job.run) is None:
        with Pool() as pool:
            for chunk in job.chunks:
                steps.calibrate_chunk(
                    chunk, job.work.of(chunk), log=LOG, progress=None, pool=pool, timeout=None
                )
        steps.publish(job, [(chunk, None) for chunk in job.chunks], {}, replace=False)
    return open_results(job.uri)


def beside_truth(results: Results, folder: Path, algorithm: str) -> pd.DataFrame:
    """Totals of the algorithm with `true_csmf`, the causes that have an interval only."""
    truth = pd.read_parquet(folder / "data" / "truth" / "csmf.parquet")
    truth = truth.loc[truth["level"].isin(LEVELS), [*PLACE, "true_csmf"]]
    csmf = results.csmf
    totals = csmf[(csmf["level"] != "stratum") & (csmf["algorithm"] == algorithm) & csmf["q025"].notna()]
    joined = totals.merge(truth, on=PLACE, validate="one_to_one")
    return joined.assign(covered=joined["true_csmf"].between(joined["q025"], joined["q975"]))


def tell(totals: dict[str, pd.DataFrame]) -> None:
    """The nation cause by cause, and how many totals of each kind hold the truth."""
    say = words("en")
    nation = {name: rows.query("level == 'nation'").set_index("cause") for name, rows in totals.items()}
    print(f"{'Nation, %':30} {'truth':>6}   {'one by one, added up':>22}   {'jointly':>22}")
    for cause, row in nation["joint"].iterrows():
        cells = [
            f"{100 * r['mean']:5.1f} ({100 * r['q025']:4.1f} to {100 * r['q975']:4.1f})"
            for r in (nation[name].loc[cause] for name in SHARINGS)
        ]
        print(f"{say.cause(str(cause)):30} {100 * row['true_csmf']:6.1f}   {cells[0]:>22}   {cells[1]:>22}")
    for level in LEVELS:
        counts = [rows.loc[rows["level"] == level, "covered"] for rows in totals.values()]
        cells = [f"{held.sum()} of {len(held)}" for held in counts]
        print(f"{'true share in interval: ' + level:37}   {cells[0]:>22}   {cells[1]:>22}")


def tell_changes(runs: dict[str, Results], folder: Path, algorithm: str) -> None:
    """The change of the nation from the first year to the second, cause by cause."""
    say = words("en")
    truth = pd.read_parquet(folder / "data" / "truth" / "csmf.parquet").query("level == 'year'")
    by_year = truth.pivot(index="cause", columns="year", values="true_csmf")
    first, second = sorted(by_year.columns)
    changes = {}
    for name, results in runs.items():
        rows = results.contrasts
        rows = rows[(rows["algorithm"] == algorithm) & rows["probability_higher"].notna()]
        changes[name] = rows.set_index("cause")
    head = f"Change {first} to {second}, points"
    print(f"{head:30} {'truth':>6}   {'one by one':>22}   {'jointly':>22}   rose")
    for cause, row in changes["joint"].iterrows():
        cells = [
            f"{100 * r['difference']:+5.1f} ({100 * r['q025']:+4.1f} to {100 * r['q975']:+4.1f})"
            for r in (changes[name].loc[cause] for name in SHARINGS)
        ]
        true_change = 100 * (by_year.loc[cause, second] - by_year.loc[cause, first])
        print(
            f"{say.cause(str(cause)):30} {true_change:+6.1f}   {cells[0]:>22}   {cells[1]:>22}   "
            f"{row['probability_higher']:.2f}"
        )


def draw(totals: dict[str, pd.DataFrame], algorithm: str) -> Figure:
    """Truth and both intervals for each cause of the nation."""
    say = words("en")
    rows = totals["joint"].query("level == 'nation'").sort_values("true_csmf")
    figure = Figure(figsize=(figures_style.WIDTH, 0.62 * len(rows) + 1.6), layout="constrained")
    axes = figure.add_subplot()
    looks = {
        "per_stratum": (0.17, figures_style.PALETTE[1], "s"),
        "joint": (-0.17, figures_style.PALETTE[0], "o"),
    }
    for name, (shift, colour, marker) in looks.items():
        nation = totals[name].query("level == 'nation'").set_index("cause").loc[rows["cause"]]
        for at, row in enumerate(nation.itertuples()):
            height = at + shift
            axes.plot([100 * row.q025, 100 * row.q975], [height, height], color=colour, lw=4, alpha=0.45)
            axes.plot(100 * row.mean, height, marker=marker, color=colour, ms=5, ls="none")
    for at, truth in enumerate(rows["true_csmf"]):
        axes.plot([100 * truth] * 2, [at - 0.36, at + 0.36], color=figures_style.INK, lw=2)
    axes.set_yticks(range(len(rows)), [say.cause(cause) for cause in rows["cause"]])
    axes.set_xlim(left=0)
    axes.set_xlabel("Share of the nation's deaths (%), with 95% interval")
    handles = [
        Line2D([], [], color=figures_style.INK, lw=2, label="the truth (known, as the data are simulated)")
    ]
    handles += [
        Line2D(
            [],
            [],
            color=looks[n][1],
            marker=looks[n][2],
            lw=4,
            alpha=0.8,
            label=f"provinces calibrated {text}",
        )
        for n, text in SHARINGS.items()
    ]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        title=f"Causes of death of newborns in a simulated nation, by {say.algorithm(algorithm)}",
        title_fontproperties={"weight": "bold"},
        alignment="left",
    )
    return figure


def main() -> None:
    """Simulate, calibrate, print and draw."""
    parser = argparse.ArgumentParser(
        description="Strata added up against the joint model, on simulated deaths."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--algorithm", default="eava")
    asked = parser.parse_args()
    if not (asked.folder / "data" / "request.yaml").exists():
        simulate(PLAN, asked.folder / "data")
    runs = {sharing: run(asked.folder, sharing) for sharing in SHARINGS}
    totals = {name: beside_truth(results, asked.folder, asked.algorithm) for name, results in runs.items()}
    tell(totals)
    print()
    tell_changes(runs, asked.folder, asked.algorithm)
    if asked.picture:
        with figures_style.style():
            draw(totals, asked.algorithm).savefig(asked.picture, dpi=160, metadata={"Software": None})


if __name__ == "__main__":
    main()
