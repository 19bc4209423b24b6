"""`vacal runs`: the finished runs of a results store."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.terminal import console
from tasks.errors import InputError

app = typer.Typer(no_args_is_help=True, help="List, show, compare or remove the runs of a results store.")
out = console()

Store = Annotated[
    str,
    typer.Option(
        metavar="URI",
        default_factory=lambda: _store(),
        help="Root of the results store (VACAL_STORE).",
    ),
]


def _store() -> str:
    from tasks.settings import settings

    return settings().store


Finished = Annotated[
    str,
    typer.Argument(metavar="RESULTS", help="A run's folder or address, or its id or name in the store."),
]


@app.command("list")
def list_runs(store: Store) -> None:
    """Print the runs of a store, by name.

    Example: vacal runs list --store results
    """
    from flows.cli.listings import dict_table
    from tasks.results import list_runs as all_runs

    out.print(dict_table([_row(manifest) for manifest in all_runs(store)]))


def _row(manifest: dict[str, object]) -> dict[str, object]:
    strata = manifest["strata"]
    counts = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in strata.items())  # type: ignore[attr-defined]
    return {"run": manifest["run"], "status": manifest["status"], "strata and algorithms": counts}


@app.command("show")
def show_run(results: Finished, store: Store) -> None:
    """Print one run: the same as `vacal show`.

    Example: vacal runs show comsa-mozambique-neonate-0123456789ab
    """
    from flows.cli.tables import describe_run
    from tasks.results import find_results

    out.print(describe_run(find_results(results, store)))


@app.command()
def diff(
    results: Finished,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The run to compare it with, named alike.")],
    store: Store,
) -> None:
    """Print which CSMFs moved between two runs, by how much, and why.

    Example: vacal runs diff comsa-mozambique-neonate-0123456789ab comsa-mozambique-neonate-ba9876543210
    """
    from flows.cli.tables import describe_comparison
    from tasks.results import compare, find_results

    out.print(describe_comparison(compare(find_results(results, store), find_results(other, store))))


@app.command()
def rm(
    results: Finished,
    store: Store,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a run and all its files.

    Example: vacal runs rm comsa-mozambique-neonate-0123456789ab --yes
    """
    from tasks.results import find_results, remove_run

    found = find_results(results, store)
    run, name = str(found.manifest["run"]), str(found.manifest["name"])
    if results.rstrip("/").rpartition("/")[2] not in (run, name):
        raise InputError(f"{results} is no run but a store of one: {run}; give the run itself")
    if not yes:
        typer.confirm(f"Remove {run} from {found.root} for good?", abort=True)
    remove_run(found.root, run)
    out.print(f"{run} is removed from {found.root}", soft_wrap=True)
