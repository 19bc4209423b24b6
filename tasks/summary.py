"""A run as a person reads it in a terminal: a table for each stratum and algorithm, caveats spelled out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tasks.flags import in_words
from tasks.schema import split_flags
from tasks.store import Results

SHOWN_AT_MOST = 4  # strata (or roll-up members) printed in full; the files hold the rest
STATUS_NOTE = {
    "passed_through": "not calibrated: {reason}",
    "no_result": "no result",
}
REASON_WORDS = {"asked_for": "asked for", "learned": "the matrix hardly depends on this cause"}


def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal, or a dash where there is none."""
    return "-" if pd.isna(fraction) else f"{100 * fraction:.1f}"


def whole(number: float) -> str:
    """A count with thousands separated, or a dash where there is none."""
    return "-" if pd.isna(number) else f"{int(number):,}"


def describe_run(results: Results) -> RenderableType:
    """Tables of the run's estimates (roll-ups first), its caveats, its records, and where its files are."""
    csmf, strata = results.csmf, results.strata
    parts: list[RenderableType] = [_heading(results)]
    for unit, rows in _units(csmf):
        parts.append(Text(f"\n{unit}", style="bold"))
        parts.extend(_algorithm_tables(rows, strata))
    left_out = csmf[["level", "stratum"]].drop_duplicates().shape[0] - SHOWN_AT_MOST
    if left_out > 0:
        parts.append(Text(f"\n{left_out} more strata are in the files."))
    parts.append(records_table(results.records))
    return Group(*parts)


def _heading(results: Results) -> RenderableType:
    manifest = results.manifest
    inventory = manifest["inventory"]
    lines = [
        f"Run {manifest['run']}: {manifest['status'].replace('_', ' ')}",
        f"Inventory {inventory['id']} {inventory.get('version') or ''}, sha256 {inventory['checksum'][:12]}",
    ]
    heading = Text("\n".join(lines))
    if inventory["illustrative"]:
        heading.append("\nIllustrative, not for publication.", style="bold red")
    return heading


def _units(csmf: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Roll-ups before strata; at most SHOWN_AT_MOST of them."""
    rolled_up = csmf["level"] != "stratum"
    ordered = pd.concat([csmf[rolled_up], csmf[~rolled_up]])
    for shown, ((level, stratum), rows) in enumerate(ordered.groupby(["level", "stratum"], sort=False)):
        if shown == SHOWN_AT_MOST:
            return
        yield (stratum if level == "stratum" else f"{level}: {stratum}"), rows


def _algorithm_tables(rows: pd.DataFrame, strata: pd.DataFrame) -> Iterator[RenderableType]:
    for algorithm, estimates in rows.groupby("algorithm", sort=False):
        yield estimates_table(str(algorithm), estimates)
        fit = strata[(strata["stratum"] == estimates["stratum"].iloc[0]) & (strata["algorithm"] == algorithm)]
        yield from _notes(estimates, fit)


def estimates_table(algorithm: str, estimates: pd.DataFrame) -> Table:
    """Cause, deaths, raw %, calibrated % and 95% interval of one algorithm in one stratum or roll-up."""
    table = Table(
        title=algorithm, title_justify="left", title_style="italic", pad_edge=False, box=SIMPLE_HEAD
    )
    table.add_column("cause")
    for column in ("deaths", "raw %", "calibrated %", "95% interval", "calibrated deaths"):
        table.add_column(column, justify="right")
    table.add_column("note")
    for row in estimates.itertuples():
        note = STATUS_NOTE.get(row.status, "").format(
            reason=REASON_WORDS.get(row.not_calibrated_reason, row.not_calibrated_reason)
        )
        interval = "-" if pd.isna(row.q025) else f"{percent(row.q025)} to {percent(row.q975)}"
        table.add_row(
            row.cause,
            whole(row.deaths),
            percent(row.raw),
            percent(row.mean),
            interval,
            whole(row.calibrated_deaths),
            note,
        )
    return table


def _notes(estimates: pd.DataFrame, fit: pd.DataFrame) -> Iterator[Text]:
    if not fit.empty and pd.notna(fit["lambda"].iloc[0]):
        yield Text(f"  path correction: lambda = {fit['lambda'].iloc[0]:.2f}")
    if not fit.empty and fit["reason"].iloc[0]:
        yield Text(f"  {fit['reason'].iloc[0]}")
    flags = {flag for cell in (*estimates["flags"], *fit["flags"]) for flag in split_flags(cell)}
    for sentence in in_words(flags):
        yield Text(f"  ! {sentence}", style="yellow")


def records_table(records: pd.DataFrame) -> Table:
    """Where every record went: received = used + not fitted + excluded + rejected, by algorithm."""
    table = Table(
        title="\nRecords accounted for",
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        box=SIMPLE_HEAD,
    )
    for column in ("algorithm", "disposition", "reason"):
        table.add_column(column)
    table.add_column("records", justify="right")
    grouped = records.groupby(["algorithm", "disposition", "reason"], dropna=False, sort=True)[
        "records"
    ].sum()
    for (algorithm, disposition, reason), count in grouped.items():
        table.add_row(str(algorithm), str(disposition).replace("_", " "), _blank(reason), whole(count))
    for algorithm, count in records.groupby("algorithm")["records"].sum().items():
        table.add_row(str(algorithm), "received", "", whole(count), style="bold")
    return table


def _blank(value: object) -> str:
    return "" if pd.isna(value) else str(value).replace("_", " ")  # type: ignore[call-overload]


def plain_table(columns: Iterable[str], rows: Iterable[Iterable[object]], title: str | None = None) -> Table:
    """A table of texts and numbers (numbers to the right), as every listing command prints it."""
    rows = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", pad_edge=False, box=SIMPLE_HEAD)
    for position, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[position], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*("-" if cell is None else str(cell) for cell in row))
    return table


def dict_table(rows: Sequence[Mapping[str, object]], title: str | None = None) -> Table:
    """`plain_table` of rows that are maps with the same keys; a list is shown with commas."""
    columns = list(rows[0]) if rows else []
    return plain_table(columns, ([_cell(row[column]) for column in columns] for row in rows), title)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
