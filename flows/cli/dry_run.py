"""A dry run: everything that a run does before it computes, and what it would then do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from flows.cli.listings import plain_table, records_table
from tasks.request import CalibrationRequest
from tasks.run import Job, run_seconds
from tasks.settings import settings
from tasks.terms import amount

STRATA_SHOWN = 12


def describe_check(job: Job) -> RenderableType:
    """The cause-mapping table, where every record goes, the strata and the expected cost."""
    return Group(*_parts(job))


def _parts(job: Job) -> Iterator[RenderableType]:
    request, inventory = job.request, job.inventory
    yield Text(f"Request {request.name} can be run.", style="bold")
    yield Text(f"Matrices: {inventory.id}, version {inventory.version} ({inventory.source}).")
    if inventory.illustrative:
        yield Text("Illustrative, not for publication.", style="bold red")
    yield from (Text(note) for note in (*job.tabulation.notes, *_choices(request), *_served_by_other(job)))
    yield _cause_table(job.tabulation.causes.to_pylist())
    yield records_table(job.tabulation.records.to_pylist())
    yield _strata_table(job)
    strata = amount(sum(len(chunk.batch.strata) for chunk in job.chunks), "stratum", "strata")
    before = [baseline.seconds for baseline in job.baselines]
    seconds = run_seconds([chunk.batch for chunk in job.chunks], settings().workers, before)
    yield Text(
        f"\n{strata} in {amount(len(job.chunks) + len(job.baselines), 'task')}; expected time on this machine "
        f"{_duration(seconds)}, besides reading and writing."
    )


def _choices(request: CalibrationRequest) -> Iterator[str]:
    """Defaults that change results, in words."""
    on = "on" if request.path_correction_used else "off"
    if request.matrix_sharing_used == "joint":
        each = "".join(f" and {column}" for column in request.joint_groups)
        yield f"Strata of a country and age group{each} share one unknown matrix (joint model)."
        yield f"Path correction is {on}."
    elif request.matrix_sharing_used == "common":
        by = " and ".join(request.centre_used) or "the whole country alone"
        yield f"Strata of a country and age group share the draws of their matrices, and are centred by {by}."
        yield "Common matrix draws are provisional: docs/common.md says how far their intervals have been tested."
        yield from _few_draws(request)
    else:
        yield f"Path correction is {on}; shrinkage is {request.shrinkage_used:g}."


def _few_draws(request: CalibrationRequest) -> Iterator[str]:
    """What the verdict will say of so few common matrix draws, each of which is worth at most one."""
    rules, draws = request.verdict_rules, request.draws_used
    if rules.ess_refuse is not None and draws < rules.ess_refuse:
        yield f"draws: {draws} are so few that no result may be published (below {rules.ess_refuse:g})."
    elif rules.ess_caution is not None and draws < rules.ess_caution:
        yield f"draws: {draws} are so few that every result calls for caution (below {rules.ess_caution:g})."


def _served_by_other(job: Job) -> Iterator[str]:
    countries = {c.strata["country"][0].as_py() for c in job.chunks if c.served_by_other}
    for country in sorted(countries):
        yield f"The inventory has no matrix of {country}: the pooled one for other countries would be used."


def _cause_table(causes: Iterable[Mapping[str, Any]]) -> RenderableType:
    columns = ("age_group", "label", "cause", "treatment")
    counts: Counter[tuple[str | None, ...]] = Counter()
    for row in causes:
        counts[tuple(row[column] for column in columns)] += row["records"]
    ordered = sorted(counts.items(), key=lambda item: (item[0][0] or "", item[0][3] or "", -item[1]))
    heads = ("age group", "cause in the input", "calibrated as", "treatment", "records")
    return plain_table(heads, ((*values, count) for values, count in ordered), title="\nCauses")


def _strata_table(job: Job) -> RenderableType:
    strata = job.tabulation.strata
    too_few = {
        key for c in job.chunks for key, few in zip(c.batch.strata, c.too_few, strict=True) if few.all()
    }
    rows = [
        (row["stratum"], row["deaths"], "too few deaths" if row["stratum"] in too_few else "")
        for row in strata.slice(0, STRATA_SHOWN).to_pylist()
    ]
    left = strata.num_rows - len(rows)
    title = "\nStrata" + (f" (the first {len(rows)}; {left} more)" if left > 0 else "")
    return plain_table(("stratum", "deaths received", "note"), rows, title=title)


def _duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} minutes" if seconds >= 90 else f"about {max(1, round(seconds))} s"
