"""What a request may name where the installation lists it, and what a refusal tells of a file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ingest_made import fields

from tasks.errors import VacalError
from tasks.request import parse_request
from tasks.roots import require_allowed
from tasks.run import prepare
from tasks.service import remove_expired_inputs, remove_expired_runs
from tasks.settings import settings

SECRETS = ("root:x:0:0:root:/root:/bin/bash", "alice:x:1000:1000:Alice,Room 7,,:/home/alice:/bin/zsh")
PASSWORDS = "\n".join([*SECRETS, "bob:x:1001:1001:Bob,,,:/home/bob:/bin/sh"]) + "\n"
DEATHS = "ID,cause,province\n1,ipre,Tete\n2,prematurity,Gaza\n"

Naming = Callable[[Path, str], dict[str, Any]]
NAMINGS: dict[str, Naming] = {
    "records": lambda inbox, path: {"input": {"uri": path, "format": "csv"}},
    "records, first line as the column": lambda inbox, path: {
        "input": {"uri": path, "format": "csv"},
        "columns": {"cause": SECRETS[0], "id": SECRETS[0]},
    },
    "counts": lambda inbox, path: {"input": {"uri": path, "format": "csv", "layout": "counts"}},
    "0/1 matrix": lambda inbox, path: {"input": {"uri": path, "format": "csv", "layout": "matrix"}},
    "matrices": lambda inbox, path: _of(inbox, matrix={"source": path}),
    "weights": lambda inbox, path: _of(inbox, roll_ups=[[]], roll_up_weights=path),
    "boundaries": lambda inbox, path: _of(inbox, boundaries=path),
}


def _of(inbox: Path, **changes: Any) -> dict[str, Any]:
    own = {"input": {"uri": f"{inbox}/deaths.csv"}, "columns": {"strata": ["province"]}}
    return {"matrix": {"source": "illustrative"}, **own, **changes}


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder of inputs beside one with secrets under every ending; a link leads from it to them."""
    inbox, outside = tmp_path / "inbox", tmp_path / "outside"
    inbox.mkdir()
    outside.mkdir()
    (inbox / "deaths.csv").write_text(DEATHS)
    for name in ("passwd", "passwd.csv", "passwd.json", "passwd.parquet"):
        (outside / name).write_text(PASSWORDS)
    (inbox / "link.csv").symlink_to(outside / "passwd.csv")
    (inbox / "folder").symlink_to(outside)
    return inbox


@pytest.fixture
def restricted(inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("VACAL_INPUT_ROOTS", f"{inbox}, s3://bucket/inbox")
    monkeypatch.setenv("VACAL_OUTPUT_ROOTS", f"{tmp_path}/store,s3://bucket/store")
    settings.cache_clear()
    yield
    settings.cache_clear()


def refusal(tmp_path: Path, **changes: Any) -> str:
    own = {"matrix": {"source": "illustrative"}, "output": f"{tmp_path}/store"}
    request = parse_request(fields(**{**own, **changes}))
    with pytest.raises(VacalError) as raised:
        prepare(request)
    return str(raised.value)


@pytest.mark.usefixtures("restricted")
@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize(
    "path",
    [
        "{outside}/passwd.csv",
        "{inbox}/../outside/passwd.csv",
        "{inbox}/link.csv",
        "{inbox}/folder/passwd.csv",
    ],
)
def test_no_file_outside_the_roots_is_read_whatever_names_it(
    naming: str, path: str, inbox: Path, tmp_path: Path
) -> None:
    address = path.format(outside=tmp_path / "outside", inbox=inbox)
    text = refusal(tmp_path, **NAMINGS[naming](inbox, address))
    assert "VACAL_INPUT_ROOTS" in text
    assert not any(part in text for part in ("alice", "bob", "Alice", "zsh"))


@pytest.mark.usefixtures("restricted")
@pytest.mark.parametrize(
    "pattern", ["{outside}/*", "{inbox}/*/../outside/*", "{inbox}/*.csv", "{inbox}", "{outside}"]
)
def test_a_folder_or_pattern_that_leads_outside_lists_nothing(
    pattern: str, inbox: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside" / "secret-name.csv").write_text(DEATHS)
    (inbox / "other.csv").symlink_to(tmp_path / "outside" / "secret-name.csv")
    text = refusal(tmp_path, input={"uri": pattern.format(outside=tmp_path / "outside", inbox=inbox)})
    assert "VACAL_INPUT_ROOTS" in text
    assert "secret-name" not in text


@pytest.mark.usefixtures("restricted")
@pytest.mark.parametrize(
    "output", ["{tmp}/elsewhere", "{tmp}/store/../elsewhere", "{tmp}/store2", "s3://bucket/store2"]
)
def test_no_result_goes_outside_the_roots(output: str, inbox: Path, tmp_path: Path) -> None:
    text = refusal(tmp_path, **_of(inbox, output=output.format(tmp=tmp_path)))
    assert "VACAL_OUTPUT_ROOTS" in text
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.usefixtures("restricted")
def test_upkeep_removes_nothing_outside_the_roots(tmp_path: Path) -> None:
    from datetime import timedelta

    for remove in (remove_expired_inputs, remove_expired_runs):
        with pytest.raises(VacalError, match="_ROOTS"):
            remove(str(tmp_path / "outside"), timedelta(0))
    assert len(list((tmp_path / "outside").iterdir())) == 4


@pytest.mark.usefixtures("restricted")
@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("s3://bucket/inbox/deaths.csv", True),
        ("s3://bucket//inbox//deaths.csv", True),
        ("s3://bucket/inbox2/deaths.csv", False),
        ("s3://bucket/inbox/../secret.csv", False),
        ("s3://other/inbox/deaths.csv", False),
    ],
)
def test_prefixes_of_a_bucket_are_compared_part_by_part(address: str, allowed: bool) -> None:
    if allowed:
        require_allowed(address, "input")
    else:
        with pytest.raises(VacalError):
            require_allowed(address, "input")


@pytest.mark.usefixtures("restricted")
def test_what_is_inside_the_roots_can_be_run(inbox: Path, tmp_path: Path) -> None:
    job = prepare(parse_request(fields(**_of(inbox), output=f"{tmp_path}/store")))
    assert job.tabulation.strata.num_rows == 2


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("name", ["passwd.csv", "passwd.json", "passwd.parquet", "passwd"])
def test_without_roots_nothing_is_read_back_of_a_file_that_is_no_table(
    naming: str, name: str, inbox: Path, tmp_path: Path
) -> None:
    text = refusal(tmp_path, **NAMINGS[naming](inbox, os.fspath(tmp_path / "outside" / name)))
    assert not any(part in text for part in ("alice", "bob", "Alice", "zsh", "/root"))


def test_a_cause_map_is_no_file(inbox: Path, tmp_path: Path) -> None:
    for field in ("study_cause_map", "cause_labels"):
        with pytest.raises(VacalError) as raised:
            parse_request(fields(**{field: str(tmp_path / "outside" / "passwd")}))
        assert "must be a map" in str(raised.value)


def test_names_of_a_boundary_file_are_shown_shortened(inbox: Path, tmp_path: Path) -> None:
    ring = [[0, 0], [1, 0], [1, 1], [0, 0]]
    feature = {"properties": {"name": "x" * 500}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (tmp_path / "areas.json").write_text(json.dumps({"features": [feature]}))
    text = refusal(tmp_path, **_of(inbox, boundaries=str(tmp_path / "areas.json")))
    assert "x" * 60 in text
    assert "x" * 61 not in text
