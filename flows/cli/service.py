"""Commands for runs on the server: the same request as `vacal run`, computed by a worker."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.terminal import console
from tasks.errors import InputError

if TYPE_CHECKING:
    from tasks.service import RunStatus, Server

out = console(soft_wrap=True)

Run = Annotated[
    str, typer.Argument(metavar="ID", help="ID of the run, or its name: the newest of that name.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Batch = Annotated[str | None, typer.Option(metavar="NAME", help="Only runs submitted with --batch NAME.")]
POLL_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for command in (submit, status, wait, follow, cancel, results, ready, metrics):
        app.command()(command)
    app.command(name="list")(list_runs)


def submit(
    requests: Annotated[
        list[Path], typer.Argument(metavar="REQUEST...", help="Request files, YAML or JSON.")
    ],
    batch: Annotated[str | None, typer.Option(metavar="NAME", help="Name to find these runs by.")] = None,
    urgent: Annotated[bool, typer.Option(help="Before all other waiting runs.")] = False,
    again: Annotated[
        bool, typer.Option(help="A new run, computed anew, even if there is one already.")
    ] = False,
    output: Annotated[str | None, typer.Option(metavar="URI", help="Store to use instead.")] = None,
) -> None:
    """Hand requests to the server; prints the ID of each run at once.

    The same request and input twice is one run; after a failed or cancelled run a new one is started.

    Example: vacal submit examples/comsa-mozambique-neonate.yaml
    """
    from tasks.settings import require_mode

    require_mode("submit")
    from tasks.request import load_request
    from tasks.service import absolute, connect, input_content

    asked = [absolute(load_request(path, matrix_source=None, output=output)) for path in requests]
    contents = [input_content(request) for request in asked]
    tags = [f"batch:{batch}"] if batch else []
    with connect() as server:
        for request, content in zip(asked, contents, strict=True):
            run, new = server.submit(request, content, tags=tags, urgent=urgent, again=again)
            said = "submitted" if new else f"was submitted before, {run.status}"
            out.print(f"{run.id}  {run.name}  {said}")


def status(run: Run, as_json: Json = False) -> None:
    """Say how far a run is.

    Example: vacal status comsa-mozambique-neonate
    """
    from tasks.service import connect

    with connect() as server:
        _print(server.status(run), as_json)


def wait(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="IDs or names of runs.")] = None,
    batch: Batch = None,
    fail_fast: Annotated[bool, typer.Option(help="At the first failure cancel the others.")] = False,
) -> None:
    """Wait until runs have ended. Exit code 0 if all are complete, 1 if not.

    Example: vacal wait comsa-mozambique-neonate
    """
    from tasks.service import connect

    with connect() as server:
        names = list(runs or [])
        if batch:
            names += [str(found.id) for found in server.runs(tags=[f"batch:{batch}"])]
        if not names:
            raise InputError("say which runs to wait for: IDs, names, or --batch NAME")
        if not _all_complete(server, names, fail_fast):
            raise typer.Exit(1)


def _all_complete(server: Server, names: list[str], fail_fast: bool) -> bool:
    statuses = [run.status for run in _ended(server, names, fail_fast)]
    return all(status == "complete" for status in statuses)


def _ended(server: Server, names: list[str], fail_fast: bool) -> Iterable[RunStatus]:
    import time

    waiting = {str(server.status(name).id) for name in names}
    while waiting:
        for run in [server.status(one) for one in sorted(waiting)]:
            if run.has_ended:
                waiting.discard(str(run.id))
                _print(run, as_json=False)
                yield run
            if run.has_ended and run.status != "complete" and fail_fast:
                _cancel_all(server, waiting)
        if waiting:
            time.sleep(POLL_SECONDS)


def _cancel_all(server: Server, runs: set[str]) -> None:
    from tasks.errors import StateError

    for run in runs:
        try:
            server.cancel(run)
        except StateError:  # it ended meanwhile
            continue


def follow(run: Run) -> None:
    """Show a run's log line by line and its progress, from the start until it ends.

    Exit code 0 if it is complete, 1 if not. Example: vacal follow comsa-mozambique-neonate
    """
    from tasks.settings import require_mode

    require_mode("follow")
    from flows.cli.follow import print_events
    from tasks.service import ServerSource, connect
    from tasks.service import follow as everything

    with connect() as server:
        found = server.status(run)
        print_events(everything(ServerSource(server, found.id)), out)
        ended = server.status(str(found.id))
    _print(ended, as_json=False)
    if ended.status != "complete":
        raise typer.Exit(1)


def cancel(run: Run) -> None:
    """End a run: R stops within seconds, and nothing of it is published.

    Example: vacal cancel comsa-mozambique-neonate
    """
    from tasks.service import connect

    with connect() as server:
        _print(server.cancel(run), as_json=False)


def results(
    run: Run,
    uri: Annotated[bool, typer.Option("--uri", help="Print only the address of the results.")] = False,
) -> None:
    """Print the results of a finished run.

    Example: vacal results comsa-mozambique-neonate
    """
    from flows.cli.tables import describe_run
    from tasks.results import open_results
    from tasks.service import connect

    with connect() as server:
        address = server.results(run)
    if not uri:
        out.print(describe_run(open_results(address)))
    out.print(address if uri else f"\nResults: {address}")


def list_runs(
    status: Annotated[list[str] | None, typer.Option(help="Only these, such as failed or running.")] = None,
    name: Annotated[str | None, typer.Option(help="Only runs of this name.")] = None,
    batch: Batch = None,
    country: Annotated[str | None, typer.Option(help="Only runs for this country.")] = None,
    age_group: Annotated[str | None, typer.Option(help="Only runs for this age group.")] = None,
    days: Annotated[float | None, typer.Option(help="Only runs of the last so many days.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    upkeep: Annotated[
        bool, typer.Option("--all", help="Upkeep, too, and runs whose time has not come.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the calibrations on the server, newest first.

    Example: vacal list --status failed --days 7
    """
    from tasks.service import connect

    tags = [f"batch:{batch}"] if batch else []
    since = datetime.now(UTC) - timedelta(days=days) if days else None
    wanted = {"country": country, "age_group": age_group}
    with connect() as server:
        found = (
            run
            for run in server.runs(name=name, tags=tags, since=since, upkeep=upkeep)
            if (not status or run.status in status)
            and all(value in (None, run.request.get(key)) for key, value in wanted.items())
        )
        shown = [run for run, _ in zip(found, range(limit), strict=False)]
    if as_json:
        print(json.dumps([_fields(run) for run in shown], indent=2))
        return
    _print_table(shown)


def ready(
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", help="Ask again for so long before saying no.")
    ] = 0,
) -> None:
    """Say whether a run could be computed now; exit code 0 or 1. Made for health checks of containers."""
    import time

    from tasks.service import service_checks

    give_up = time.monotonic() + wait
    while lacking := [check for check in service_checks() if not check.ok]:
        if time.monotonic() > give_up:
            break
        time.sleep(POLL_SECONDS)
    for check in lacking:
        out.print(f"{check.name}: {check.found}; {check.what_to_do}")
    if lacking:
        raise typer.Exit(1)
    out.print("ready")


def metrics(
    serve: Annotated[
        int | None, typer.Option(metavar="PORT", help="Serve them at http://127.0.0.1:PORT/metrics.")
    ] = None,
    address: Annotated[str, typer.Option(help="Address to serve at.")] = "127.0.0.1",
) -> None:
    """Print the service's figures for Prometheus: deaths, strata, waiting and failed runs; or serve them.

    Example: vacal metrics
    """
    import threading

    from tasks.service import metrics_text, serve_metrics

    if serve is None:
        print(metrics_text(), end="")
        return
    serve_metrics(serve, address)
    out.print(f"http://{address}:{serve}/metrics; Ctrl-C ends it")
    threading.Event().wait()


def _print_table(runs: list[RunStatus]) -> None:
    """One line a run, never cut: IDs are there to be copied."""
    rows = [(r.name, r.status, _local(r.started or r.due), _duration(r), str(r.id)) for r in runs]
    rows.insert(0, ("name", "status", "started or due", "took", "ID"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.print("  ".join(cells).rstrip())


def _print(run: RunStatus, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_fields(run), indent=2))
        return
    progress = ", ".join(f"{algorithm} {percent:.0f}%" for algorithm, percent in run.progress.items())
    said = f"{run.name}: {run.status}" + (f" ({progress})" if progress and not run.has_ended else "")
    out.print(said + (f": {run.message}" if run.message else ""))


def _fields(run: RunStatus) -> dict[str, object]:
    return {
        "id": str(run.id),
        "name": run.name,
        "status": run.status,
        "message": run.message,
        "created": run.created and run.created.isoformat(),
        "due": run.due and run.due.isoformat(),
        "started": run.started and run.started.isoformat(),
        "ended": run.ended and run.ended.isoformat(),
        "tags": list(run.tags),
        "progress": dict(run.progress),
        "results": run.results,
        "lost_strata": run.lost_strata,
    }


def _local(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment else ""


def _duration(run: RunStatus) -> str:
    if run.started is None or run.ended is None:
        return ""
    return str(timedelta(seconds=round((run.ended - run.started).total_seconds())))
