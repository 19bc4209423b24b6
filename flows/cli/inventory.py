"""`vacal inventory`: the misclassification matrices of this installation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from flows.cli.terminal import console
from tasks.errors import InputError

if TYPE_CHECKING:
    from tasks.matrices import MatrixType

app = typer.Typer(
    no_args_is_help=True, help="List, show or fetch the inventory of misclassification matrices."
)
out = console(soft_wrap=True)

Source = Annotated[str, typer.Option(metavar="SOURCE", help="inventory, illustrative, or an address.")]


@app.command("list")
def list_places() -> None:
    """Print where an inventory is looked for, in order, and what is there.

    Example: vacal inventory list
    """
    from tasks.matrices import describe_places

    for row in describe_places():
        found = (
            f"{row['id']}, sha256 {str(row['checksum'])[:12]}"
            if row["found"]
            else row["problem"] or "nothing"
        )
        out.print(f"{row['place']}: {found}", soft_wrap=True)


@app.command("show")
def show_inventory(
    age_group: Annotated[str | None, typer.Argument(help="neonate or child")] = None,
    algorithm: Annotated[str | None, typer.Argument(help="eava, insilicova, interva")] = None,
    country: Annotated[str | None, typer.Argument(help="name or ISO code")] = None,
    source: Source = "inventory",
    type: Annotated[str, typer.Option(help="prior, fixed or samples")] = "prior",
) -> None:
    """Print what the inventory holds, or one of its matrices (row: true cause, % of each VA cause).

    Example: vacal inventory show neonate eava Mozambique
    """
    from flows.cli.listings import dict_table
    from tasks.matrices import MATRIX_TYPES, describe_inventory, describe_matrix, load_inventory

    inventory = load_inventory(source)
    out.print(
        f"{inventory.id}, version {inventory.version}, from {inventory.source}, sha256 {inventory.checksum}"
    )
    if inventory.illustrative:
        out.print("Illustrative, not for publication.", style="bold red")
    if age_group is None or algorithm is None or country is None:
        out.print(dict_table(describe_inventory(inventory)))
        return
    if type not in MATRIX_TYPES:
        raise InputError(f"type {type!r} is not known; it is one of {', '.join(MATRIX_TYPES)}")
    entry = inventory.matrices(age_group, algorithm, country, cast("MatrixType", type))
    rows = describe_matrix(entry)
    for row in rows:
        row.update({cause: f"{100 * float(str(row[cause])):.1f}" for cause in entry.causes})
        row["weight"] = f"{float(str(row['weight'])):.1f}"
    served = " (the pooled matrix: this country has none of its own)" if entry.by_other else ""
    out.print(
        dict_table(rows, title=f"{algorithm}, {age_group}, {entry.country_used}{served}; % of each row")
    )


@app.command()
def fetch(
    version: Annotated[
        str | None, typer.Option(help="Version of the published package; empty: the one that is known here.")
    ] = None,
    file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Keep this file's inventory instead of downloading.")
    ] = None,
) -> None:
    """Download the published inventory from the package repository that R is set up for, and keep it.

    Example: vacal inventory fetch
    Example: vacal inventory fetch --file CCVA_missmat.rda
    """
    from tasks.matrices import (
        PUBLISHED_VERSION,
        fetch_inventory,
        read_inventory,
        stored_path,
        write_stored,
    )

    if file is None:
        inventory = fetch_inventory(version or PUBLISHED_VERSION)
    else:
        inventory = read_inventory(file)
        if not inventory.id.startswith("champs-"):
            raise InputError(f"{file}: is not the published inventory; name it as matrix.source in a request")
        write_stored(inventory)
    verified = "verified" if inventory.verified else "not verified: no checksum is known for this content"
    out.print(
        f"{inventory.id} stored in {stored_path(inventory.id)}; sha256 {inventory.checksum} ({verified})"
    )
