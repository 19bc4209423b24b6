"""The command line: what it prints, its exit codes, and that bad input leaves nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from support import ALL_MAY_BE_PUBLISHED

from flows.cli.main import main

GOOD = {
    "name": "small",
    "input": {
        "counts": {"eava": {"pneumonia": 40, "ipre": 60, "prematurity": 50, "sepsis_meningitis_inf": 70}}
    },
    "age_group": "neonate",
    "country": "Mozambique",
    "algorithms": ["eava"],
    "matrix": {"source": "illustrative"},
    "verdict_rules": ALL_MAY_BE_PUBLISHED,
}


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Vacal = Callable[..., Ended]


@pytest.fixture
def vacal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Vacal:
    """Run the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["vacal", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
            sys.exit(0)
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    return run


def _write(**changes: object) -> str:
    Path("request.yaml").write_text(yaml.safe_dump({**GOOD, **changes}))
    return "request.yaml"


def test_check_shows_the_causes_the_records_and_the_cost_and_writes_nothing(vacal: Vacal) -> None:
    counts = {"eava": {"Pneumonia ": 40, "intrapartum": 60, "Preterm": 50, "Unspecified": 9}}

    ended = vacal("check", _write(input={"counts": counts}))

    assert ended.code == 0, ended.err
    assert "Request small can be run." in ended.out
    assert "Illustrative, not for publication." in ended.out
    shown = " ".join(ended.out.split())
    assert "neonate intrapartum ipre mapped 60" in shown
    assert "eava excluded undetermined cause 9" in shown
    assert "1 stratum in 1 task" in shown
    assert shown.count("no ensemble") == 1
    assert [path.name for path in Path().iterdir()] == ["request.yaml"]


@pytest.mark.parametrize("command", ["check", "run"])
def test_bad_input_exits_2_with_every_problem_and_nothing_written(
    command: str, vacal: Vacal, prefect_server: None
) -> None:
    counts = {"eava": {"pneumonja": 40, "severe_malnutrition": 3, "ipre": 60}}

    ended = vacal(command, _write(input={"counts": counts}, output="store"))

    assert ended.code == 2
    problems = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(problems) == 2, ended.err
    assert any("'pneumonja'" in line and "pneumonia" in line for line in problems)
    assert any("'severe_malnutrition'" in line and "child" in line for line in problems)
    assert ended.err.rstrip().endswith("2 problems; nothing was computed or written.")
    assert [path.name for path in Path().iterdir()] == ["request.yaml"]


def test_a_request_with_unknown_and_missing_fields_is_told_all_of_them(vacal: Vacal) -> None:
    Path("request.yaml").write_text(
        "name: x\ninput: {counts: {eava: {ipre: 1}}}\ncolour: red\nalgorithms: [eava]\n"
    )

    ended = vacal("check", "request.yaml")

    assert ended.code == 2
    for field in ("colour", "age_group", "country"):
        assert f"error: request.yaml: {field}" in ended.err


def test_a_request_that_is_not_there_exits_2(vacal: Vacal) -> None:
    ended = vacal("check", "nowhere.yaml")

    assert ended.code == 2
    assert ended.err.startswith("error: nowhere.yaml: cannot be read (No such file or directory)")


def test_without_an_inventory_the_three_ways_to_get_one_are_said_and_the_exit_code_is_1(
    vacal: Vacal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tasks.settings import settings

    monkeypatch.delenv("VACAL_INVENTORY", raising=False)
    monkeypatch.setenv("VACAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("R_LIBS", str(tmp_path))
    settings.cache_clear()

    ended = vacal("check", _write(matrix={"source": "inventory"}))

    settings.cache_clear()
    assert ended.code == 1
    for way in ("vacal inventory fetch", "R package vacalibration", "VACAL_INVENTORY"):
        assert way in ended.err


@pytest.mark.r
def test_run_then_show_runs_list_diff_and_rm(vacal: Vacal, prefect_server: None) -> None:
    first = vacal("run", _write(output="store"))
    second = vacal("run", _write(output="store", seed=2))
    assert (first.code, second.code) == (0, 0), first.err + second.err
    runs = sorted(path.name for path in Path("store/runs").iterdir())

    assert "Sepsis, meningitis, infections" in vacal("show", f"store/runs/{runs[0]}").out
    listed = vacal("runs", "list", "--store", "store")
    assert all(run in listed.out for run in runs)
    compared = vacal("runs", "diff", *runs, "--store", "store")
    assert compared.code == 0
    assert "seed" in compared.out
    assert vacal("runs", "diff", *(f"store/runs/{run}" for run in runs)).out == compared.out
    by_id = (runs[0], "--store", "store")
    for command in (("show", *by_id), ("runs", "show", *by_id), ("runs", "show", f"store/runs/{runs[0]}")):
        assert "Sepsis, meningitis, infections" in vacal(*command).out
    assert vacal("report", *by_id).out == "report.html written\n"
    assert vacal("export", *by_id, "--to", "tables").code == 0
    assert "pictures/" in vacal("plot", runs[0], "csmf", "--store", "store").out
    ambiguous = vacal("report", "small", "--store", "store")
    assert (ambiguous.code, ambiguous.err.strip()) == (
        1,
        f"error: more than one run small in store; there are: {runs[0]}, {runs[1]}",
    )
    assert vacal("runs", "rm", f"store/runs/{runs[0]}", "--yes").code == 0
    assert vacal("runs", "rm", "./store", "--yes").code == 2  # a store, if only of one run, is no run
    assert [path.name for path in Path("store/runs").iterdir()] == runs[1:]


def test_causes_prints_the_map_of_an_age_group(vacal: Vacal) -> None:
    ended = vacal("causes", "neonate")

    assert "birth asphyxia" in ended.out
    assert "severe_malnutrition" not in ended.out
    assert vacal("causes", "adult").code == 2


def test_doctor_names_every_part_and_what_to_do_about_the_missing(vacal: Vacal) -> None:
    ended = vacal("doctor")

    for part in ("Python", "R package vacal", "inventory", "storage"):
        assert part in ended.out


def test_inventory_show_prints_a_matrix_whose_rows_are_percentages(vacal: Vacal) -> None:
    ended = vacal("inventory", "show", "neonate", "eava", "Mozambique", "--source", "illustrative")

    assert ended.code == 0
    assert "Illustrative, not for publication." in ended.out


def test_every_command_has_a_help_text_with_an_example(vacal: Vacal) -> None:
    from flows.cli.main import app

    described = [*app.registered_commands]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        described += group.typer_instance.registered_commands
    assert len(described) > 15
    for command in described:
        assert command.callback is not None
        text = command.callback.__doc__ or ""
        assert text.strip(), command.callback
