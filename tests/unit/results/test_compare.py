"""Two runs compared: what moved, by how much against its uncertainty, and why."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console
from support.made_run import description, places, tables

from flows.cli.tables import describe_comparison
from tasks.results.compare import compare
from tasks.results.store import Results, open_results
from tasks.results.write import publish

PLACES = places(["Gaza", "Tete"])


def stored(
    folder: Path, made: dict[str, pa.Table] | None = None, run: str = "moz-1", **changes: Any
) -> Results:
    parts = {name: [table] for name, table in (made or tables(PLACES)).items()}
    publish(str(folder / run), run, parts, description(**changes))
    return open_results(str(folder / run))


def moved(column: str, change: float, cause: str = "malaria", fit: str = "eava") -> dict[str, pa.Table]:
    """The made run with one estimate changed."""
    made = tables(PLACES)
    rows = made["csmf"].to_pylist()
    row = next(r for r in rows if r["cause"] == cause and r["algorithm"] == fit)
    row[column] += change
    return {**made, "csmf": pa.Table.from_pylist(rows, made["csmf"].schema)}


def verdict_of(before: Results, after: Results, cause: str = "malaria", fit: str = "eava") -> tuple[str, str]:
    estimates = compare(before, after).estimates
    row = estimates[(estimates["cause"] == cause) & (estimates["algorithm"] == fit)].iloc[0]
    return row["verdict"], row["why"]


def sd_and_error() -> tuple[float, float]:
    """Posterior sd and Monte-Carlo error of the estimate that `moved` changes."""
    row = next(r for r in tables(PLACES)["csmf"].to_pylist() if r["cause"] == "malaria")
    return row["sd"], row["sd"] / np.sqrt(3800) * np.sqrt(2)


def test_a_run_is_identical_to_itself(tmp_path: Path) -> None:
    one = stored(tmp_path)
    found = compare(one, one)
    assert found.verdicts == {"identical": len(one.csmf)}
    assert found.differences == ()
    assert set(found.estimates["why"]) == {""}


@pytest.mark.parametrize(("errors", "verdict"), [(3.9, "noise"), (4.1, "small")])
def test_a_change_within_four_monte_carlo_errors_is_noise(
    tmp_path: Path, errors: float, verdict: str
) -> None:
    after = stored(
        tmp_path, moved("mean", errors * sd_and_error()[1]), "moz-2", request={"seed": 2, "draws": 50}
    )
    assert verdict_of(stored(tmp_path, request={"seed": 1, "draws": 50}), after) == (verdict, "seed")


@pytest.mark.parametrize(("sds", "verdict"), [(0.99, "small"), (-1.01, "large")])
def test_a_change_from_one_posterior_sd_on_is_large(tmp_path: Path, sds: float, verdict: str) -> None:
    after = stored(tmp_path, moved("mean", sds * sd_and_error()[0]), "moz-2")
    assert verdict_of(stored(tmp_path), after)[0] == verdict


def test_a_change_that_nothing_explains_is_called_unexplained(tmp_path: Path) -> None:
    assert verdict_of(stored(tmp_path), stored(tmp_path, moved("mean", 0.01), "moz-2"))[1] == "unexplained"


def test_new_data_explain_only_where_counts_changed(tmp_path: Path) -> None:
    made = moved("deaths", 1)
    estimates = made["csmf"].to_pylist()
    for row in estimates:
        row["mean"] += 0.001
    made["csmf"] = pa.Table.from_pylist(estimates, made["csmf"].schema)
    after = stored(tmp_path, made, "moz-2", input={"checksum": "b" * 64, "sources": []})
    before = stored(tmp_path)
    assert verdict_of(before, after)[1] == "data"
    assert verdict_of(before, after, cause="pneumonia")[1] == "data"  # the same fit
    assert verdict_of(before, after, fit="insilicova")[1] == "unexplained"


@pytest.mark.parametrize(
    ("changes", "kind", "what"),
    [
        ({"input": {"checksum": "b" * 64}}, "data", "input"),
        ({"request": {"draws": 50, "unmapped_causes": "exclude"}}, "mapping", "unmapped_causes"),
        ({"request": {"draws": 50, "columns": {"cause": "cause2"}}}, "mapping", "columns"),
        ({"request": {"draws": 60}}, "options", "draws"),
        ({"request": {"draws": 50, "seed": 2}}, "seed", "seed"),
        ({"inventory": {"id": "CCVA_missmat", "version": "2.3", "checksum": "0c24"}}, "inventory", "version"),
        ({"versions": {"vacal": "0.2.0"}}, "engine", "vacal"),
        ({"versions": {"vacal": "0.1.0", "pyarrow": "27"}}, "software", "pyarrow"),
    ],
)
def test_each_kind_of_difference_is_named(
    tmp_path: Path, changes: dict[str, Any], kind: str, what: str
) -> None:
    before = stored(tmp_path, request={"draws": 50})
    after = stored(tmp_path, run="moz-2", **{"request": {"draws": 50}, **changes})
    (difference,) = compare(before, after).differences
    assert (difference.kind, difference.what) == (kind, what)


def test_names_places_and_chunking_are_no_difference(tmp_path: Path) -> None:
    request = {"name": "other", "output": "elsewhere", "chunk_strata": 3, "input": {"uri": "b.csv"}}
    after = stored(tmp_path, run="moz-2", request={"draws": 50, **request})
    assert (
        compare(stored(tmp_path, request={"draws": 50, "input": {"uri": "a.csv"}}), after).differences == ()
    )


def test_estimates_of_one_run_only_appear_or_vanish(tmp_path: Path) -> None:
    before, after = stored(tmp_path, tables(PLACES[:1])), stored(tmp_path, tables(PLACES[1:]), "moz-2")
    found = compare(before, after)
    assert found.verdicts == {"vanished": len(before.csmf), "appeared": len(after.csmf)}


def test_a_cause_that_is_no_longer_calibrated_is_a_change_of_status(tmp_path: Path) -> None:
    made = tables(PLACES)
    rows = made["csmf"].to_pylist()
    rows[0].update(status="passed_through", sd=None, q025=None, q975=None)
    after = stored(tmp_path, {**made, "csmf": pa.Table.from_pylist(rows, made["csmf"].schema)}, "moz-2")
    assert verdict_of(stored(tmp_path), after)[0] == "status_changed"


def test_a_cause_without_an_interval_that_moves_is_large_and_not_noise(tmp_path: Path) -> None:
    after = stored(tmp_path, moved("mean", 0.001, cause="other"), "moz-2")
    assert verdict_of(stored(tmp_path), after, cause="other")[0] == "large"


def test_the_printed_comparison_says_why_and_shows_the_largest_moves(tmp_path: Path) -> None:
    after = stored(tmp_path, moved("mean", 0.1), "moz-2", versions={"vacal": "0.2.0"})
    console = Console(file=io.StringIO(), width=200)
    console.print(describe_comparison(compare(stored(tmp_path), after)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "moz-1 -> moz-2" in text
    shown = [line.split() for line in text.splitlines()]
    assert ["engine", "vacal", "0.1.0", "0.2.0"] in shown
    assert any(line[:1] == ["large"] and line[-1] == "1" for line in shown)
    assert all(shown in text for shown in ("Malaria: large (engine)", "55.3", "65.3", "+10.00"))
    assert "The 1 that moved most, of 1: Children (1–59 months), Mozambique, Gaza, 2023" in text


def test_the_printed_comparison_cuts_nothing_off_in_a_terminal_of_80_columns(tmp_path: Path) -> None:
    after = stored(tmp_path, moved("mean", 0.1), "moz-2", input={"checksum": "b" * 64})
    console = Console(file=io.StringIO(), width=80)
    console.print(describe_comparison(compare(stored(tmp_path), after)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert all(shown in text for shown in ("before %", "after %", "55.3", "65.3", "+10.00"))
    assert max(map(len, text.splitlines())) <= 80


def test_a_comparison_in_which_nothing_moved_says_how_far_the_farthest_was_from_that(tmp_path: Path) -> None:
    error = sd_and_error()[1]
    after = stored(tmp_path, moved("mean", -error), "moz-2", request={"seed": 2, "draws": 50})
    console = Console(file=io.StringIO(), width=300)
    console.print(describe_comparison(compare(stored(tmp_path, request={"seed": 1, "draws": 50}), after)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "None moved beyond noise" in text
    assert (
        f"{-100 * error:.2f} percentage points, with a sampling error of {100 * error:.2f} (Malaria" in text
    )


def test_new_input_is_told_with_the_records_that_it_changed(tmp_path: Path) -> None:
    after = stored(tmp_path, run="moz-2", input={"checksum": "b" * 64}, records={"used": 8, "excluded": 2})
    before = stored(tmp_path, records={"used": 7, "excluded": 2})
    told = [(d.kind, d.what, d.before, d.after) for d in compare(before, after).differences]
    assert ("data", "records used", 7, 8) in told
    assert not any(what == "records excluded" for _, what, _, _ in told)
