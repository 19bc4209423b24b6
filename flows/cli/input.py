"""Commands about input, before anything is calibrated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.terminal import console
from tasks.errors import InputError
from tasks.terms import AGE_GROUPS, BROAD_CAUSES

out = console(soft_wrap=True)
EXAMPLES = Path(__file__).parents[2] / "examples"


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for command in (examples, preview, convert, supported):
        app.command()(command)


def examples() -> None:
    """List the example requests, with what each one calibrates.

    Example: vacal examples
    """
    from tasks.request import load_request

    for file in sorted(EXAMPLES.glob("*.yaml")):
        request = load_request(file)
        layout = request.input.layout if request.input.uri else "counts in the request"
        facts = (_text(request.age_group), _text(request.country), ", ".join(request.algorithms), layout)
        out.print(f"examples/{file.name}: {'; '.join(facts)}")


def _text(value: object) -> str:
    return value if isinstance(value, str) else f"column {getattr(value, 'column', '')}"


def preview(request: Annotated[Path, typer.Argument(metavar="REQUEST", help="YAML or JSON file.")]) -> None:
    """Print a request's input as it is counted: deaths by algorithm and cause, never single records.

    Example: vacal preview examples/comsa-mozambique-neonate.yaml
    """
    from flows.cli.listings import dict_table
    from tasks.ingest import tabulate
    from tasks.request import load_request
    from tasks.run import reading_of

    table = tabulate(reading_of(load_request(request)))
    counts = table.counts.group_by(["algorithm", "cause"]).aggregate([("deaths", "sum")]).to_pylist()
    algorithms = sorted({row["algorithm"] for row in counts})
    deaths = {(row["cause"], row["algorithm"]): row["deaths_sum"] for row in counts}
    causes = sorted({cause for cause, _ in deaths}, key=lambda cause: (-_total(deaths, cause), cause))
    rows = [{"cause": c} | {a: deaths.get((c, a), 0) for a in algorithms} for c in causes]
    strata = table.strata.num_rows
    out.print(dict_table(rows, title=f"{request}: deaths over {strata} strat{'um' if strata == 1 else 'a'}"))


def _total(deaths: dict[tuple[str, str], int], cause: str) -> int:
    return sum(number for (name, _), number in deaths.items() if name == cause)


def convert(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="CSV file with a column of causes.")],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="CSV file to write; must not exist.")],
    age_group: Annotated[str, typer.Option(help="neonate or child.")],
    column: Annotated[str, typer.Option(help="Column of the cause.")] = "cause",
) -> None:
    """Copy a file of records with a column broad_cause added; row order and all other columns stay.

    A cause without a broad cause leaves it empty, is counted and listed, and makes the exit code 2.

    Example: vacal convert deaths.csv converted.csv --age-group neonate
    """
    from flows.cli.listings import plain_table
    from tasks.ingest import convert_file

    if age_group not in AGE_GROUPS:
        raise InputError(f"age group {age_group!r} is not known; it is one of {', '.join(AGE_GROUPS)}")
    found = convert_file(source, target, age_group, column)
    rows = [(label, cause or f"({treatment})", n) for (label, cause, treatment), n in found.items()]
    out.print(plain_table(("cause", "broad cause", "records"), rows))
    unmapped = sum(n for (_, _, treatment), n in found.items() if treatment == "unmapped")
    if unmapped:
        out.print(f"{unmapped} records have a cause that is not in the map (vacal causes {age_group}).")
        raise typer.Exit(2)


def supported(
    as_json: Annotated[bool, typer.Option("--json", help="Print the request's JSON schema.")] = False,
) -> None:
    """Say what a request may hold: age groups, causes, countries and algorithms of the matrices, options.

    Example: vacal supported
    """
    from flows.cli.listings import plain_table
    from tasks.matrices import load_inventory
    from tasks.request import CalibrationRequest

    schema = CalibrationRequest.model_json_schema()
    if as_json:
        print(json.dumps(schema, indent=2))
        return
    inventory = load_inventory()
    rows = [(f"causes, {group}", ", ".join(BROAD_CAUSES[group])) for group in AGE_GROUPS]
    rows.append(("countries", ", ".join(inventory.countries())))
    rows.append(("algorithms", ", ".join(inventory.algorithms())))
    for name, part in {
        "matrix": schema["$defs"]["MatrixChoice"],
        "input": schema["$defs"]["Input"],
        "": schema,
    }.items():
        for field, facts in part["properties"].items():
            options = [facts, *facts.get("anyOf", ())]  # a field that may be empty has its choices in a part
            if choices := next((one["enum"] for one in options if "enum" in one), None):
                rows.append((f"{name}.{field}".lstrip("."), ", ".join(choices)))
    out.print(plain_table(("", "supported"), rows))
