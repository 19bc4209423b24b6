"""`vacal report`, `plot` and `export`: files that people read, from a finished run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.cli.runs import Finished, Store
from tasks.errors import InputError

out = Console(soft_wrap=True, highlight=False)

Boundaries = Annotated[
    Path | None, typer.Option(metavar="FILE", help="GeoJSON whose areas are the values of a strata column.")
]


class Language(StrEnum):
    """Languages of reports, pictures and workbooks."""

    EN = "en"
    FR = "fr"
    PT = "pt"


class Kind(StrEnum):
    """Kinds of pictures."""

    CSMF = "csmf"
    MATRIX = "matrix"
    STRATA = "strata"
    TRENDS = "trends"
    MAP = "map"
    RECORDS = "records"


class Format(StrEnum):
    """Formats of exports."""

    CSV = "csv"
    EXCEL = "excel"
    DHIS2 = "dhis2"
    JSON = "json"


In = Annotated[Language, typer.Option(help="Language of the words.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for command in (report, plot, export):
        app.command()(command)


def report(
    results: Finished,
    store: Store,
    language: In = Language.EN,
    boundaries: Boundaries = None,
    to: Annotated[Path, typer.Option(metavar="FILE")] = Path("report.html"),
) -> None:
    """Write the report of a run as one HTML page, in another language or with maps.

    Example: vacal report results/runs/national-0123456789ab --language fr --to rapport.html
    """
    from tasks.report import render_report
    from tasks.results import find_results
    from tasks.view import View

    page = render_report(View(find_results(results, store), language.value), _text(boundaries))
    to.write_text(page, encoding="utf-8")
    out.print(f"{to} written")


def plot(
    results: Finished,
    kind: Annotated[Kind, typer.Argument(help="What to draw.")],
    store: Store,
    language: In = Language.EN,
    boundaries: Boundaries = None,
    where: Annotated[str | None, typer.Option(help="Only strata whose key holds this text.")] = None,
    to: Annotated[Path, typer.Option(metavar="FOLDER")] = Path("pictures"),
) -> None:
    """Write pictures of a run, each as SVG and PNG.

    Example: vacal plot results/runs/national-0123456789ab csmf --where Nampula
    """
    from tasks.figures import draw, save
    from tasks.results import find_results

    pictures = draw(
        find_results(results, store), kind.value, language.value, boundaries=_text(boundaries), where=where
    )
    for path in save(pictures, to):
        out.print(f"{path} written")


def export(
    results: Finished,
    store: Store,
    format: Annotated[Format, typer.Option(help="csv: a file for each table.")] = Format.CSV,
    language: In = Language.EN,
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

    found = find_results(results, store)
    name = str(found.manifest["run"])
    if format is Format.CSV:
        for path in write_csv(found, str(to or name)):
            out.print(f"{path} written")
        return
    if format is Format.EXCEL:
        target, content = to or Path(f"{name}.xlsx"), excel_bytes(found, language.value)
    elif format is Format.JSON:
        target, content = to or Path(f"{name}.json"), json_text(found, language.value).encode()
    elif mapping is None:
        raise InputError("dhis2 needs --mapping FILE: which data element is which (docs/report.md)")
    else:
        chosen = read_mapping(mapping.read_text(encoding="utf-8"), str(mapping))
        target, content = to or Path(f"{name}-dhis2.csv"), dhis2_csv(found, chosen).encode()
    target.write_bytes(content)
    out.print(f"{target} written")


def _text(path: Path | None) -> str | None:
    return None if path is None else path.read_text(encoding="utf-8")
