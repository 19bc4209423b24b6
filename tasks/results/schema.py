"""The columns of every table that a run writes: schemas, checks and the data dictionary come from one list.

All columns are flat (no lists), so that pandas, polars, DuckDB, R, Athena and Excel read every table. `flags`
is text, names of tasks/terms/flags.py joined by ";" ("" = none); `caveat` says the same in sentences (null = none).
Both stand in every table: a number that is copied out of a file takes its caveat along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from tasks.terms import FLAGS, in_words

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 2
"""Number of the format of a stored run; the rule by which it rises is in docs/outputs.md."""
DEFAULT_QUANTILES = (0.025, 0.975)
ENSEMBLE = "ensemble"  # stands in the column `algorithm` for all of them together
ALL = "(all)"  # value of a strata column in a row that sums over it
COMPARED = "(compared)"  # value of a strata column in a row that compares two of its values

FIT_STATUS = ("calibrated", "not_calibrated", "no_result", "failed", "not_fitted")
ESTIMATE_STATUS = ("calibrated", "passed_through", "no_result")
MANY_SET_ASIDE = 0.1
"""Share of the records received that is rejected, above which a run says so before anything else."""
WITH_RESULT = ("calibrated", "not_calibrated")
"""Statuses of a fit that has a result."""
Shortfall = Literal["NothingUsable", "TotalsUnusable", "CompletedWithFailures", "TooMuchLeftOut"]
SHORTFALLS: tuple[Shortfall, ...] = get_args(Shortfall)
"""Final states of a run that is published and lacks what it was for, the gravest first (docs/operate.md)."""
NOOP = 0.005
"""A calibration that moves no fraction by as much has done nothing."""
MISFIT = 0.005
"""p-value of the misfit below which the model does not produce such deaths."""
MISFIT_RESIDUAL = 3
"""Standard deviations beyond which a cause is named as a reason of the misfit."""
RHAT_PUBLISHED = 1.02
"""Largest R-hat of a joint fit that is published."""
DIVERGENT = 0.01
"""Share of a fit's transitions above which divergences call for caution."""
DISPOSITIONS = ("used", "not_fitted", "excluded", "rejected")
MATRIX_KINDS = ("published", "used")
VERDICTS = ("publishable", "with_caution", "do_not_publish")
MATRIX_SHARING = ("per_stratum", "joint", "common")


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, what it means with its unit, whether it may be null and when."""

    name: str
    type: pa.DataType
    meaning: str
    null: str = ""  # when it is null; "" = never
    values: tuple[str, ...] = ()  # the only values allowed; () = any


TEXT, REAL, COUNT, YES_NO = pa.string(), pa.float64(), pa.int64(), pa.bool_()

_IDENTITY = (
    Column("run", TEXT, "Run that made the row: its name and 12 hexadecimal digits of its content."),
    Column("name", TEXT, "Name of the run, from the request."),
    Column("stratum", TEXT, "Key of the stratum, as in age_group=child/country=Mali/province=Kayes."),
    Column("age_group", TEXT, "neonate (0-27 days) or child (1-59 months)."),
    Column("country", TEXT, "Country as named in the data or the request."),
)
_PROVENANCE = (
    Column("inventory", TEXT, "Inventory of misclassification matrices that was used."),
    Column("inventory_version", TEXT, "Its version.", null="the inventory has none"),
    Column("inventory_checksum", TEXT, "Its SHA-256."),
    Column("illustrative", YES_NO, "True: made-up matrices; not for publication."),
)
_ALGORITHM = Column("algorithm", TEXT, "CCVA algorithm, or `ensemble`.")
_SHARING = Column(
    "matrix_sharing",
    TEXT,
    "Whether strata share one unknown matrix (joint), its draws (common), or nothing.",
    values=MATRIX_SHARING,
)
_CAVEATS = (
    Column("flags", TEXT, 'Names of the caveats of this row, joined by ";"; empty = none.'),
    Column("caveat", TEXT, "The same in sentences.", null="there is none"),
)
_NO_RULES = "no rules for releases were declared"
_VERDICT = (
    Column(
        "verdict",
        TEXT,
        "Whether to publish the figure, by the declared rules.",
        null=_NO_RULES,
        values=VERDICTS,
    ),
    Column("verdict_reasons", TEXT, "Why not, in sentences.", null="there is no objection, or " + _NO_RULES),
    Column(
        "verdict_codes",
        TEXT,
        "The same as JSON: a list of objects, one for each reason (docs/verdict.md); `[]`: no objection.",
        null=_NO_RULES,
    ),
)
_STRATUM_ROWS = "the row is a stratum, not a roll-up"
_NO_INTERVAL = "the cause is passed through or there is no result: an interval of zero width would be a lie"

_CSMF = (
    Column("level", TEXT, "`stratum`, or the roll-up: `nation`, `province`, `province/year`, ..."),
    _ALGORITHM,
    Column("cause", TEXT, "Calibration cause: a broad cause, or a study cause where a map was given."),
    Column("deaths", COUNT, "Deaths that the algorithm gave to the cause (ensemble: over all algorithms)."),
    Column("raw", REAL, "Uncalibrated fraction, 0 to 1 (ensemble: pooled).", null="there are no deaths"),
    Column("mean", REAL, "Posterior mean of the calibrated fraction, 0 to 1.", null="there is no result"),
    Column("sd", REAL, "Posterior standard deviation of the fraction.", null=_NO_INTERVAL),
    Column(
        "status", TEXT, "calibrated, passed_through (observed fraction) or no_result.", values=ESTIMATE_STATUS
    ),
    Column(
        "not_calibrated_reason",
        TEXT,
        "Why the cause is passed through: asked_for, learned, or why the algorithm is not calibrated.",
        null="the cause is calibrated, or the row is a roll-up",
    ),
    Column(
        "calibrated_deaths",
        COUNT,
        "Calibrated deaths, whole numbers that keep the algorithm's total.",
        null="the row is of the ensemble or a roll-up, or there is no result",
    ),
    Column(
        "ensemble_deaths",
        COUNT,
        "This algorithm's deaths by the ensemble's fractions; never to be summed over algorithms.",
        null="there is no ensemble result, or the row is of the ensemble or a roll-up",
    ),
    Column("weight", REAL, "Roll-up: deaths of the strata in it, as weighted.", null=_STRATUM_ROWS),
    Column(
        "share_left_out", REAL, "Roll-up: share of the weight in strata without a result.", null=_STRATUM_ROWS
    ),
    Column(
        "share_passed_through",
        REAL,
        "Roll-up: share of the weight in strata where the cause is passed through.",
        null=_STRATUM_ROWS + ", or there is no result",
    ),
    Column(
        "estimated_deaths",
        REAL,
        "Roll-up: deaths by the cause, mean x weight.",
        null=_STRATUM_ROWS + ", or there is no result",
    ),
    Column("estimated_deaths_q025", REAL, "Its 2.5% quantile.", null="as `q025`, or " + _STRATUM_ROWS),
    Column("estimated_deaths_q975", REAL, "Its 97.5% quantile.", null="as `q975`, or " + _STRATUM_ROWS),
    _SHARING,
)
_NOT_SAMPLED = "nothing was sampled"
_STRATA = (
    _ALGORITHM,
    Column("deaths_received", COUNT, "Deaths received in the stratum, whatever the algorithm said of them."),
    Column("deaths", COUNT, "Deaths that the algorithm brings to the calibration (ensemble: over all)."),
    Column("status", TEXT, "calibrated, not_calibrated, no_result, failed or not_fitted.", values=FIT_STATUS),
    Column("reason", TEXT, "Why the status is not `calibrated`.", null="it is calibrated"),
    Column("matrix_type", TEXT, "prior, fixed or samples.", null="no matrix was used"),
    Column(
        "matrix_country",
        TEXT,
        "Inventory entry that was used, as in Mozambique or other.",
        null="no matrix was used",
    ),
    Column("lambda", REAL, "Path correction: weight of the identity, 0 to 1.", null="there was no search"),
    Column("path_correction", YES_NO, "Whether path correction was on."),
    Column(
        "shrinkage",
        REAL,
        "Strength of the prior's pull towards the raw fractions.",
        null="joint model, common matrix draws",
    ),
    Column(
        "misfit_of",
        TEXT,
        "Joint model: algorithms whose deaths do not fit the model here, each with the causes most off, "
        'as JSON: `[{"algorithm":"eava","causes":["ipre"]}]`.',
        null="they fit, or another model",
    ),
    Column("unreliable_because", TEXT, "Members that make the interval unreliable.", null="it is not"),
    Column(
        "causes_not_calibrated", TEXT, "Causes passed through, with the reason of each.", null="there is none"
    ),
    Column("sampler", TEXT, "Sampler that drew the posterior.", null=_NOT_SAMPLED),
    Column("sampler_reason", TEXT, "Why that sampler.", null=_NOT_SAMPLED),
    Column("rhat", REAL, "Largest rank-normalised split R-hat over the causes.", null=_NOT_SAMPLED),
    Column("ess_bulk", REAL, "Smallest bulk effective sample size, in draws.", null=_NOT_SAMPLED),
    Column("ess_tail", REAL, "Smallest tail effective sample size, in draws.", null=_NOT_SAMPLED),
    Column("divergences", COUNT, "Divergent transitions.", null=_NOT_SAMPLED),
    Column("acceptance", REAL, "Acceptance rate, 0 to 1.", null=_NOT_SAMPLED),
    Column("evaluations", COUNT, "Evaluations of the density.", null=_NOT_SAMPLED),
    Column(
        "distinct_draws",
        COUNT,
        "Different draws of the sampler among those stored; some of these are repeated if it drew fewer.",
        null=_NOT_SAMPLED,
    ),
    Column("converged", YES_NO, "Whether the asked-for precision was reached.", null=_NOT_SAMPLED),
    _SHARING,
)
_RECORDS = (
    _ALGORITHM,
    Column("disposition", TEXT, "used, not_fitted, excluded or rejected.", values=DISPOSITIONS),
    Column("reason", TEXT, "Why.", null="the records were used"),
    Column("records", COUNT, "Records, one for each death and algorithm."),
)
_MATRICES = (
    _ALGORITHM,
    Column(
        "kind",
        TEXT,
        "`published`: the inventory's mean, all causes; `used`: calibrated causes, after path correction.",
        values=MATRIX_KINDS,
    ),
    Column("champs_cause", TEXT, "True cause, as CHAMPS found it (row of the matrix)."),
    Column("va_cause", TEXT, "Cause that the algorithm says (column of the matrix)."),
    Column("value", REAL, "Probability of the VA cause given the true cause; a row sums to 1."),
)
SHARES = {
    "share_unreliable": "stalled, unreliable or not calibrated strata (decides on interval_unreliable)",
    "share_path_correction_stalled": "strata whose path correction stalled",
    "share_estimate_is_noop": "strata that calibration did not move",
    "share_interval_unreliable": "strata with an unreliable interval",
    "share_algorithms_disagree": "strata in which algorithms disagree",
    "share_country_served_by_other": "strata served by the pooled matrix",
    "share_not_calibrated": "strata that are not calibrated",
    "share_not_converged": "strata whose sampler did not converge",
    "share_misfit": "strata whose data do not fit the model",
    "share_divergences": "strata of a joint fit with many divergences",
    "share_borrowed_from_other_strata": "strata without deaths, whose estimate is from the others",
}
_JOINT_FITS = (
    _ALGORITHM,
    Column("strata", COUNT, "Strata of the fit."),
    Column("published", YES_NO, f"Whether R-hat is at most {RHAT_PUBLISHED}; else its strata are `failed`."),
    Column("converged", YES_NO, "Whether R-hat and effective draws are as asked for."),
    Column("reason", TEXT, "What is missing.", null="it converged"),
    Column("rhat_nation", REAL, "Largest R-hat of the fractions of all its strata together, by deaths."),
    Column("ess_bulk_nation", REAL, "Their smallest bulk effective sample size, in draws."),
    Column("ess_tail_nation", REAL, "Their smallest tail effective sample size, in draws."),
    Column("rhat_strata", REAL, "Largest R-hat of a stratum's fraction."),
    Column("ess_bulk_strata", REAL, "Smallest bulk effective sample size of a stratum's fraction, in draws."),
    Column("ess_tail_strata", REAL, "Smallest tail effective sample size of a stratum's fraction, in draws."),
    Column("divergences", COUNT, "Divergent transitions."),
    Column("transitions", COUNT, "Transitions of all chains, without the warm-up."),
    Column("acceptance", REAL, "Acceptance rate, 0 to 1."),
    Column("relabelled", REAL, "Share of draws at which causes changed places (docs/joint.md), 0 to 1."),
    Column("evaluations", COUNT, "Evaluations of the density."),
    Column("budget", COUNT, "Evaluations that it might have taken."),
    Column("phi_mean", REAL, "Posterior mean of phi: how alike its strata are; large = alike."),
    Column("phi_q025", REAL, "2.5% quantile of phi."),
    Column("phi_q975", REAL, "97.5% quantile of phi."),
    Column("strata_misfit", COUNT, "Strata with an algorithm whose deaths do not fit."),
    _SHARING,
)
_MISFIT = (
    Column("algorithm", TEXT, "The fit: a CCVA algorithm, or `ensemble`."),
    Column("member", TEXT, "The algorithm whose deaths are compared with what the fit expects."),
    Column("p_value", REAL, "Posterior-predictive p-value of Pearson's statistic, relative to the scatter."),
    Column(
        "scatter",
        REAL,
        "Factor by which the variance of such counts exceeds that of multinomial ones, as matrices differ "
        "between strata; 1: they do not.",
    ),
    Column("misfit", YES_NO, f"Whether it is below {MISFIT}: the model does not produce such deaths."),
    Column(
        "causes",
        TEXT,
        f"VA causes more than {MISFIT_RESIDUAL} standard deviations from what is expected, as JSON: "
        '`["ipre","pneumonia"]`.',
        null="there is none, or no misfit",
    ),
    _SHARING,
)
_ROLLUPS = (
    Column("level", TEXT, "The roll-up: `nation`, `province`, `province/year`, ..."),
    _ALGORITHM,
    Column("strata", COUNT, "Strata of the roll-up."),
    Column("strata_fitted", COUNT, "Those with a result of this algorithm."),
    Column("weight", REAL, "Deaths of all its strata, as weighted."),
    Column("weight_fitted", REAL, "Deaths of the strata with a result."),
    Column("share_left_out", REAL, "Share of the weight in strata without a result."),
    Column(
        "ess_bulk", REAL, "Smallest bulk effective sample size of its strata, in draws.", null=_NOT_SAMPLED
    ),
    *(
        Column(name, REAL, f"Share of the fitted weight in {words}.", null="no stratum has a result")
        for name, words in SHARES.items()
    ),
    _SHARING,
)
_CONTRASTS = (
    Column("level", TEXT, "Level of the two results: a roll-up such as `province` or `province/year`."),
    Column("between", TEXT, "Strata column in which they differ; it is `(compared)` in this row."),
    Column("reference", TEXT, "Its value that the other is compared with, such as the earlier year."),
    Column("compared", TEXT, "Its other value."),
    _ALGORITHM,
    Column("cause", TEXT, "Calibration cause."),
    Column("reference_mean", REAL, "Posterior mean of the fraction in `reference`, 0 to 1."),
    Column("compared_mean", REAL, "The same in `compared`."),
    Column("difference", REAL, "Posterior mean of compared minus reference, -1 to 1."),
    Column("sd", REAL, "Posterior standard deviation of the difference.", null=_NO_INTERVAL),
    Column(
        "probability_higher",
        REAL,
        "Posterior probability that the fraction is higher in `compared`.",
        null=_NO_INTERVAL,
    ),
    Column(
        "status",
        TEXT,
        "calibrated, or passed_through where the cause is so on either side.",
        values=ESTIMATE_STATUS,
    ),
    _SHARING,
)
_NOT_DRAWN = "nothing was drawn"
BASELINE_STATUS = ("drawn", "not_calibrated", "no_result", "failed")
_COMMON_FITS = (
    _ALGORITHM,
    Column("strata", COUNT, "Strata that the baseline was made from."),
    Column(
        "status",
        TEXT,
        "drawn; else why no stratum of this fit is: not_calibrated, no_result or failed.",
        values=BASELINE_STATUS,
    ),
    Column("reason", TEXT, "Why.", null="it was drawn"),
    Column("draws", COUNT, "Draws of the matrices, which all strata use.", null=_NOT_DRAWN),
    Column("fit_members", TEXT, 'Algorithms of the fit, as JSON: `["eava"]`.', null=_NOT_DRAWN),
    Column("calibrated_causes", TEXT, "Causes of the fit, as JSON.", null=_NOT_DRAWN),
    Column(
        "matrices_from",
        TEXT,
        "two stages (their posterior given the deaths of all strata) or fixed.",
        null=_NOT_DRAWN,
    ),
    Column(
        "centre_units", COUNT, "Units, such as provinces and years, that centre the strata.", null=_NOT_DRAWN
    ),
    Column(
        "concentration",
        REAL,
        "Pseudo-deaths per cause of a stratum's prior, learned from the strata; at least 1.",
        null=_NOT_DRAWN,
    ),
    Column(
        "common_share",
        REAL,
        "Ensemble: share of the counts' variance that its algorithms have in common as they code the same "
        "deaths (rho); 0 for one algorithm.",
        null=_NOT_DRAWN,
    ),
    Column("rhat", REAL, "Largest R-hat of the country's fractions.", null=_NOT_SAMPLED),
    Column("ess_bulk", REAL, "Their smallest bulk effective sample size, in draws.", null=_NOT_SAMPLED),
    Column("ess_tail", REAL, "Their smallest tail effective sample size, in draws.", null=_NOT_SAMPLED),
    Column("divergences", COUNT, "Divergent transitions of the chains.", null=_NOT_SAMPLED),
    Column("converged", YES_NO, "Whether the chains are worth as many draws as asked for.", null=_NOT_DRAWN),
    _SHARING,
)
_COMMON_STRATA = (
    _ALGORITHM,
    Column(
        "inner_correlation",
        REAL,
        "Correlation, over draws, of the stratum's inner chains half way with their ends, the largest over "
        "coordinates: what the chains still remember of their start, about 0 to 1.",
    ),
    Column("impossible_draws", COUNT, "Draws whose matrices cannot produce the deaths; any: no result."),
    Column("counts_weight", REAL, "Factor on the counts, as algorithms code the same deaths, 0 to 1."),
    Column(
        "without_own",
        YES_NO,
        "Whether it has more than a fifth of the deaths of a unit or the country, and is centred on that "
        "without its own.",
    ),
    _SHARING,
)
BASELINE_KINDS = (
    *("matrix", "country", "unit", "unit_centre"),
    *("country_counts", "unit_counts", "large_counts", "pooled_counts", "known", "held_by", "whole"),
)
_BASELINE = (
    _ALGORITHM,
    Column(
        "kind",
        TEXT,
        "By draw: matrix (of an algorithm), country and unit (fractions), unit_centre (of its prior). Once: "
        "country_counts, unit_counts, large_counts (of strata with more than a fifth of a unit's deaths), "
        "pooled_counts, known (a unit, whether it counts or not), held_by (it is within the other), whole (the only "
        "stratum with deaths).",
        values=BASELINE_KINDS,
    ),
    Column(
        "centre_unit", TEXT, "Unit, as in province=Gaza, or key of a large stratum.", null="of the country"
    ),
    Column("member", TEXT, "Algorithm; for held_by the other unit.", null="of no single algorithm"),
    Column("champs_cause", TEXT, "True cause.", null="counts, known, held_by, whole"),
    Column("va_cause", TEXT, "VA cause.", null="fractions, known, held_by, whole"),
    Column("draw", COUNT, "Number of the draw, from 1."),
    Column("value", REAL, "Rate, fraction or count (known, held_by, whole: 1)."),
    _SHARING,
)
_CHECKS = (
    Column("level", TEXT, "The roll-up: `nation`, `province`, `province/year`, ..."),
    _ALGORITHM,
    Column("cause", TEXT, "Calibration cause."),
    Column(
        "sum_of_strata", REAL, "Mean fraction by the sum over fitted strata, weighted by this fit's deaths."
    ),
    Column(
        "direct_fit",
        REAL,
        "Mean fraction by a fit of the deaths of the same strata together, under the same matrix draws.",
    ),
    Column("check_difference", REAL, "Sum of strata minus direct fit, -1 to 1."),
    Column(
        "check_limit",
        REAL,
        "Largest difference that is not flagged: 0.01, or a quarter of the width of the total's 95% interval "
        "if that is more.",
    ),
    _SHARING,
)
_DRAWS = (
    _ALGORITHM,
    Column("cause", TEXT, "Calibration cause."),
    Column("draw", COUNT, "Number of the posterior draw, from 1; all draws weigh the same."),
    Column(
        "value", REAL, "Fraction of the cause in that draw (a cause passed through: its observed fraction)."
    ),
    _SHARING,
)
_VALUES = Column("values", pa.list_(pa.float64()), "All draws of the cause.")
_BODY: dict[str, tuple[Column, ...]] = {
    "csmf": _CSMF,
    "strata": _STRATA,
    "records": _RECORDS,
    "matrices": _MATRICES,
    "rollups": _ROLLUPS,
    "joint_fits": _JOINT_FITS,
    "misfit": _MISFIT,
    "contrasts": _CONTRASTS,
    "common_fits": _COMMON_FITS,
    "common_strata": _COMMON_STRATA,
    "checks": _CHECKS,
    "baseline": _BASELINE,
    "draws": _DRAWS,
}
TABLES = tuple(_BODY)
TABLE_MEANING = {
    "csmf": "The results: one row for each stratum or roll-up, algorithm or ensemble, and cause.",
    "strata": "One row for each stratum and algorithm or ensemble: what was fitted, and how well it went.",
    "records": "Every record accounted for: received = used + not fitted + excluded + rejected.",
    "matrices": "Misclassification matrices as published and as used.",
    "rollups": "One row for each roll-up and algorithm: what is in it and what share of it carries a caveat.",
    "joint_fits": "Joint model: one row for each fit of all strata together, and how well it went.",
    "misfit": "Joint model: one row for each fit, stratum and algorithm with deaths: do they fit the model?",
    "contrasts": "Differences between two results of one level, where the request asks for them.",
    "common_fits": "Common matrix draws: one row for each country, age group and fit: what its baseline is, and how "
    "well it went.",
    "common_strata": "Common matrix draws: one row for each stratum and fit that was drawn.",
    "checks": "Common matrix draws: each total by the sum of its strata, and by a direct fit of their deaths.",
    "baseline": "Common matrix draws: the draws of matrices, country and units on which all strata rest.",
    "draws": "Posterior draws, where the request keeps them.",
}
COMPACT = ("draws", "baseline")
"""Tables that come with a list of all draws in a row, and are published with a row for each draw."""


def quantile_name(quantile: float) -> str:
    """Column of a quantile: its decimals, at least three, as in q025 for 0.025 and q5 -> q500 for 0.5."""
    decimals = format(Decimal(str(quantile)), "f").partition(".")[2]
    return "q" + decimals.ljust(3, "0")


def columns(
    table: str, strata_columns: Sequence[str] = (), quantiles: Sequence[float] = DEFAULT_QUANTILES
) -> tuple[Column, ...]:
    """All columns of a published table in their order, with the request's strata columns and quantiles."""
    strata = (
        Column(name, TEXT, f"Value of the strata column {name}; `(missing)` where the data have none.")
        for name in strata_columns
    )
    body: list[Column] = []
    for column in _BODY[table]:
        body.append(column)
        if table in ("csmf", "contrasts") and column.name == "sd":
            body += [
                Column(quantile_name(q), REAL, f"Posterior quantile at {q:g}.", null=_NO_INTERVAL)
                for q in sorted({*DEFAULT_QUANTILES, *quantiles})
            ]
    verdict = _VERDICT if table in ("csmf", "strata", "rollups", "contrasts") else ()
    return (*_IDENTITY, *strata, *_PROVENANCE, *body, *_CAVEATS, *verdict)


def schema(
    table: str, strata_columns: Sequence[str] = (), quantiles: Sequence[float] = DEFAULT_QUANTILES
) -> pa.Schema:
    """Arrow schema of a published table."""
    return _arrow(columns(table, strata_columns, quantiles))


def conform(
    table: str,
    data: pa.Table | pd.DataFrame | Mapping[str, Any],
    *,
    strata_columns: Sequence[str] = (),
    quantiles: Sequence[float] = DEFAULT_QUANTILES,
    constants: Mapping[str, Any] | None = None,
) -> pa.Table:
    """`data` with the columns, order and types of the table; refuses what does not belong.

    `constants` are columns with one value for all rows (those that the table has are taken); its `flags`,
    names of what holds for the whole run, are added to those of each row, and its `flags_of`, by age group
    and algorithm, to those of their rows. A column that may be null is null
    where it is absent. `flags` may be lists of names or joined text; `caveat` is written from it. The
    tables COMPACT come with `values`, a list of all draws, in place of `draw` and `value`. Raises
    ValueError (a defect of the caller, not of the user's data) naming every column that is wrong.
    """
    wanted = columns(table, strata_columns, quantiles)
    if table in COMPACT:
        wanted = (*(c for c in wanted if c.name not in ("draw", "value")), _VALUES)
    arrays, rows = _arrays(data)
    names = {column.name for column in wanted}
    arrays |= {
        name: pa.repeat(pa.scalar(value), rows) if value is not None else pa.nulls(rows)
        for name, value in (constants or {}).items()
        if name in names and name not in arrays and not name.startswith("flags")
    }
    always = (constants or {}).get("flags", ())
    own = _with_flags_of(arrays, rows, (constants or {}).get("flags_of", {}))
    arrays["flags"] = _joined(own, arrays.get("illustrative"), rows, always)
    arrays["caveat"] = _caveats(arrays["flags"])
    problems = [f"{name}: no such column" for name in arrays if name not in names]
    fitted = [_fit(column, arrays.get(column.name), rows, problems) for column in wanted]
    if problems:
        raise ValueError(f"table {table}: " + "; ".join(problems))
    return pa.Table.from_arrays(fitted, schema=_arrow(wanted))


def split_flags(text: str) -> list[str]:
    """Names of the flags in a `flags` cell."""
    return text.split(";") if text else []


def join_flags(flags: Iterable[str]) -> str:
    """A `flags` cell: names in the order of FLAGS, each once. Raises ValueError for a flag without words."""
    present = set(flags)
    if unknown := sorted(present.difference(FLAGS)):
        raise ValueError(f"flags: no words for {unknown}")
    return ";".join(flag for flag in FLAGS if flag in present)


def check_strata_columns(names: Sequence[str]) -> list[str]:
    """What is wrong with the names of strata columns: one sentence each, none if they can be used."""
    reserved = {c.name for table in TABLES for c in columns(table)} | {"values", "nation"}
    problems = [
        f"strata column {name!r}: results have a column of that name; rename the column of the input"
        for name in names
        if name.lower() in reserved or (name[:1] == "q" and name[1:].isdigit())
    ]
    problems += [
        f"strata column {name!r} is named twice (upper and lower case count as the same)"
        for index, name in enumerate(names)
        if name.lower() in [other.lower() for other in names[:index]]
    ]
    problems += [
        f"strata column {name!r}: the name must not be blank, nor hold '/', '=' or line breaks"
        for name in names
        if not name.strip() or any(sign in name for sign in "/=\n\r")
    ]
    return problems


def dictionary() -> str:
    """The data dictionary in Markdown, one section a table (docs/outputs.md holds it; a test compares)."""
    lines: list[str] = []
    for table in TABLES:
        lines += [
            f"### {table}",
            "",
            TABLE_MEANING[table],
            "",
            "| column | type | meaning | null when |",
            "|---|---|---|---|",
        ]
        own = columns(table)[len(_IDENTITY) + len(_PROVENANCE) :] if table != TABLES[0] else columns(table)
        if table != TABLES[0]:
            lines.append(
                "| *identity* | | the columns `run` to `illustrative` of csmf, strata columns among them | |"
            )
        lines += [f"| {c.name} | {_type_name(c.type)} | {c.meaning} | {c.null or 'never'} |" for c in own]
        lines.append("")
    return "\n".join(lines)


def _type_name(kind: pa.DataType) -> str:
    return {TEXT: "text", REAL: "real", COUNT: "whole number", YES_NO: "true/false"}[kind]


def _arrow(wanted: Sequence[Column]) -> pa.Schema:
    return pa.schema([pa.field(column.name, column.type, nullable=bool(column.null)) for column in wanted])


def _arrays(data: pa.Table | pd.DataFrame | Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    if not isinstance(data, pa.Table | Mapping):
        data = pa.Table.from_pandas(data, preserve_index=False)
    if isinstance(data, pa.Table):
        return {name: data[name].combine_chunks() for name in data.column_names}, data.num_rows
    arrays = {name: value if isinstance(value, pa.Array) else pa.array(value) for name, value in data.items()}
    return arrays, max((len(array) for array in arrays.values()), default=0)


def _with_flags_of(
    arrays: Mapping[str, Any], rows: int, flags_of: Mapping[tuple[str, str], Sequence[str]]
) -> Any:
    """The flags of each row, with those of its age group and algorithm."""
    flags = arrays.get("flags")
    if not flags_of or not {"age_group", "algorithm"} <= arrays.keys():
        return flags
    cells = flags.to_pylist() if flags is not None else [()] * rows
    keys = zip(arrays["age_group"].to_pylist(), arrays["algorithm"].to_pylist(), strict=True)
    return pa.array(
        [
            [*(split_flags(cell) if isinstance(cell, str) else cell or ()), *flags_of.get(key, ())]
            for cell, key in zip(cells, keys, strict=True)
        ],
        pa.list_(pa.string()),
    )


def _joined(flags: Any, illustrative: Any, rows: int, always: Iterable[str]) -> pa.Array:
    """One `flags` text a row: its own, those of the run, and `illustrative` where that column is true."""
    cells = flags.to_pylist() if flags is not None else [()] * rows
    made_up = illustrative.to_pylist() if illustrative is not None else [False] * rows
    known: dict[tuple[Any, Any], str] = {}
    joined = []
    for cell, is_made_up in zip(cells, made_up, strict=True):
        key = (cell if isinstance(cell, str | None) else tuple(cell), is_made_up)
        if key not in known:
            names = split_flags(cell) if isinstance(cell, str) else cell or ()
            known[key] = join_flags([*names, *always, *(["illustrative"] if is_made_up else [])])
        joined.append(known[key])
    return pa.array(joined, TEXT)


def _caveats(flags: pa.Array) -> pa.Array:
    encoded = flags.dictionary_encode()
    sentences = [" ".join(in_words(split_flags(text))) or None for text in encoded.dictionary.to_pylist()]
    return pa.array(sentences, TEXT).take(encoded.indices)


def _fit(column: Column, array: Any, rows: int, problems: list[str]) -> Any:
    """The array with the column's type, what is wrong added to `problems`."""
    if array is None:
        if rows and not column.null:
            problems.append(f"{column.name}: missing")
        return pa.nulls(rows, column.type)
    try:
        array = array.cast(column.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        problems.append(f"{column.name}: {error}")
        return pa.nulls(rows, column.type)
    if column.type == REAL:  # R's NA arrives as NaN
        array = pc.if_else(pc.is_nan(array), None, array)
    if not column.null and array.null_count:
        problems.append(f"{column.name}: {array.null_count} nulls")
    if column.values and (foreign := set(pc.unique(array).to_pylist()) - {*column.values, None}):
        problems.append(f"{column.name}: {sorted(foreign)} not among {list(column.values)}")
    return array
