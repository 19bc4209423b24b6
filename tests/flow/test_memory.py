"""Memory of a run's last steps: how much a stratum more takes, and how many row groups are held at once."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
from support.build_results import Case, build

from tasks.report.page import artifact_table, markdown_summary
from tasks.results import parquet
from tasks.results.store import Results
from tasks.view.view import View

KILOBYTE = 2**10
POOLS: list[pa.MemoryPool] = []
"""Arrow's memory must not outlive its pool."""


def peak(work: Callable[[], object]) -> int:
    """The most bytes that Python and Arrow hold while it works."""
    gc.collect()
    pool, usual = pa.proxy_memory_pool(pa.system_memory_pool()), pa.default_memory_pool()
    POOLS.append(pool)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] + (pool.max_memory() or 0)
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)


def test_a_stratum_more_costs_the_pages_little_memory(tmp_path: Path) -> None:
    def nation(districts: int) -> Results:
        columns = {"district": tuple(f"D{i}" for i in range(districts)), "sex": ("f", "m")}
        return build(tmp_path, Case(f"of-{districts}", columns=columns, roll_ups=([],), deaths=(10, 300)))

    def tell(results: Results) -> None:
        view = View(results)
        artifact_table(view)
        markdown_summary(view)

    few, many = nation(5), nation(60)
    tell(few)  # words and the like are made once
    each = (peak(lambda: tell(many)) - peak(lambda: tell(few))) / (2 * (60 - 5))
    assert each < 12 * KILOBYTE  # of 24 estimates; it was 43 where all of them were Python objects


def test_writing_holds_no_more_than_two_row_groups(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 1000)

    def parts() -> Iterator[pa.Table]:
        for part in range(100):
            yield pa.table({"text": [f"{part} {row} " + 200 * "x" for row in range(100)]})

    group = 10 * next(parts()).nbytes
    assert peak(lambda: parquet.write(tmp_path / "t.parquet", parts())) < 2.7 * group
