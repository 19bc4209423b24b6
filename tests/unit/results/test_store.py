"""The results store in a local folder: what is written, what is read, what is recognised."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT
from support.made_run import description, places, tables

from tasks.errors import StateError, StorageError
from tasks.results import parquet, schema, store, write
from tasks.results.write import DamagedChunkError
from tasks.storage import Storage

RUN = "moz-0123456789ab"
OPTIONS: dict[str, Any] = {
    "name": "moz",
    "input": {"uri": "here.csv", "format": "csv", "layout": "records"},
    "matrix": {"type": "prior", "source": "inventory"},
    "draws": 4000,
    "output": "results",
    "chunk_strata": None,
}
INVENTORY = {"id": "CCVA_missmat", "version": "2.2", "checksum": "0c24"}


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "results")


def publish(
    root: str, run: str = RUN, made: dict[str, pa.Table] | None = None, **changes: Any
) -> store.Manifest:
    made = made or tables(
        places(["Gaza", "Tete"]), constants={"run": run, "name": changes.get("name", "moz")}
    )
    return write.publish(root, run, {name: [table] for name, table in made.items()}, description(**changes))


def everything(root: str) -> dict[str, bytes]:
    """All files but the timings."""
    base = Path(root)
    files = (path for path in base.rglob("*") if path.is_file() and path.name != "timings.json")
    return {str(path.relative_to(base)): path.read_bytes() for path in files}


def run_id(
    options: dict[str, Any], checksum: str = "a", version: str = "1", inventory: Any = INVENTORY
) -> str:
    return write.run_id(options["name"], options, checksum, {"vacal": version}, inventory)


# --- which run it is ---


def test_a_run_is_recognised_whatever_its_files_are_called_and_wherever_it_is_written() -> None:
    moved = {
        **OPTIONS,
        "output": "s3://elsewhere",
        "chunk_strata": 7,
        "input": {**OPTIONS["input"], "uri": "b.csv"},
    }
    assert run_id(moved) == run_id(OPTIONS)
    assert run_id(OPTIONS).startswith("moz-") and len(run_id(OPTIONS)) == len("moz-") + 12


@pytest.mark.parametrize(
    "other",
    [
        {"options": {**OPTIONS, "draws": 2000}},
        {"options": {**OPTIONS, "matrix": {"type": "fixed", "source": "inventory"}}},
        {"options": {**OPTIONS, "roll_up_weights_checksum": "b"}},
        {"options": OPTIONS, "checksum": "b"},
        {"options": OPTIONS, "version": "2"},
        {"options": OPTIONS, "inventory": {**INVENTORY, "checksum": "ff"}},
    ],
)
def test_whatever_changes_results_makes_another_run(other: dict[str, Any]) -> None:
    assert run_id(**other) != run_id(OPTIONS)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists, max_leaves=5)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_the_order_of_options_does_not_matter(options: dict[str, Any]) -> None:
    given_ = {**options, "name": "moz", "input": {}, "matrix": {}}
    turned = dict(reversed(given_.items()))
    assert run_id(given_) == run_id(turned)


# --- bytes ---


@st.composite
def dealt(draw: st.DrawFn, rows: int) -> list[int]:
    return sorted(draw(st.lists(st.integers(0, rows), max_size=4)))


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(["csmf", "draws", "matrices"]))
def test_the_bytes_of_a_table_do_not_depend_on_how_its_rows_were_dealt(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    table = TABLES[name]
    cuts = [0, *data.draw(dealt(table.num_rows)), table.num_rows]
    parts = [table.slice(a, b - a) for a, b in pairwise(cuts)]
    # through a chunk's file, as in a run
    parts = [parquet.from_bytes(parquet.to_bytes(part)) for part in parts]

    def written(tables: Iterator[pa.Table] | list[pa.Table], path: Path) -> bytes:
        parquet.write(path, parquet.long_draws(tables) if name == "draws" else tables)
        return path.read_bytes()

    assert written(parts, folder / "parts") == written([table], folder / "whole")


TABLES = tables(places(["Gaza", "Tete", "Sofala"]), draws=7)


def test_row_groups_have_one_size_however_rows_are_dealt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 5)
    table = TABLES["csmf"]
    for number, size in enumerate((1, 4, 5, 11, 100)):
        parts = [table.slice(start, size) for start in range(0, table.num_rows, size)]
        parquet.write(tmp_path / str(number), parts)
    assert len({(tmp_path / str(number)).read_bytes() for number in range(5)}) == 1


def test_no_time_machine_or_arrow_schema_is_in_a_file(tmp_path: Path) -> None:
    parquet.write(tmp_path / "t.parquet", [TABLES["csmf"]])
    metadata = pa.parquet.ParquetFile(tmp_path / "t.parquet").metadata
    assert metadata.metadata is None
    assert metadata.created_by.startswith("parquet-cpp-arrow version")


def test_publishing_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    for place in ("one", "two"):
        publish(str(tmp_path / place))
    assert everything(str(tmp_path / "one")) == everything(str(tmp_path / "two"))


# --- work in progress ---


def test_a_finished_chunk_comes_back_as_it_was(root: str) -> None:
    write.put_chunk(root, RUN, "one", TABLES)
    assert write.finished_chunks(root, RUN) == {"one"}
    for name, table in TABLES.items():
        back = write.read_chunk(root, RUN, "one", name)
        assert back.equals(table) and back.schema.equals(table.schema)


def test_a_chunk_without_its_last_file_is_not_finished(root: str) -> None:
    write.put_chunk(root, RUN, "one", TABLES)
    (Path(root) / "work" / RUN / "one" / write._DONE).unlink()
    assert write.finished_chunks(root, RUN) == set()


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF if how == "changed" else 0
    path.write_bytes(data[:-20] if how == "cut" else data)
    if how == "gone":
        path.unlink()


@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_a_damaged_chunk_is_no_finished_one(root: str, how: str) -> None:
    for chunk in ("one", "two"):
        write.put_chunk(root, RUN, chunk, TABLES)
    damage(Path(root) / "work" / RUN / "one" / "draws", how)
    assert write.finished_chunks(root, RUN, among=["two", "three"]) == {"two"}
    assert write.finished_chunks(root, RUN) == {"two"}
    write.put_chunk(root, RUN, "one", TABLES)
    assert write.finished_chunks(root, RUN) == {"one", "two"}


@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_a_chunk_damaged_after_it_was_found_whole_is_an_error_and_will_be_redone(root: str, how: str) -> None:
    write.put_chunk(root, RUN, "one", TABLES)
    damage(Path(root) / "work" / RUN / "one" / "draws", how)
    what = "missing" if how == "gone" else "damaged"
    with pytest.raises(DamagedChunkError, match=f"table draws is {what}; run again: it resumes"):
        write.read_chunk(root, RUN, "one", "draws")
    assert not (Path(root) / "work" / RUN / "one" / write._DONE).exists()


@pytest.mark.parametrize("clean", [False, True])
def test_chunks_that_are_half_removed_are_not_finished(
    root: str, monkeypatch: pytest.MonkeyPatch, clean: bool
) -> None:
    """Whichever removal is the last one before the machine dies."""
    late = datetime.now(UTC) + timedelta(days=8)
    seen_finished = False
    for last in range(2 * (len(TABLES) + 1)):
        for chunk in ("one", "two"):
            write.put_chunk(root, RUN, chunk, TABLES)
        with monkeypatch.context() as patch, pytest.raises(Died):
            dies_at(patch, last)
            if clean:
                write.clean_work(root, timedelta(days=7), now=late)
            write.remove_work(root, RUN)
        folders = {chunk: Path(root) / "work" / RUN / chunk for chunk in ("one", "two")}
        finished = {chunk for chunk, folder in folders.items() if (folder / write._DONE).exists()}
        assert all(len(list(folders[chunk].iterdir())) == len(TABLES) + 1 for chunk in finished)
        seen_finished |= bool(finished)
    assert seen_finished


class Died(BaseException):
    """What a killed process cannot do either: nothing catches it."""


def dies_at(patch: pytest.MonkeyPatch, last: int, error: BaseException | None = None) -> None:
    """The store's process dies before the change number `last`, counted from 0, to what it holds."""
    changes = count()

    def dying(change: Any) -> Any:
        def one(*args: Any, **kwargs: Any) -> Any:
            if next(changes) == last:
                raise error or Died
            return change(*args, **kwargs)

        return one

    for name in ("write", "upload", "copy", "remove"):
        patch.setattr(Storage, name, dying(getattr(Storage, name)))


def test_clean_up_removes_what_nobody_touched_for_long_and_nothing_else(root: str) -> None:
    write.put_chunk(root, "moz-killed", "one", TABLES)
    (Path(root) / "runs" / "moz-half").mkdir(parents=True)
    (Path(root) / "runs" / "moz-half" / "csmf.parquet").write_bytes(b"PAR1")
    publish(root)
    whole = everything(f"{root}/runs/{RUN}")
    assert write.clean_work(root, timedelta(days=7)) == []
    late = datetime.now(UTC) + timedelta(days=8)
    assert write.clean_work(root, timedelta(days=7), now=late) == ["moz-half", "moz-killed"]
    assert everything(f"{root}/runs/{RUN}") == whole
    assert not (Path(root) / "work").exists()


# --- publication ---


def test_a_published_run_reads_back_as_it_was_written(root: str) -> None:
    manifest = publish(root)
    results = store.open_results(root)
    assert results.manifest == manifest
    expected = tables(places(["Gaza", "Tete"]), constants={"run": RUN})
    for name in ("csmf", "strata", "records", "matrices"):
        assert results.table(name).to_pydict() == expected[name].to_pydict()
    assert list(results.draws.columns) == schema.schema("draws", ["province", "year"]).names
    assert len(results.draws) == expected["draws"].num_rows * 50
    assert results.draws["draw"].max() == 50


def test_the_manifest_names_every_file_with_checksum_size_and_rows(root: str) -> None:
    manifest = publish(root)
    assert set(manifest) == {"schema_version", "run", "files", *write.DESCRIPTION}
    folder = Path(root) / "runs" / RUN
    names = {file["path"] for file in manifest["files"]}
    assert names == {path.name for path in folder.iterdir()} - {"manifest.json", "timings.json"}
    for file in manifest["files"]:
        assert (folder / file["path"]).stat().st_size == file["bytes"]
        assert pa.parquet.read_metadata(folder / file["path"]).num_rows == file["rows"]


def test_an_unwritable_description_is_refused_before_anything_is_written(root: str) -> None:
    with pytest.raises(ValueError, match="lacks \\['seed'\\]"):
        write.publish(root, RUN, {}, {k: v for k, v in description().items() if k != "seed"})
    assert not Path(root).exists()


def test_a_table_that_fails_half_way_leaves_nothing_behind(root: str) -> None:
    def failing() -> Iterator[pa.Table]:
        yield TABLES["csmf"]
        raise StorageError("the chunk is gone")

    with pytest.raises(StorageError, match="the chunk is gone"):
        write.publish(root, RUN, {"records": [TABLES["records"]], "csmf": failing()}, description())
    assert not Path(root).exists()


def test_a_publication_without_its_dataset_file_is_repaired(root: str) -> None:
    publish(root)
    before = everything(root)
    (Path(root) / "csmf" / "name=moz" / f"run={RUN}" / "csmf.parquet").unlink()
    write.repair_run(root, RUN)
    assert everything(root) == before


def test_other_content_under_a_run_id_is_refused_unless_it_shall_replace(root: str) -> None:
    publish(root)
    other = tables(places(["Gaza"]), constants={"run": RUN})
    with pytest.raises(
        StateError, match=r"with other content \(csmf.parquet, draws.parquet.*remove it first"
    ):
        publish(root, made=other)
    parts = {name: [table] for name, table in other.items()}
    manifest = write.publish(root, RUN, parts, description(), replace=True)
    assert store.open_results(root).manifest == manifest
    assert set(store.open_results(root).csmf["province"]) == {"Gaza"}
    assert set(pd.read_parquet(f"{root}/csmf")["stratum"]) == {places(["Gaza"])[0]["stratum"]}


TWO_PLACES = tables(places(["Gaza", "Tete"]), constants={"run": RUN})
OLD_OR_NEW = ({"Gaza", "Tete"}, {"Sofala"})


@pytest.mark.slow
@pytest.mark.parametrize("error", [Died(), StorageError("the disk is full")], ids=["killed", "disk full"])
def test_a_replacement_that_ends_anywhere_leaves_the_old_run_or_the_new_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """And the next call finishes it: the bytes are those of a store that never held the old run."""
    made = tables(places(["Sofala"]), constants={"run": RUN})
    new = {name: [made[name]] for name in ("csmf", "records")}
    old = {name: TWO_PLACES[name] for name in new}
    write.publish(str(tmp_path / "alone"), RUN, new, description(), replace=True)
    expected, seen = everything(str(tmp_path / "alone")), list[set[str]]()
    late = datetime.now(UTC) + timedelta(days=8)
    for last in count():
        root = str(tmp_path / str(last))
        publish(root, made=old)
        (Path(root) / "runs" / RUN / "report-en.html").write_text("of the old run")
        write.put_chunk(root, RUN, "one", old)
        try:
            with monkeypatch.context() as patch:
                dies_at(patch, last, error)
                write.publish(root, RUN, new, description(), replace=True)
        except type(error):
            ended = False
        else:
            ended = True
        results = store.open_results(root)
        for file in results.manifest["files"]:
            assert results.table(file["path"].removesuffix(".parquet")).num_rows == file["rows"]
        seen.append(set(results.csmf["province"]))
        in_dataset = {json.loads(text)["province"] for text in pd.read_parquet(f"{root}/csmf")["strata"]}
        assert in_dataset in OLD_OR_NEW and seen[-1] in OLD_OR_NEW
        assert write.finished_chunks(root, RUN) == {"one"}
        if seen[-1] == {"Sofala"}:
            write.repair_run(root, RUN)
        else:
            write.publish(root, RUN, new, description(), replace=True)
        write.clean_work(root, timedelta(days=7), now=late)
        assert everything(root) == expected
        if ended:
            break
    assert all(content in seen for content in OLD_OR_NEW)


def test_a_failed_run_without_estimates_can_be_published(root: str) -> None:
    made = {name: table.slice(0, 0) if name == "csmf" else table for name, table in TABLES.items()}
    publish(root, made=made, status="failed")
    assert store.open_results(root).csmf.empty
    assert len(pd.read_parquet(f"{root}/csmf")) == 0


def test_removing_a_run_removes_all_of_it_and_no_other(root: str) -> None:
    publish(root, "moz-1")
    alone = everything(root)
    publish(root, "moz-2")
    write.put_chunk(root, "moz-2", "one", TABLES)
    write.remove_run(root, "moz-2")
    assert everything(root) == alone
    with pytest.raises(StateError, match="there is no run moz-2"):
        write.remove_run(root, "moz-2")


# --- reading ---


def test_runs_are_listed_by_their_manifests(root: str) -> None:
    assert store.list_runs(root) == []
    publish(root, "moz-2")
    publish(root, "moz-1")
    (Path(root) / "runs" / "moz-0").mkdir()
    assert [manifest["run"] for manifest in store.list_runs(root)] == ["moz-1", "moz-2"]


def test_results_open_by_folder_store_id_or_name(root: str) -> None:
    publish(root, "moz-1")
    for uri, run in (
        (f"{root}/runs/moz-1", None),
        (root, None),
        (root, "moz-1"),
        (root, "moz"),
        (f"{root}/", None),
    ):
        assert store.open_results(uri, run).manifest["run"] == "moz-1"
    publish(root, "moz-2")
    with pytest.raises(StateError, match=f"more than one run moz in {root}; there are: moz-1, moz-2"):
        store.open_results(root, "moz")
    with pytest.raises(StateError, match=f"no finished run ken in {root}; there are: moz-1, moz-2"):
        store.open_results(root, "ken")
    with pytest.raises(StateError, match=f"no finished run in {root}/nothing; there are: none"):
        store.open_results(str(Path(root) / "nothing"))


def test_a_run_is_found_by_what_a_user_calls_it(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(root, "moz-1")
    monkeypatch.chdir(Path(root).parent)
    (Path("moz")).mkdir()  # an export, say: the store's run of that name comes first
    for named in ("moz-1", "moz", f"{root}/runs/moz-1", f"{Path(root).name}/runs/moz-1/"):
        found = store.find_results(named, root)
        assert (Path(found.root), found.manifest["run"]) == (Path(root), "moz-1")
    with pytest.raises(StateError, match=f"no finished run ken in {root}; there are: moz-1"):
        store.find_results("ken", root)
    with pytest.raises(StateError, match="no finished run in runs/ken; there are: none"):
        store.find_results("runs/ken", root)
    monkeypatch.chdir(Path(root) / "runs")
    for named in ("moz-1", "moz-1/", "./moz-1"):
        assert store.find_results(named, "elsewhere").manifest["run"] == "moz-1"


def test_a_store_in_a_folder_named_runs_is_opened(tmp_path: Path) -> None:
    publish(str(tmp_path / "runs" / "national"))
    assert store.open_results(str(tmp_path / "runs" / "national")).manifest["run"] == RUN


def test_a_table_that_the_run_has_not_is_an_error_that_names_those_it_has(root: str) -> None:
    publish(root, made={"csmf": TABLES["csmf"]})
    with pytest.raises(StateError, match=r"no table draws; it has: csmf\.parquet"):
        _ = store.open_results(root).draws


def test_a_file_that_is_not_the_one_of_the_manifest_is_refused(root: str) -> None:
    publish(root)
    parquet.write(Path(root) / "runs" / RUN / "csmf.parquet", [TABLES["csmf"].slice(1)])
    with pytest.raises(StorageError, match="not the one that the manifest names"):
        _ = store.open_results(root).csmf


def test_a_run_removed_while_it_is_read_is_said_to_be_removed(root: str) -> None:
    publish(root)
    results = store.open_results(root)
    write.remove_run(root, RUN)
    with pytest.raises(StateError, match="removed or replaced while it was read"):
        _ = results.csmf


def test_manifests_of_a_later_schema_and_foreign_files_are_refused(root: str) -> None:
    path = Path(root) / "runs" / RUN / "manifest.json"
    manifest = publish(root)
    path.write_text(json.dumps({**manifest, "schema_version": schema.SCHEMA_VERSION + 1}))
    with pytest.raises(StateError, match="newer version"):
        store.find_run(root, RUN)
    path.write_text("[]")
    with pytest.raises(StorageError, match="no manifest of a run"):
        store.find_run(root, RUN)


@pytest.fixture
def runs_of_two_kinds(root: str) -> str:
    """Two runs with digits as names, with and without strata columns: what confuses readers of folders."""
    publish(root, "2023-a", name="2023")
    whole = [{key: place[key] for key in ("stratum", "age_group", "country")} for place in places(["Gaza"])]
    made = tables(whole, constants={"run": "2024-b", "name": "2024"}, strata_columns=[])
    publish(root, "2024-b", made=made, name="2024")
    write.put_chunk(root, "2024-c", "one", TABLES)
    return root


@pytest.mark.parametrize(
    "read",
    [
        lambda root: pd.read_parquet(f"{root}/csmf"),
        lambda root: pl.read_parquet(f"{root}/csmf/").to_pandas(),
        lambda root: ds.dataset(f"{root}/csmf", partitioning="hive").to_table().to_pandas(),
        lambda root: duckdb.sql(f"from '{root}/csmf/**/*.parquet'").df(),
    ],
    ids=["pandas", "polars", "pyarrow", "duckdb"],
)
def test_all_runs_are_one_table_for_every_reader(runs_of_two_kinds: str, read: Any) -> None:
    frame = read(runs_of_two_kinds)
    expected = pd.concat([store.open_results(runs_of_two_kinds, run).csmf for run in ("2023-a", "2024-b")])
    assert sorted(frame["run"].astype(str)) == sorted(expected["run"])
    assert sorted(frame["name"].astype(str)) == sorted(expected["name"])
    assert sorted(frame["mean"]) == sorted(expected["mean"])
    places_ = {json.loads(text).get("province") for text in frame["strata"]}
    assert places_ == {"Gaza", "Tete", None}


def test_readers_prune_the_dataset_by_run(runs_of_two_kinds: str) -> None:
    one = pd.read_parquet(f"{runs_of_two_kinds}/csmf", filters=[("run", "==", "2024-b")])
    assert set(one["run"].astype(str)) == {"2024-b"}
    plan = duckdb.sql(
        f"explain analyze select * from '{runs_of_two_kinds}/csmf/**/*.parquet' where run = '2024-b'"
    ).fetchall()[0][1]
    assert "1/2" in plan


@pytest.mark.parametrize("name", ["csmf", "strata", "records", "matrices", "draws"])
def test_each_table_reads_alike_in_pandas_polars_and_duckdb(root: str, name: str) -> None:
    publish(root)
    path = f"{root}/runs/{RUN}/{name}.parquet"
    expected = store.open_results(root).table(name)
    assert pl.read_parquet(path).to_arrow().cast(expected.schema).to_pydict() == expected.to_pydict()
    assert duckdb.sql(f"from '{path}'").fetchall() == [tuple(row.values()) for row in expected.to_pylist()]
    pd.testing.assert_frame_equal(pd.read_parquet(path), expected.to_pandas())


DOCS = ROOT / "docs" / "outputs.md"


def documented(language: str, root: str) -> str:
    """The examples in that language from docs/outputs.md, for this store."""
    examples = [part.split("```")[0] for part in DOCS.read_text().split(f"```{language}\n")[1:]]
    text = "\n".join(examples).replace("'demo'", "'moz'").replace('"demo"', '"moz"')
    return text.replace("'results/", f"'{root}/").replace('"results/', f'"{root}/')


def test_the_documented_query_prints_every_stratum_of_the_run(root: str) -> None:
    publish(root)
    rows = duckdb.sql(documented("sql", root)).fetchall()
    assert len(rows) == TABLES["csmf"].num_rows * 2 // 3
    assert {row[1] for row in rows} == {"Gaza", "Tete"}


def test_the_documented_python_reads_the_runs(root: str) -> None:
    publish(root)
    code = documented("python", root).replace("demo-0123456789ab", RUN)
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCS), "exec"), names)
    assert len(names["results"].csmf) == TABLES["csmf"].num_rows * 2 // 3


@pytest.mark.r
def test_the_documented_r_reads_the_runs(root: str, tmp_path: Path) -> None:
    asks = ["Rscript", "--vanilla", "-e", "stopifnot(requireNamespace('reticulate'))"]
    if "CI" not in os.environ and (not shutil.which("Rscript") or subprocess.run(asks).returncode):
        pytest.skip("R with reticulate is not installed")
    publish(root)
    publish(root, "other-0123456789ab", name="other")
    (code,) = (part for part in documented("r", root).split("\n\n") if "reticulate::" in part)
    code = code.replace(".venv/bin/python", sys.executable)
    told = "cat(nrow(csmf), unique(csmf$run), sum(is.na(csmf$sd)), sprintf('%.17g', csmf$mean))"
    (tmp_path / "read.R").write_text(f"{code}\n{told}")
    command = ["Rscript", "--vanilla", str(tmp_path / "read.R")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    rows, run, missing, *means = done.stdout.split()
    expected = store.open_results(root, "moz").csmf
    assert (int(rows), run, int(missing)) == (len(expected), RUN, int(expected["sd"].isna().sum()))
    assert [float(mean) for mean in means] == expected["mean"].dropna().tolist()
