"""Simulated national records: their truth, their likeness to real input, and that a seed fixes every byte."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.ingest_made import tabulated

from tasks.errors import InputError
from tasks.matrices.find import load_inventory
from tasks.request.model import load_request
from tasks.simulate.deaths import BLOCK
from tasks.simulate.world import build_world
from tasks.simulate.write import SimulationPlan, simulate

SMALL = SimulationPlan(deaths=3000, province_count=3, year_count=2)
CLEAN = {"cause_names": "broad", "undetermined": 0.0, "blank_causes": 0.0}


def run(plan: SimulationPlan, out: Path) -> Path:
    return simulate(plan, out).parent


def changed(plan: SimulationPlan, **fields: object) -> SimulationPlan:
    return SimulationPlan(**{**plan.model_dump(), **fields})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def records(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "records.parquet")


def truth(folder: Path, level: str) -> pd.DataFrame:
    table = pd.read_parquet(folder / "truth/csmf.parquet")
    return table[table["level"] == level]


@pytest.mark.parametrize(
    "fields",
    [{}, {"format": "csv"}, {"partition_by": ("year", "sex")}, {"matrices": "drawn", "duplicates": 0.1}],
)
def test_the_same_plan_gives_the_same_bytes_and_another_seed_does_not(
    fields: dict[str, object], tmp_path: Path
) -> None:
    plan = changed(SMALL, **fields)
    first = contents(run(plan, tmp_path / "a"))
    assert contents(run(plan, tmp_path / "b")) == first
    other = contents(run(changed(plan, seed=2), tmp_path / "c"))
    assert other.keys() == first.keys()
    assert all(other[name] != first[name] for name in first if name != "truth/matrices.parquet")


def test_more_deaths_leave_the_first_blocks_as_they_are(tmp_path: Path) -> None:
    less = records(run(changed(SMALL, deaths=BLOCK), tmp_path / "less"))
    more = records(run(changed(SMALL, deaths=BLOCK + 10), tmp_path / "more"))
    assert len(more) == 3 * (BLOCK + 10)
    assert more["ID"].nunique() == BLOCK + 10
    pd.testing.assert_frame_equal(more.iloc[: len(less)].astype(str), less.astype(str))


def test_the_default_plan_has_220_strata_and_unequal_provinces(tmp_path: Path) -> None:
    plan = changed(SimulationPlan(), deaths=20_000)
    stratum = truth(run(plan, tmp_path / "out"), "stratum")
    assert len(stratum.groupby(["age_group", "province", "year", "sex"])) == 220
    provinces = truth(tmp_path / "out", "province").groupby("province")["true_deaths"].sum()
    assert provinces.max() > 3 * provinces.min()


def test_true_deaths_add_up_at_every_level(tmp_path: Path) -> None:
    table = pd.read_parquet(run(SMALL, tmp_path / "out") / "truth/csmf.parquet")
    by_level = table.groupby("level")["true_deaths"].sum()
    assert set(by_level.index) == {"stratum", "province", "year", "sex", "nation"}
    assert (by_level == SMALL.deaths).all()
    groups = table.groupby(["level", "age_group", "province", "year", "sex"], dropna=False)
    np.testing.assert_allclose(groups["true_csmf"].sum(), 1)
    assert (groups["true_deaths"].sum() == groups["total_deaths"].first()).all()
    nation = truth(tmp_path / "out", "nation")
    assert set(nation[["province", "year", "sex"]].to_numpy().ravel()) == {"(all)"}


def test_the_truth_of_a_level_is_the_mean_of_its_strata_weighted_by_their_deaths(tmp_path: Path) -> None:
    folder = run(SMALL, tmp_path / "out")
    nation = truth(folder, "nation").set_index(["age_group", "cause"])["true_csmf"]
    stratum = truth(folder, "stratum")
    weighted = stratum.assign(part=stratum["true_csmf"] * stratum["total_deaths"])
    sums = weighted.groupby(["age_group", "cause"])[["part", "total_deaths"]].sum()
    expected = (sums["part"] / sums["total_deaths"]).reindex(nation.index)
    np.testing.assert_allclose(nation, expected)


def own_matrices(file: Path, confusion: np.ndarray) -> str:
    causes = [f"cause {number}" for number in range(len(confusion))]
    rows = [
        {
            "type": "prior",
            "algorithm": algorithm,
            "champs_cause": causes[i],
            "va_cause": causes[j],
            "value": value,
        }
        for algorithm in ("eava", "insilicova", "interva")
        for (i, j), value in np.ndenumerate(confusion)
    ]
    pd.DataFrame(rows).to_csv(file, index=False)
    return str(file)


def test_without_confusion_every_algorithm_finds_the_truth(tmp_path: Path) -> None:
    source = own_matrices(tmp_path / "own.csv", 10 * np.eye(4))
    folder = run(changed(SMALL, source=source, **CLEAN), tmp_path / "out")
    keys = ["age_group", "province", "year", "sex", "cause"]
    found = records(folder).astype(str).groupby(["algorithm", *keys]).size()
    expected = truth(folder, "stratum").groupby(keys)["true_deaths"].sum()
    for algorithm in SMALL.algorithms:
        assert (found.loc[algorithm].reindex(expected.index, fill_value=0) == expected).all()


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_each_algorithm_confuses_causes_by_its_own_matrix_however_correlated(
    correlation: float, tmp_path: Path
) -> None:
    folder = run(changed(SMALL, deaths=60_000, correlation=correlation, **CLEAN), tmp_path / "out")
    found = records(folder).groupby(["age_group", "algorithm", "cause"], observed=True).size()
    deaths = truth(folder, "nation").set_index(["age_group", "cause"])["true_deaths"]
    matrices = pd.read_parquet(folder / "truth/matrices.parquet").groupby(["age_group", "algorithm"])
    for (age_group, algorithm), matrix in matrices:
        rates = matrix.pivot_table(index="champs_cause", columns="va_cause", values="value")
        true = deaths.loc[age_group].reindex(rates.index)
        expected = true @ rates
        sd = np.sqrt(true @ (rates * (1 - rates)))
        z = (found.loc[age_group, algorithm].reindex(rates.columns) - expected) / sd
        assert z.abs().max() < 5


def agreement(folder: Path) -> float:
    said = records(folder).pivot_table(index="ID", columns="algorithm", values="cause", aggfunc="first")
    return float((said["insilicova"] == said["interva"]).mean())


def test_correlated_algorithms_agree_more_often(tmp_path: Path) -> None:
    shares = [
        agreement(run(changed(SMALL, correlation=share, **CLEAN), tmp_path / str(share)))
        for share in (0, 0.5, 1)
    ]
    assert shares[0] + 0.05 < shares[1] < shares[2] - 0.05


def test_without_spread_and_drift_all_strata_of_an_age_group_are_alike() -> None:
    plan = changed(SMALL, province_spread=0.0, drift=0.0)
    world = build_world(plan, load_inventory("illustrative"))
    for age in range(2):
        np.testing.assert_allclose(np.ptp(world.csmf[world.age == age], axis=0), 0, atol=1e-12)
    drifting = build_world(changed(plan, drift=0.1), load_inventory("illustrative"))
    assert np.ptp(drifting.csmf[drifting.age == 0], axis=0).max() > 0.001


def test_drawn_matrices_are_the_truth_that_is_written_and_can_be_used_as_ones_own(tmp_path: Path) -> None:
    folder = run(changed(SMALL, matrices="drawn"), tmp_path / "out")
    drawn = load_inventory(str(folder / "truth/matrices.parquet")).matrices("child", "eava", "Mali", "fixed")
    mean = load_inventory("illustrative").matrices("child", "eava", "Mali", "fixed")
    assert drawn.causes == mean.causes
    assert np.abs(drawn.values - mean.values).max() > 0.01


# --- The records as input of a run ---


def test_the_request_beside_the_records_is_valid_and_says_where_the_matrices_come_from(
    tmp_path: Path,
) -> None:
    folder = run(SMALL, tmp_path / "out")
    request = load_request(folder / "request.yaml")
    assert request.matrix.source == "illustrative"
    assert request.columns.strata == ("province", "year", "sex")
    assert request.roll_ups == (("province",), ("year",), ())
    assert "# Illustrative matrices, not for publication." in (folder / "request.yaml").read_text()
    facts = json.loads((folder / "truth/simulation.json").read_text())
    assert facts["inventory"]["illustrative"] is True
    assert facts["rows"] == 9000


def test_every_format_holds_the_same_records(tmp_path: Path) -> None:
    counts = []
    for number, fields in enumerate(
        [
            {},
            {"format": "csv"},
            {"partition_by": ("year", "age_group")},
            {"format": "csv", "partition_by": ("algorithm",)},
        ]
    ):
        folder = run(changed(SMALL, **fields), tmp_path / str(number))
        tabulation = tabulated(load_request(folder / "request.yaml"))
        counts.append(tabulation.counts.to_pandas())
    for other in counts[1:]:
        pd.testing.assert_frame_equal(other, counts[0])


def test_the_ingest_maps_every_label_and_accounts_for_what_is_undetermined_or_empty(tmp_path: Path) -> None:
    plan = changed(SMALL, undetermined=0.1, blank_causes=0.05, missing_strata=0.05)
    tabulation = tabulated(load_request(run(plan, tmp_path / "out") / "request.yaml"))
    found = (
        tabulation.records.to_pandas()
        .fillna({"reason": ""})
        .groupby(["disposition", "reason"])["records"]
        .sum()
    )
    assert found.sum() == 3 * plan.deaths
    assert set(found.index) == {("used", ""), ("excluded", "undetermined_cause"), ("excluded", "blank_cause")}
    assert abs(found["excluded", "blank_cause"] / 9000 - 0.05) < 0.015
    assert abs(found["excluded", "undetermined_cause"] / 9000 - 0.095) < 0.02
    strata = tabulation.strata.to_pandas()
    assert {"(missing)"} < set(strata["province"])
    assert strata["deaths"].sum() == plan.deaths


def test_duplicated_deaths_are_rejected_by_the_request_that_comes_with_them(tmp_path: Path) -> None:
    plan = changed(SMALL, duplicates=0.05)
    folder = run(plan, tmp_path / "out")
    ids = records(folder).groupby("ID").size()
    twice = int((ids > 3).sum())
    assert 0 < twice < plan.deaths * 0.1
    tabulation = tabulated(load_request(folder / "request.yaml"))
    rejected = tabulation.records.to_pandas().query("disposition == 'rejected'")
    assert rejected["records"].sum() == 6 * twice


def test_labels_are_specific_causes_unless_broad_ones_are_asked_for(tmp_path: Path) -> None:
    specific = set(records(run(SMALL, tmp_path / "a"))["cause"].dropna())
    assert {"birth asphyxia", "diarrhoeal diseases", "Unspecified"} <= specific
    broad = set(records(run(changed(SMALL, **CLEAN), tmp_path / "b"))["cause"].dropna())
    assert {"ipre", "diarrhea"} <= broad
    assert not broad & {"birth asphyxia", "Unspecified"}


# --- What is refused ---


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="is not empty; give a new folder, nothing is overwritten"):
        simulate(SMALL, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_plan_that_the_matrices_do_not_serve_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no matrix of algorithm 'tariff'"):
        simulate(changed(SMALL, algorithms=("eava", "tariff")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"deaths": 0}, "greater than or equal to 1"),
        ({"country": "Mozambik"}, "'Mozambik' is not a country"),
        ({"sexes": ("male", "male")}, "sexes: each may be given only once"),
        ({"province_count": 1000, "partition_by": ("province", "year")}, "partition_by makes 3000 files"),
        ({"unknown": 1}, "Extra inputs are not permitted"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        changed(changed(SMALL, year_count=3), **fields)


@settings(max_examples=15, deadline=None)
@given(
    deaths=st.integers(1, 400),
    province_count=st.integers(1, 12),
    year_count=st.integers(1, 4),
    ages=st.sampled_from([("neonate",), ("child",), ("child", "neonate")]),
    algorithms=st.sampled_from([("interva",), ("interva", "eava"), ("eava", "insilicova", "interva")]),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_plan_gives_each_death_one_row_an_algorithm_and_one_true_cause(
    tmp_path_factory: pytest.TempPathFactory,
    deaths: int,
    province_count: int,
    year_count: int,
    ages: tuple[str, ...],
    algorithms: tuple[str, ...],
    seed: int,
) -> None:
    plan = SimulationPlan(
        deaths=deaths,
        province_count=province_count,
        year_count=year_count,
        age_groups=ages,
        algorithms=algorithms,
        seed=seed,
    )
    folder = run(plan, tmp_path_factory.mktemp("plan") / "out")
    table = records(folder)
    assert len(table) == deaths * len(algorithms)
    assert not table.duplicated(["ID", "algorithm"]).any()
    assert truth(folder, "stratum")["true_deaths"].sum() == deaths
    assert np.isfinite(pd.read_parquet(folder / "truth/csmf.parquet")["true_csmf"]).all()
