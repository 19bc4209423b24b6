"""`vacal report`, `plot` and `export`: files that people read, from a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli.runs import Finished, Store
from flows.cli.terminal import console
from tasks.errors import InputError
from tasks.terms import Language

out = console(soft_wrap=True)
err = console(soft_wrap=True, stderr=True)

Boundaries = Annotated[
    Path | None, typer.Option(metavar="FILE", help="GeoJSON whose areas are the values of a strata column.")
]


PictureKind = Literal[
    "csmf", "matrix", "strata", "trends", "map", "records"
]  # KINDS of figures, imported late
ExportFormat = Literal["csv", "excel", "dhis2", "json"]
In = Annotated[Language, typer.Option(help="Language of the words.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for command in (report, plot, export):
        app.command()(command)


def report(
    results: Finished,
    store: Store,
    language: In = "en",
    boundaries: Boundaries = None,
    to: Annotated[Path, typer.Option(metavar="FILE")] = Path("report.html"),
) -> None:
    """Write the report of a run as one HTML page, in another language or with maps.

    Example: vacal report results/runs/national-0123456789ab --language fr --to rapport.html
    """
    from tasks.report import render_report
    from tasks.results import find_results
    from tasks.storage import write_file
    from tasks.view import View

    page = render_report(View(find_results(results, store), language), _text(boundaries))
    write_file(to, page.encode())
    out.print(f"{to} written")


def plot(
    results: Finished,
    kind: Annotated[PictureKind, typer.Argument(help="What to draw.")],
    store: Store,
    language: In = "en",
    boundaries: Boundaries = None,
    where: Annotated[str | None, typer.Option(help="Only strata whose key holds this text.")] = None,
    to: Annotated[Path, typer.Option(metavar="FOLDER")] = Path("pictures"),
) -> None:
    """Write pictures of a run, each as SVG and PNG.

    Example: vacal plot results/runs/national-0123456789ab csmf --where Nampula
    """
    from tasks.figures import draw, save
    from tasks.results import find_results

    pictures = draw(find_results(results, store), kind, language, boundaries=_text(boundaries), where=where)
    for path in save(pictures, to):
        out.print(f"{path} written")
    if lacking := "".join(sorted({sign for picture in pictures for sign in picture.undrawable})):
        err.print(f"No font here has {lacking}: the PNG files show boxes; install fonts-noto-core")


def export(
    results: Finished,
    store: Store,
    format: Annotated[ExportFormat, typer.Option(help="csv: a file for each table.")] = "csv",
    language: In = "en",
    mapping: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For dhis2: which data element is which, docs/report.md."),
    ] = None,
    to: Annotated[Path | None, typer.Option(metavar="PATH", help="File; for csv a folder.")] = None,
) -> None:
    """Write a run for a spreadsheet, DHIS2 or a web page, every figure with its caveats.

    Example: vacal export results/runs/national-0123456789ab --format excel
    """
    from tasks.export import dhis2_csv, excel_bytes, json_text, read_mapping, write_csv
    from tasks.results import find_results
    from tasks.storage import read_text, write_file

    found = find_results(results, store)
    name = str(found.manifest["run"])
    if format == "csv":
        for path in write_csv(found, str(to or name)):
            out.print(f"{path} written")
        return
    if format == "excel":
        target, content = to or Path(f"{name}.xlsx"), excel_bytes(found, language)
    elif format == "json":
        target, content = to or Path(f"{name}.json"), json_text(found, language).encode()
    elif mapping is None:
        raise InputError("dhis2 needs --mapping FILE: which data element is which (docs/report.md)")
    else:
        chosen = read_mapping(read_text(str(mapping), "mapping"), str(mapping))
        target, content = to or Path(f"{name}-dhis2.csv"), dhis2_csv(found, chosen).encode()
    write_file(target, content)
    out.print(f"{target} written")


def _text(path: Path | None) -> str | None:
    from tasks.storage import read_text

    return None if path is None else read_text(str(path), "boundaries")
