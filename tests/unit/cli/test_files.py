"""`vacal report`, `plot` and `export` with files that are missing, unreadable or cannot be written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.build_boundaries import made_up_boundaries
from support.build_results import PROVINCES, Case, build

from flows.cli.main import main
from flows.cli.results import PictureKind
from tasks.figures.draw import KINDS

MAPPING = """
org_unit: OuNampula01
period: 2023
algorithm: eava
verdicts: [publishable, with_caution, do_not_publish]
data_elements: {neonate: {pneumonia: {mean: DePneuMean1}}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    case = Case("run", columns={"province": PROVINCES[:3]}, algorithms=("eava",), roll_ups=([],))
    return build(tmp_path_factory.mktemp("store"), case).uri


@pytest.fixture
def vacal(run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Run a command on the made-up run, in a folder with files of all kinds; exit code and both outputs."""
    monkeypatch.chdir(tmp_path)
    Path("latin.file").write_bytes("Zambézia".encode("latin-1"))
    Path("folder").mkdir()
    Path("a-file").touch()
    Path("good.geojson").write_text(made_up_boundaries(PROVINCES[:3]), encoding="utf-8-sig")
    Path("good.yaml").write_text(MAPPING, encoding="utf-8-sig")

    def call(command: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vacal", command, run, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
            sys.exit(0)
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


READING = [
    ("report", "--boundaries"),
    ("plot", "map", "--boundaries"),
    ("export", "--format", "dhis2", "--mapping"),
]


@pytest.mark.parametrize("command", READING, ids=["report", "plot", "export"])
@pytest.mark.parametrize(
    ("file", "problem"),
    [("nowhere", "does not exist"), ("latin.file", "is not UTF-8 text"), ("folder", "Is a directory")],
)
def test_a_file_that_cannot_be_read_is_named_and_exits_2(vacal, command, file, problem):
    code, _, err = vacal(*command, file)
    assert code == 2
    assert f"{file}: {problem}" in err
    assert "Traceback" not in err


WRITING = [
    ("report", "--to", "a-file/report.html"),
    ("report", "--to", "folder"),
    ("plot", "records", "--to", "a-file"),
    ("export", "--format", "json", "--to", "a-file/run.json"),
    ("export", "--format", "excel", "--to", "folder"),
    ("export", "--format", "csv", "--to", "a-file"),
]


@pytest.mark.parametrize("command", WRITING, ids=map(" ".join, WRITING))
def test_a_file_that_cannot_be_written_is_named_and_exits_1(vacal, command):
    code, _, err = vacal(*command)
    assert code == 1
    assert err.startswith("error: ")
    assert command[-1] in err
    assert "Traceback" not in err


def test_files_with_a_byte_order_mark_are_read_and_missing_folders_are_made(vacal):
    assert vacal("plot", "map", "--boundaries", "good.geojson", "--to", "new/pictures")[0] == 0
    assert {path.suffix for path in Path("new/pictures").iterdir()} == {".svg", ".png"}
    code, out, err = vacal("export", "--format", "dhis2", "--mapping", "good.yaml", "--to", "new/dhis2.csv")
    assert (code, out) == (0, "new/dhis2.csv written\n"), err


def test_the_command_line_knows_every_kind_of_picture():
    assert PictureKind.__args__ == KINDS
