"""The command `vacal`. Every message says what to do.

Exit codes: 0 done, 1 failed, 2 the input is wrong, 3 published, but nothing of it may be used or much is missing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from flows.cli import input as cli_input
from flows.cli import inventory as cli_inventory
from flows.cli import results as cli_results
from flows.cli import runs as cli_runs
from flows.cli import service as cli_service
from flows.cli.runs import Finished, Store
from flows.cli.terminal import console
from tasks.errors import InputError, VacalError

if TYPE_CHECKING:
    from tasks.request import CalibrationRequest

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Calibrate cause-of-death fractions from verbal autopsy. Start with: vacal check REQUEST",
)
app.add_typer(cli_inventory.app, name="inventory")
app.add_typer(cli_runs.app, name="runs")
cli_service.register(app)
cli_results.register(app)
cli_input.register(app)
out = console()
err = console(stderr=True, soft_wrap=True)

Requests = Annotated[list[Path], typer.Argument(metavar="REQUEST...", help="Request files, YAML or JSON.")]
Source = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE", help="Use these matrices instead: inventory, illustrative, or an address."
    ),
]
Output = Annotated[
    str | None, typer.Option(metavar="URI", help="Results store to use instead of the request's.")
]


@app.command()
def run(
    requests: Requests,
    matrix_source: Source = None,
    output: Output = None,
    recompute: Annotated[bool, typer.Option(help="Compute again even if the result is stored.")] = False,
) -> None:
    """Calibrate, in this process, and print the result.

    Example: vacal run examples/comsa-mozambique-neonate.yaml
    """
    from flows.cli.server import use_server
    from tasks.settings import require_mode

    require_mode("run")
    asked = [_load(path, matrix_source, output) for path in requests]
    said, server = use_server()  # it starts beside the imports
    from tasks.matrices import load_inventory

    for source in {request.matrix.source for request in asked}:
        load_inventory(source)  # a missing one is told at once, not after the flow has begun
    from flows.calibrate import IncompleteError, calibrate
    from flows.cli.tables import describe_run
    from tasks.engine import start_early
    from tasks.results import open_results
    from tasks.settings import settings

    if settings().runner == "threads":
        start_early()
    if server:
        server.wait()
    err.print(said, soft_wrap=True)
    lacking: list[str] = []
    for request in asked:
        try:
            uri = calibrate(request, recompute=recompute)
        except IncompleteError as error:
            uri = error.uri
            lacking.append(f"{request.name}: {error}")
        out.print(describe_run(open_results(uri)))
        out.print(f"\nReport: {uri}/report-{request.report_language}.html", soft_wrap=True)
        out.print(f"Results: {uri}", soft_wrap=True)
    for message in lacking:
        err.print(message)
    if lacking:
        raise typer.Exit(3)


@app.command()
def check(requests: Requests, matrix_source: Source = None) -> None:
    """Say what a run would do, or everything that is wrong with its request and input; computes nothing.

    Example: vacal check examples/comsa-mozambique-neonate.yaml
    """
    from flows.cli.dry_run import describe_check
    from tasks.run import prepare

    for path in requests:
        out.print(describe_check(prepare(_load(path, matrix_source, None))))


@app.command("show")
def show_run(
    results: Finished,
    store: Store,
) -> None:
    """Print a finished run.

    Example: vacal show results/runs/comsa-mozambique-neonate-0123456789ab
    """
    from flows.cli.tables import describe_run
    from tasks.results import find_results

    out.print(describe_run(find_results(results, store)))


@app.command()
def causes(
    age_group: Annotated[str | None, typer.Argument(help="neonate or child; both if left out.")] = None,
) -> None:
    """Print which specific cause belongs to which broad cause.

    Example: vacal causes neonate
    """
    from flows.cli.listings import plain_table
    from tasks.terms import AGE_GROUPS, cause_rows

    if age_group not in (None, *AGE_GROUPS):
        raise InputError(f"age group {age_group!r} is not known; it is one of {', '.join(AGE_GROUPS)}")
    for group in [age_group] if age_group else AGE_GROUPS:
        out.print(plain_table(("cause", "broad cause"), cause_rows(group), title=group))


@app.command("simulate")
def simulate_nation(
    folder: Annotated[Path, typer.Argument(help="New folder for the records, their truth and a request.")],
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML file of fields: see docs/simulate.md"),
    ] = None,
    deaths: Annotated[int | None, typer.Option(help="Deaths; three rows each. By default 200,000.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the random numbers.")] = None,
    format: Annotated[str | None, typer.Option(help="parquet or csv")] = None,
) -> None:
    """Write realistic national records with their truth, and a request to calibrate them.

    Example: vacal simulate nation && vacal run nation/request.yaml
    """
    from tasks.simulate import read_plan, simulate

    chosen = {"deaths": deaths, "seed": seed, "format": format}
    request = simulate(read_plan(plan, {k: v for k, v in chosen.items() if v is not None}), folder)
    out.print(f"Calibrate it with: vacal run {request}", soft_wrap=True)


@app.command()
def doctor() -> None:
    """Look at R, packages, inventory, storage and Prefect server: what is found, what to do if missing.

    Also what wears a service down: processes and folders left behind, unread input, a slow database.
    """
    from tasks.service import examine, service_checks, strain_checks

    checks = [*examine(), *service_checks(), *strain_checks()]
    for check in checks:
        out.print(f"{'ok' if check.ok else check.wrong:8} {check.name}: {check.found}", soft_wrap=True)
        if not check.ok:
            out.print(f"         what to do: {check.what_to_do}", soft_wrap=True)
    if not all(c.ok or c.optional for c in checks):
        raise typer.Exit(1)


def _load(path: Path, matrix_source: str | None, output: str | None) -> CalibrationRequest:
    from tasks.request import load_request

    return load_request(path, matrix_source=matrix_source, output=output)


def fail(error: VacalError) -> NoReturn:
    """Print what is wrong, one line a problem, and exit: 2 for bad input, 1 for a failure."""
    from tasks.terms import amount

    if not isinstance(error, InputError):
        err.print(f"error: {error}")
        sys.exit(1)
    advice = [line for line in error.problems if line.startswith("to ")]
    for line in error.problems:
        err.print(line if line in advice else f"error: {line}")
    found = amount(len(error.problems) - len(advice), "problem")
    err.print(f"{found}; nothing was computed or written.")
    sys.exit(2)


def main() -> None:
    """Run the command line; turns the errors that a user can act on into messages and exit codes."""
    try:
        app()
    except VacalError as error:
        fail(error)


if __name__ == "__main__":
    main()
