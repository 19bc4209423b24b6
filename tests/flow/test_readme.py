"""The README does what it says: its commands run, its code reads the results, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT
from typer.testing import CliRunner

from flows.cli.main import app
from tasks.errors import VacalError
from tasks.matrices.find import load_inventory
from tasks.request.model import load_request

README = (ROOT / "README.md").read_text(encoding="utf-8")
IN_CI = ("script/demo", "script/test")  # .ci/run itself runs these


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def _commands() -> Iterator[str]:
    for block in _blocks("sh"):
        for line in block.splitlines():
            if command := line.partition("#")[0].strip():
                yield command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, prefect_server: None) -> Path:
    """A folder in which the README's commands have been run, in their order."""
    try:
        load_inventory()
    except VacalError:
        pytest.skip("no inventory is at hand: set VACAL_INVENTORY")
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(ROOT / "examples", folder / "examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in _commands():
            if command.startswith("vacal "):
                done = CliRunner().invoke(app, shlex.split(command)[1:])
                healthy = (0, 1) if command == "vacal doctor" else (0,)  # the tests' server has no worker
                assert done.exit_code in healthy, f"{command}\n{done.output}"
    return folder


def test_every_command_is_one_that_is_run_by_a_test_or_by_ci() -> None:
    others = [c for c in _commands() if not c.startswith(("vacal ", "source ")) and c not in IN_CI]
    assert others == []
    ci = (ROOT / ".ci" / "run").read_text()
    assert all(command in ci for command in IN_CI)


def test_the_commands_end_in_results_with_a_report(folder: Path) -> None:
    (run,) = (folder / "results" / "runs").iterdir()
    assert {"manifest.json", "csmf.parquet", "records.parquet", "report-en.html"} <= {
        p.name for p in run.iterdir()
    }


def test_the_request_of_ones_own_is_valid(tmp_path: Path) -> None:
    (text,) = _blocks("yaml")
    (tmp_path / "request.yaml").write_text(text)
    assert load_request(tmp_path / "request.yaml").name == "my-district"


def test_the_python_that_reads_results_runs(folder: Path) -> None:
    (run,) = (folder / "results" / "runs").iterdir()
    code = next(block for block in _blocks("python") if "open_results" in block)
    code = code.replace("results/runs/<run>", str(run)).replace("results.csmf[[", "shown = results.csmf[[")
    names: dict[str, object] = {}
    exec(code, names)
    assert len(names["shown"]) > 0  # type: ignore[arg-type]


def test_the_sql_over_all_runs_runs(folder: Path) -> None:
    import duckdb

    (query,) = _blocks("sql")
    query = query.replace("results/csmf", f"{folder}/results/csmf")
    assert len(duckdb.sql(query).fetchall()) > 0


def test_the_python_that_calibrates_runs(folder: Path) -> None:
    code = next(block for block in _blocks("python") if "calibrate(" in block)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        names: dict[str, object] = {}
        exec(code, names)
    assert str(names["uri"]).startswith("results/runs/records-")


def test_every_link_leads_to_a_file() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    dead = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)\)?", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert dead == []


def test_every_script_that_the_readme_names_is_there_and_says_what_it_does() -> None:
    for name in set(re.findall(r"script/[a-z0-9-]+", README)):
        script = ROOT / name
        assert script.is_file(), name
        assert any(line.startswith(("#", '"""')) for line in script.read_text().splitlines()[1:3]), name


def test_the_command_line_starts_without_the_packages_of_the_tests() -> None:
    hidden = "import sys; sys.modules.update(dict.fromkeys(('pytest', 'hypothesis', 'polars', 'openpyxl')));"
    done = subprocess.run(
        [sys.executable, "-c", f"{hidden} import flows.cli.main, tasks.run.job, tasks.export.excel"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
