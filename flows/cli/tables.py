"""A run as a person reads it in a terminal: a table for each stratum and algorithm, caveats spelled out."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from itertools import takewhile
from typing import Any
from urllib.parse import unquote

import pandas as pd
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from flows.cli.listings import RECORDS, plain_table, records_table
from flows.cli.terminal import Listing
from tasks.report import overall_verdict
from tasks.results import ENSEMBLE, Comparison, Results, reasons_from_json, split_flags
from tasks.terms import CAUSE_ORDER, amount, in_words, words
from tasks.view import NO_INTERVAL, View, nothing_usable, set_aside, shown_verdict, trusts_interval

SHOWN_AT_MOST = 4  # strata and roll-ups printed in full; the files hold the rest
CONTRASTS = "contrasts.parquet"
NOT_CALIBRATED = {"asked_for": "kept, asked", "learned": "kept, learned"}
KEPT = (
    "\nkept: not calibrated, the observed share stands without an interval; asked: as the request says; "
    "learned: the algorithm's rates hardly depend on this cause, so there is nothing to learn from them."
)
ORDER = {cause: place for place, cause in enumerate(CAUSE_ORDER)}


def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal, or a dash where there is none."""
    return "-" if pd.isna(fraction) else f"{100 * fraction:.1f}"


def whole(number: float) -> str:
    """A count with thousands separated, or a dash where there is none."""
    return "-" if pd.isna(number) else f"{round(number):,}"


def describe_run(results: Results) -> RenderableType:
    """Tables of the run's estimates (roll-ups first), its caveats, its records."""
    csmf, fits = results.csmf, results.strata
    if (csmf["level"] != "stratum").any():
        fits = pd.concat([fits, results.rollups])
    parts: list[RenderableType] = [_heading(results)]
    units = list(_units(csmf))
    for unit, rows in units[:SHOWN_AT_MOST]:
        parts += [Text(f"\n{unit}{_received(rows, fits)}", style="bold"), *_algorithm_tables(rows, fits)]
    if len(units) > SHOWN_AT_MOST:
        left = len(units) - SHOWN_AT_MOST
        parts.append(Text(f"\n{left} more strata and totals, with fewer deaths, are in the files."))
    if csmf["status"].eq("passed_through").any():
        parts.append(Text(KEPT))
    for file in results.manifest["files"]:
        if file["path"] == CONTRASTS:
            number = amount(file["rows"], "row")
            parts.append(Text(f"\nDifferences: {number}, in the report and in {CONTRASTS}."))
    parts.append(records_table(results.table("records", RECORDS).to_pylist()))
    return Group(*parts)


def _received(rows: pd.DataFrame, fits: pd.DataFrame) -> str:
    """The deaths behind a stratum's tables, each counted once, whatever the algorithms said of it."""
    if (rows["level"] != "stratum").any():
        return ""
    received = fits.loc[fits["stratum"] == rows["stratum"].iloc[0], "deaths_received"].iloc[0]
    return f": {whole(received)} deaths received"


def _heading(results: Results) -> RenderableType:
    manifest = results.manifest
    inventory = manifest["inventory"]
    name = f"{inventory['id']}, sha256 {inventory['checksum'][:12]}"
    heading = Text(f"Run {manifest['run']}: {manifest['status'].replace('_', ' ')}", style="bold")
    verdict = words("en")(f"verdicts.{overall_verdict(View(results))}")
    for sentence in [*set_aside(View(results)), *nothing_usable(View(results))]:
        heading.append(f"\n{sentence}", style="bold red")
    heading.append(f"\nVerdict of the main results: {verdict}", style="not bold")
    heading.append(f"\nMisclassification matrices: {name}", style="not bold")
    if inventory["illustrative"]:
        heading.append("\nIllustrative, not for publication.", style="bold red")
    return heading


def _units(csmf: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The widest roll-ups first, strata last, those with most deaths first; name in words, and rows."""
    for level in sorted(csmf["level"].unique(), key=_width):
        groups = csmf[csmf["level"] == level].groupby("stratum", sort=False)
        largest = groups["deaths"].sum().sort_values(ascending=False, kind="stable")
        for stratum in largest.index:
            suffix = f" (total: {level})" if level != "stratum" else ""
            yield stratum_in_words(stratum) + suffix, groups.get_group(stratum)


def _width(level: str) -> tuple[bool, bool, int]:
    return level == "stratum", level != "nation", level.count("/")


def stratum_in_words(stratum: str) -> str:
    """The key of a stratum as people read it: "Neonates (0-27 days), Mozambique, Nampula, 2023"."""
    values = [unquote(part.partition("=")[2]) for part in stratum.split("/")]
    return ", ".join([words("en").or_plain(f"age_groups.{values[0]}"), *values[1:]])


def _algorithm_tables(rows: pd.DataFrame, fits: pd.DataFrame) -> Iterator[RenderableType]:
    for algorithm, estimates in rows.groupby("algorithm", sort=False):
        fit = fits[(fits["stratum"] == estimates["stratum"].iloc[0]) & (fits["algorithm"] == algorithm)]
        yield estimates_table(words("en").algorithm(str(algorithm)) + _verdict(fit), estimates)
        if not all(trusts_interval({"flags": flags}) for flags in estimates["flags"]):
            yield Text(f"  {words('en')('report.marks_note', mark=NO_INTERVAL)}")
        yield from _notes(estimates, fit)


def _verdict(fit: pd.DataFrame) -> str:
    rows = fit.head(1).to_dict("records")
    told = (shown_verdict(row) for row in rows if isinstance(row["verdict"], str))
    return "".join(f": {words('en')(f'verdicts.{verdict}')}" for verdict in told)


def estimates_table(title: str, estimates: pd.DataFrame) -> Listing:
    """Cause, deaths, raw %, calibrated % and 95% interval of one algorithm in one stratum or roll-up.

    As in the report's narrow tables, NO_INTERVAL stands for an interval that is known to be too narrow.
    """
    order = estimates["cause"].map(lambda cause: ORDER.get(cause, 98 + (cause.lower() == "other")))
    rows = estimates.assign(order=order).sort_values("order", kind="stable").to_dict("records")
    heads = ("Cause", "Deaths", "Raw %", "Calibr. %", "95% interval", "Calibr. deaths")
    cells = (_estimate(row) for row in rows)
    return Listing(heads, cells, title=title, numeric=range(1, 6), padding=(0, 1, 0, 0), edge=True)


def _estimate(row: Mapping[Hashable, Any]) -> list[str]:
    """The cells of one cause."""
    if pd.isna(row["q025"]):
        interval = NOT_CALIBRATED.get(row["not_calibrated_reason"], "kept")
    elif trusts_interval({"flags": row["flags"]}):
        interval = f"{percent(row['q025'])}\u2013{percent(row['q975'])}"
    else:
        interval = NO_INTERVAL
    ensemble = row["algorithm"] == ENSEMBLE  # its sum over algorithms counts every death several times
    return [
        words("en").cause(row["cause"]),
        "" if ensemble else whole(row["deaths"]),
        percent(row["raw"]),
        percent(row["mean"]),
        interval,
        whole(row["calibrated_deaths"] if row["level"] == "stratum" else row["estimated_deaths"]),
    ]


def _notes(estimates: pd.DataFrame, fit: pd.DataFrame) -> Iterator[RenderableType]:
    """Lambda, why the verdict is what it is, and the flags that the verdict does not speak of."""
    told: set[str] = set()
    for row in fit.head(1).to_dict("records"):
        if pd.notna(row.get("lambda")):
            yield Text(f"  Path correction: lambda = {row['lambda']:.2f}.")
        codes, reasons = row["verdict_codes"], row["verdict_reasons"]  # NaN where nothing speaks against it
        told = {reason.rule for reason in reasons_from_json(codes if isinstance(codes, str) else None)}
        if isinstance(reasons, str) and reasons:
            yield Padding(Text(reasons, style="yellow"), (0, 0, 0, 2))
    yield from _warnings((_flags(estimates["flags"]) | _flags(fit["flags"])) - told)


def _warnings(flags: set[str]) -> Iterator[RenderableType]:
    for sentence in in_words(flags):
        yield Padding(Text(sentence, style="yellow"), (0, 0, 0, 2))


def _flags(cells: pd.Series[str]) -> set[str]:
    return {flag for cell in cells for flag in split_flags(cell)}


def describe_comparison(comparison: Comparison, moved_at_most: int = 30) -> RenderableType:
    """What two runs differ in, how many estimates moved, and those that moved most."""
    differences = [(d.kind, d.what, str(d.before)[:40], str(d.after)[:40]) for d in comparison.differences]
    counts = [(name.replace("_", " "), MOVES[name], n) for name, n in comparison.verdicts.items()]
    far = comparison.estimates[~comparison.estimates["verdict"].isin(("identical", "noise"))]
    far = far.reindex(far["change"].abs().sort_values(ascending=False, kind="stable").index)
    shown = far.head(moved_at_most)
    parts: list[RenderableType] = [
        Text(f"{comparison.before} -> {comparison.after}", style="bold"),
        plain_table(("kind", "what", "before", "after"), differences, title="\nDifferences")
        if differences
        else Text("\nNo difference in input, options, matrices or versions."),
        plain_table(("change", "meaning", "estimates"), counts, title="\nHow many estimates moved"),
        Text(f"\n{_largest_noise(comparison.estimates)}") if far.empty else _moved(shown, len(far)),
    ]
    return Group(*parts)


MOVES = {
    "identical": "the same mean",
    "noise": "at most 4 times the sampling error",
    "small": "less than one posterior sd",
    "large": "one posterior sd or more",
    "status_changed": "calibrated in one run and not in the other",
    "appeared": "in the second run only",
    "vanished": "in the first run only",
}


def _largest_noise(estimates: pd.DataFrame) -> str:
    """The sentence of a comparison in which nothing moved beyond noise."""
    if estimates["change"].abs().max() > 0:
        row = estimates.loc[estimates["change"].abs().idxmax()]
        return (
            f"None moved beyond noise. The largest change: {points(row['change'])} percentage points, "
            f"with a sampling error of {points(row['monte_carlo_error'], sign='')} "
            f"({words('en').cause(row['cause'])}, {words('en').algorithm(row['algorithm'])}, "
            f"{stratum_in_words(row['stratum'])})."
        )
    return "None moved."


def _moved(shown: pd.DataFrame, total: int) -> RenderableType:
    """The estimates that moved most; what all their strata have in common is said once, above them."""
    names = [stratum_in_words(stratum).split(", ") for stratum in shown["stratum"]]
    common = [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*names, strict=False))]
    rows = []
    for row, name in zip(shown.itertuples(), names, strict=True):
        cause, algorithm = words("en").cause(row.cause), words("en").algorithm(row.algorithm)
        what = ", ".join([*name[len(common) :], algorithm, cause])
        because = f" ({row.why.replace(';', ', ')})" if row.why else ""
        rows.append(
            (
                percent(row.mean_before),
                percent(row.mean_after),
                points(row.change),
                points(row.monte_carlo_error, sign=""),
                points(row.posterior_sd, sign=""),
                f"{what}: {row.verdict.replace('_', ' ')}{because}",
            )
        )
    heads = ("before %", "after %", "change", "error", "sd", "what (because of)")
    return Group(
        Text(f"\nThe {len(shown)} that moved most, of {total}: {', '.join(common)}"),
        Text("Change, sampling error and posterior sd are in percentage points.", style="italic"),
        Listing(heads, rows, numeric=range(5), padding=(0, 1, 0, 0)),
    )


def points(fraction: float, sign: str = "+") -> str:
    """A difference of fractions in percentage points with two decimals, or a dash where there is none."""
    return "-" if pd.isna(fraction) else f"{100 * fraction:{sign}.2f}"
