"""A run in the terminal: an interval that must not be quoted is not printed; what else the run holds is."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from support.build_results import Case, build
from support.made_run import description, places, tables

from flows.cli.tables import describe_run
from tasks.results.store import Results, open_results
from tasks.results.write import publish

INTERVAL = re.compile(r"\d\.\d\N{EN DASH}\d")


def printed(results: Results) -> str:
    out = io.StringIO()
    Console(file=out, width=110).print(describe_run(results))
    return out.getvalue()


def test_intervals_of_totals_of_separate_fits_are_not_printed(tmp_path: Path) -> None:
    case = Case(columns={"province": ("Gaza", "Tete")}, algorithms=("eava",), roll_ups=([],))
    head, total, *strata, records = re.split(r"(?m)^(?=Neonates|Records)", printed(build(tmp_path, case)))
    verdict = ": Publish the mean, not the interval"

    assert f"Verdict of the main results{verdict}" in head
    assert "(total: nation)" in total
    assert f"EAVA{verdict}" in total
    assert len(re.findall(r" \* ", total)) == 5 + 1  # every cause but "other", and what the mark means
    assert "  * The interval is known to be too narrow and is not shown." in total
    assert not INTERVAL.search(total)
    assert len(strata) == 2
    for text in strata:
        assert len(INTERVAL.findall(text)) >= 5
        assert "not the interval" not in text
    assert "received" in records


def test_a_run_with_contrasts_says_where_they_are(tmp_path: Path) -> None:
    made = tables(places(["Gaza"]))
    assert "Differences" not in printed(_published(tmp_path / "without", made))
    with_contrasts = {**made, "contrasts": pa.table({"difference": [0.01, 0.02]})}
    text = printed(_published(tmp_path / "with", with_contrasts))
    assert "\nDifferences: 2 rows, in the report and in contrasts.parquet.\n" in text


def _published(root: Path, made: dict[str, pa.Table]) -> Results:
    publish(str(root), "moz-1", {name: [table] for name, table in made.items()}, description())
    return open_results(str(root))
