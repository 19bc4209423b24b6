"""The first step of a run, before any work: read and check everything, deal the strata into chunks."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

import pyarrow as pa

from tasks import results, rollups
from tasks.boundaries import read_boundaries
from tasks.engine import engine_versions
from tasks.errors import InputError
from tasks.ingest import Tabulation, tabulate
from tasks.matrices import Inventory, load_inventory
from tasks.request import CalibrationRequest
from tasks.roots import require_allowed
from tasks.run.baseline_jobs import baseline_jobs
from tasks.run.chunks import split
from tasks.run.job import Job, Work, give_back, resolved
from tasks.run.reading import reading_of
from tasks.run.stored_baseline import find_baseline, note_on, taken_from
from tasks.run.tables import Identity, with_places
from tasks.storage import filesystem, read_text
from tasks.verdict import unplaced_shares

_STANDARD_CAUSES = ("illustrative", "inventory")
"""Sources of matrices whose causes are the standard ones."""

_ROUNDING = 1e-9  # of a sum of shares


def prepare(request: CalibrationRequest) -> Job:
    """Read the inventory, the input and the boundaries, and deal the strata into chunks.

    Raises InputError with every problem, InventoryError, StorageError; nothing is written.
    """
    require_allowed(request.output, "output")
    inventory = load_inventory(request.matrix.source)
    tabulation = _tabulated(request, inventory)
    chunks = split(tabulation, inventory, request)
    boundaries = read_boundaries_of(request, tabulation)
    columns, weights_uri = request.columns.strata, request.roll_up_weights
    weights = rollups.read_weights(weights_uri, columns) if weights_uri else None
    engine = engine_versions()["engine"]
    root = absolute_root(request.output)
    stored = find_baseline(request, inventory, engine, root)
    baselines = taken_from(stored, baseline_jobs(chunks))
    if stored is not None:
        request = request.model_copy(update={"baseline": stored.manifest["run"]})
        tabulation = replace(tabulation, notes=[*tabulation.notes, note_on(stored, baselines)])
    run = _run_id(request, inventory, tabulation, weights, engine)
    plan = rollups.plan(tabulation.strata, columns, request.levels, weights) if request.levels else None
    give_back()
    if weights is not None and plan and plan.share_elsewhere > _ROUNDING:
        note = (
            f"roll_up_weights: up to {plan.share_elsewhere:.1%} of a roll-up's weight belongs to places that "
            "the input does not have; is a row of the weights a total?"
        )
        tabulation = replace(tabulation, notes=[*tabulation.notes, note])
    causes = max((len(chunk.batch.causes) for chunk in chunks), default=0)
    pairs = _compared_pairs(plan, request, causes) if plan and request.contrasts else []
    work = Work(
        root,
        run,
        engine,
        Identity.of(run, request, inventory, tabulation.causes),
        request.keep_draws,
        request.verdict_rules,
        plan,
        unplaced_shares(with_places(tabulation)),
    )
    return Job(request, inventory, tabulation, chunks, work, boundaries, contrasts=pairs, baselines=baselines)


def _compared_pairs(plan: rollups.Plan, request: CalibrationRequest, causes: int) -> list[rollups.Pair]:
    together = request.matrix_sharing_used != "per_stratum"
    pairs = rollups.compared_pairs(
        plan,
        request.contrasts,
        strata_columns=request.columns.strata,
        fits_by=request.joint_groups if together else None,
    )
    algorithms = len(request.algorithms) + request.ensemble_used
    rollups.check_contrasts_size(pairs, algorithms=algorithms, causes=causes, draws=request.draws_used)
    return pairs


def _tabulated(request: CalibrationRequest, inventory: Inventory) -> Tabulation:
    causes = None if request.matrix.source in _STANDARD_CAUSES else inventory.broad_causes()
    found = tabulate(reading_of(request), causes)
    if request.ensemble and not request.ensemble_used:
        note = "no ensemble: it takes at least two algorithms, and the request names one"
        found = replace(found, notes=[*found.notes, note])
    return found


def absolute_root(output: str) -> str:
    """The root of the results store, wherever the process that asks for it has its working directory."""
    return output if "://" in output else filesystem(output)[1]


def read_boundaries_of(request: CalibrationRequest, tabulation: Tabulation) -> str | None:
    """The text of the boundaries that the request names. Raises InputError if no map can be made of them."""
    uri, columns = request.boundaries, request.columns.strata
    if uri is None:
        return None
    try:
        require_allowed(uri, "input")
    except InputError as error:
        raise InputError(f"boundaries: {error}") from None
    text = read_text(uri, "boundaries")
    mapped = [column for column in columns if (column,) in request.roll_ups or columns == (column,)]
    if not mapped:
        raise InputError(
            "boundaries: a map needs one result for each place: name the strata column that holds the "
            "places, and add its roll-up where there are other strata columns (roll_ups: [[province]])"
        )
    values = {str(value) for column in mapped for value in tabulation.strata[column].to_pylist()}
    read_boundaries(text, values, f"boundaries {uri}")
    return text


def _run_id(
    request: CalibrationRequest,
    inventory: Inventory,
    tabulation: Tabulation,
    weights: pa.Table | None,
    engine: str,
) -> str:
    options = resolved(request)
    if weights is not None:
        options["roll_up_weights_checksum"] = rollups.weights_checksum(weights)
    versions = {"vacal": version("vacal"), "engine": engine}
    known = {"id": inventory.id, "version": inventory.version, "checksum": inventory.checksum}
    return results.run_id(request.name, options, tabulation.checksum, versions, known)
