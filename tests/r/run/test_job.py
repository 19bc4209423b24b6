"""A run without Prefect, with real R: what happens to its chunks between their end and the publication."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tasks import run as steps
from tasks.engine.process import Pool
from tasks.request.model import parse_request
from tasks.results import store, write
from tasks.results.write import DamagedChunkError
from tasks.run.job import Job

LOG = logging.getLogger("tests")
CAUSES = ("congenital_malformation", "pneumonia", "sepsis_meningitis_inf", "ipre", "other", "prematurity")


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Job]:
    """A job of two chunks that are finished, in a store of its own."""
    rows = ["province,algorithm,cause,deaths"]
    for number, province in enumerate(("Cabo", "Gaza", "Tete")):
        for algorithm in ("eava", "interva"):
            rows += [f"{province},{algorithm},{cause},{20 + number}" for cause in CAUSES]
    folder = tmp_path_factory.mktemp("job")
    (folder / "deaths.csv").write_text("\n".join(rows))
    job = steps.prepare(
        parse_request(
            {
                "name": "provinces",
                "input": {"uri": str(folder / "deaths.csv"), "layout": "counts"},
                "columns": {"strata": ["province"]},
                "age_group": "neonate",
                "country": "Mozambique",
                "algorithms": ["eava", "interva"],
                "matrix": {"source": "illustrative"},
                "draws": 100,
                "effective_draws": 100,
                "chunk_strata": 2,
                "matrix_sharing": "per_stratum",
                "roll_ups": [[]],
                "output": str(folder / "store"),
            }
        )
    )
    with Pool() as pool:
        calibrate(job, pool)
    chunks = {
        chunk.id: {
            name: write.read_chunk(job.work.root, job.run, chunk.id, name)
            for name in sorted(path.name for path in chunk_folder(job, chunk.id).iterdir())
            if name != write._DONE
        }
        for chunk in job.chunks
    }

    def copied(root: Path) -> Job:
        for chunk, tables in chunks.items():
            write.put_chunk(str(root), job.run, chunk, tables)
        return replace(job, work=replace(job.work, root=str(root)))

    return copied


def calibrate(job: Job, pool: Pool) -> None:
    finished = write.finished_chunks(job.work.root, job.run)
    for chunk in job.chunks:
        if chunk.id not in finished:
            steps.calibrate_chunk(chunk, job.work.of(chunk), log=LOG, progress=None, pool=pool, timeout=None)


def chunk_folder(job: Job, chunk: str) -> Path:
    return Path(job.work.root) / "work" / job.run / chunk


def publish(job: Job) -> store.Manifest:
    return steps.publish(job, [(chunk, None) for chunk in job.chunks], {}, replace=False)


@pytest.mark.parametrize("table", ["strata", "csmf", "records", "matrices", "rollup_fits", "rollup_sums"])
def test_a_finished_chunk_that_lost_a_table_is_never_left_out_in_silence(
    computed: Callable[[Path], Job], tmp_path: Path, table: str
) -> None:
    job = computed(tmp_path / "store")
    lost, other = (chunk.id for chunk in job.chunks)
    (chunk_folder(job, lost) / table).unlink()
    with pytest.raises(DamagedChunkError, match=f"table {table} is missing; run again: it resumes"):
        publish(job)
    assert store.list_runs(job.work.root) == []
    assert write.finished_chunks(job.work.root, job.run) == {other}


def test_a_chunk_that_lost_a_table_is_computed_again_by_the_next_run_and_changes_nothing(
    computed: Callable[[Path], Job], tmp_path: Path
) -> None:
    expected = publish(computed(tmp_path / "undisturbed"))
    job = computed(tmp_path / "store")
    (chunk_folder(job, job.chunks[1].id) / "csmf").unlink()
    with Pool() as pool:
        calibrate(job, pool)
    assert publish(job)["files"] == expected["files"]


@pytest.mark.parametrize("table", ["strata", "csmf"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.slice(1), "lacks 1 rows, and 0 are too many"),
        (lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]), "lacks 0 rows, and 1 are too many"),
    ],
    ids=["a row less", "a row twice"],
)
def test_a_run_is_not_published_unless_every_fit_has_its_rows_once(
    computed: Callable[[Path], Job],
    tmp_path: Path,
    table: str,
    change: Callable[[pa.Table], pa.Table],
    words: str,
) -> None:
    job = computed(tmp_path / "store")
    first = job.chunks[0].id
    names = [path.name for path in chunk_folder(job, first).iterdir() if path.name != write._DONE]
    tables = {name: write.read_chunk(job.work.root, job.run, first, name) for name in names}
    write.put_chunk(job.work.root, job.run, first, {**tables, table: change(tables[table])})
    with pytest.raises(RuntimeError, match=f"chunk {first}: table {table} {words}"):
        publish(job)
    assert store.list_runs(job.work.root) == []


def test_a_run_is_not_published_without_one_of_its_chunks(
    computed: Callable[[Path], Job], tmp_path: Path
) -> None:
    job = computed(tmp_path / "store")
    for done in ([], [(job.chunks[0], None)], [(chunk, None) for chunk in reversed(job.chunks)]):
        with pytest.raises(RuntimeError, match="do not hold the strata of the run, each once"):
            steps.publish(job, done, {}, replace=False)
    assert store.list_runs(job.work.root) == []


def test_published_matrices_are_stored_once_whichever_chunk_is_lost(
    computed: Callable[[Path], Job], tmp_path: Path
) -> None:
    def published(root: Path, *reasons: str | None) -> pa.Table:
        job = computed(root)
        steps.publish(job, list(zip(job.chunks, reasons, strict=True)), {}, replace=False)
        rows = store.open_results(job.work.root, job.run).table("matrices")
        return rows.filter(pc.equal(rows["kind"], "published"))

    undisturbed = published(tmp_path / "all", None, None)
    assert undisturbed.num_rows == 2 * len(CAUSES) ** 2
    assert published(tmp_path / "first", "timed_out", None).equals(undisturbed)
    assert published(tmp_path / "last", None, "timed_out").equals(undisturbed)
