"""The border to R, with the real R package: what goes in, what comes out, and what R says meanwhile."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import ROOT

from tasks.engine.border import Batch, calibrate_batch, engine_versions, r_environment
from tasks.engine.process import Pool, ProcessLostError, TimedOutError
from tasks.errors import EngineError, InputError
from tasks.settings import settings

CAUSES = ("infection", "prematurity", "other")
COUNTS = np.array([[[60, 25, 15], [40, 50, 10]], [[10, 80, 10], [30, 60, 10]]])
ALPHA = np.array([[16.0, 2, 2], [3, 15, 2], [4, 4, 12]])
LOG = logging.getLogger("test.engine")


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool() as pool:
        yield pool


def batch(**changes: Any) -> Batch:
    whole = Batch(
        strata=("north", "south"),
        algorithms=("eava", "interva"),
        causes=CAUSES,
        counts=COUNTS,
        broad_causes=CAUSES,
        matrices=(ALPHA, ALPHA),
        matrix_type="prior",
        study_causes=None,
        do_not_calibrate=((), ()),
        rule="fixed",
        draws=400,
        effective_draws=400,
        keep_draws=True,
    )
    return replace(whole, **changes)


def test_with_the_identity_as_fixed_matrix_the_posterior_is_dirichlet(pool: Pool) -> None:
    identity = batch(matrices=(np.eye(3), np.eye(3)), matrix_type="fixed", path_correction=False, draws=4000)
    result = calibrate_batch(identity, log=LOG, pool=pool)
    mean = result.estimates["mean"].to_numpy().reshape(2, 3, 3)[:, :2]  # strata, algorithms, causes
    alpha = COUNTS + 1.0
    expected = alpha / alpha.sum(axis=2, keepdims=True)
    sd = np.sqrt(expected * (1 - expected) / (alpha.sum(axis=2, keepdims=True) + 1))
    assert np.abs(mean - expected).max() < (4 * sd / np.sqrt(4000)).max()


def test_rows_and_arrays_keep_the_order_and_shape_of_the_batch(pool: Pool) -> None:
    result = calibrate_batch(batch(quantiles=(0.025, 0.5, 0.975)), log=LOG, pool=pool)
    rows = result.estimates.select(["stratum", "algorithm", "cause"]).to_pylist()
    names = ("eava", "interva", "ensemble")
    assert rows == [
        {"stratum": s, "algorithm": a, "cause": c} for s in ("north", "south") for a in names for c in CAUSES
    ]
    assert result.quantiles.shape == (18, 3)
    assert result.matrices_used.shape == (2, 2, 3, 3)
    assert result.matrices_published.shape == (2, 3, 3)
    assert result.calibrated_causes.tolist() == [[True] * 3] * 2
    assert result.draws is not None
    assert result.draws.shape == (6, 400, 3)
    of_fit = result.estimates["mean"].to_numpy().reshape(6, 3)
    assert np.allclose(result.draws.mean(axis=1), of_fit)


def test_the_engine_that_computed_names_its_version(pool: Pool) -> None:
    assert calibrate_batch(batch(), log=LOG, pool=pool).engine_version == engine_versions()["engine"]


def test_matrices_cross_with_true_causes_as_rows(pool: Pool) -> None:
    result = calibrate_batch(batch(), log=LOG, pool=pool)
    assert np.allclose(result.matrices_published[0], ALPHA / ALPHA.sum(axis=1, keepdims=True))


def test_deaths_of_the_estimates_are_those_of_the_batch(pool: Pool) -> None:
    result = calibrate_batch(batch(ensemble=False), log=LOG, pool=pool)
    assert result.estimates["deaths"].to_numpy().reshape(2, 2, 3).tolist() == COUNTS.tolist()


def test_what_is_missing_is_null(pool: Pool) -> None:
    counts = COUNTS.copy()
    counts[0, 1] = 0
    result = calibrate_batch(
        batch(counts=counts, do_not_calibrate=(("other",), ("other",))), log=LOG, pool=pool
    )
    fits = result.fits.to_pylist()
    assert (fits[1]["status"], fits[1]["lambda"], fits[1]["converged"]) == ("no_result", None, None)
    assert fits[1]["reason"] is not None
    estimates = result.estimates.to_pylist()
    assert [row["mean"] for row in estimates[3:6]] == [None] * 3
    passed = next(row for row in estimates if row["status"] == "passed_through")
    assert (passed["cause"], passed["sd"], passed["not_calibrated_reason"]) == ("other", None, "asked_for")


def test_study_causes_cross_with_their_broad_causes(pool: Pool) -> None:
    study = batch(
        causes=("sepsis", "tetanus", "preterm"),
        study_causes=("infection", "infection", "prematurity"),
        do_not_calibrate=((), ()),
    )
    result = calibrate_batch(study, log=LOG, pool=pool)
    published = result.matrices_published[0]
    restricted = ALPHA[:2, :2] / ALPHA[:2, :2].sum(axis=1, keepdims=True)
    assert np.allclose(published[2, :2].sum(), restricted[1, 0])
    assert np.allclose(published.sum(axis=1), 1)


def test_samples_cross_as_samples_by_row_by_column(pool: Pool) -> None:
    rng = np.random.default_rng(1)
    samples = np.stack([rng.dirichlet(row, 200) for row in ALPHA], axis=1)
    result = calibrate_batch(batch(matrices=(samples, samples), matrix_type="samples"), log=LOG, pool=pool)
    assert np.allclose(result.matrices_published[0], samples.mean(axis=0), atol=0.02)


def test_the_same_stratum_gives_the_same_numbers_in_any_process_and_batch(pool: Pool) -> None:
    both = calibrate_batch(batch(), log=LOG, pool=pool)
    with Pool() as fresh:
        south = calibrate_batch(batch(strata=("south",), counts=COUNTS[1:]), log=LOG, pool=fresh)
    assert south.estimates.equals(both.estimates.slice(9))
    assert south.draws is not None
    assert both.draws is not None
    assert np.array_equal(south.draws, both.draws[3:])


def test_progress_is_told_after_each_fit(pool: Pool) -> None:
    seen: list[tuple[int, str, int, int]] = []
    calibrate_batch(batch(), log=LOG, progress=lambda *what: seen.append(what), pool=pool)
    assert [(done, total) for *_, done, total in seen] == [(i, 6) for i in range(1, 7)]
    assert {(stratum, name) for stratum, name, *_ in seen} == {
        (s, a) for s in (0, 1) for a in ("eava", "interva", "ensemble")
    }


def test_bad_input_is_told_with_every_problem_and_is_not_to_be_tried_again(pool: Pool) -> None:
    with pytest.raises(InputError) as caught:
        calibrate_batch(batch(threshold=-1.0, seed=-1), log=LOG, pool=pool)
    assert len(caught.value.problems) == 2


def test_a_killed_r_process_may_be_tried_again(pool: Pool) -> None:
    def kill(*_: Any) -> None:
        process = next(iter(pool._busy))
        os.kill(process._process.pid, 9)

    with pytest.raises(ProcessLostError, match="SIGKILL"):
        calibrate_batch(batch(), log=LOG, progress=kill, pool=pool)
    assert calibrate_batch(batch(), log=LOG, pool=pool).fits.num_rows == 6


def test_r_deep_in_compiled_code_is_ended_at_its_time_out(pool: Pool) -> None:
    endless = batch(draws=10**6, effective_draws=10**6)
    with pytest.raises(TimedOutError, match=r"time-out of 0\.5 seconds"):
        calibrate_batch(endless, log=LOG, pool=pool, timeout=0.5)


def test_what_r_says_arrives_in_whole_lines_at_its_level() -> None:
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])}
    said: list[tuple[int, str]] = []

    def hear(kind: str, message: Any) -> None:
        if kind == "log":
            said.append(message)

    env = {**r_environment(settings().r_library), **paths}
    with Pool() as pool:
        pool.call("r_side:speaking", batch(), on_message=hear, timeout=60, env=env)
    info, warning = logging.INFO, logging.WARNING
    fits = [text for _, text in said if "effective draws" in text]
    assert [text.split(" - ")[0] for text in fits] == ["north", "south"]
    assert [line for line in said if "Tracing" not in line[1] and line[1] not in fits] == [
        (info, "fitting"),
        (info, "strata"),
        (warning, "few deaths"),
        (info, "half a line, the rest"),
        (info, "no end"),
    ]


def test_r_s_last_lines_stand_in_the_error(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    class Speaking(Pool):
        def call(self, function: str, content: object, *, on_message: Any, **_: Any) -> Any:
            for number in range(30):
                on_message("log", (logging.WARNING, f"line {number}"))
            raise EngineError("R stopped")

    with caplog.at_level(logging.WARNING), pytest.raises(EngineError) as caught:
        calibrate_batch(batch(), log=LOG, pool=Speaking())
    assert str(caught.value).splitlines() == ["R stopped", "R's last lines:"] + [
        f"line {number}" for number in range(10, 30)
    ]
    assert len(caplog.records) == 30


def test_without_the_r_package_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.cache_clear()
    monkeypatch.setenv("VACAL_R_LIBRARY", str(tmp_path))
    try:
        with pytest.raises(EngineError, match="run script/bootstrap"):
            engine_versions()
    finally:
        settings.cache_clear()
