"""The fields of a request, with their units and defaults; docs/requests.md is generated from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    field_validator,
    model_validator,
)

from tasks.errors import InputError
from tasks.request.values import (
    Algorithm,
    CauseLabels,
    Counts,
    FilesByAlgorithm,
    Texts,
    Uri,
    algorithms_once,
    no_inline_rows,
    reported_as,
    sorted_quantiles,
    spelled_aliases,
)
from tasks.settings import settings
from tasks.terms import AgeGroup, Stillbirths, resolve_country
from tasks.verdict import VerdictRules


class _Part(BaseModel):
    """Base of the request and its parts: unknown fields are refused, values are never converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class ColumnRef(_Part):
    """A value that is read from a column of the input."""

    column: str = Field(min_length=1, description="Name of the input's column.")


class Input(_Part):
    """The deaths: counts written in the request, or the address of files."""

    counts: Counts | None = Field(
        default=None,
        description=(
            "Deaths by algorithm and cause, as {algorithm: {cause: deaths}}; whole numbers; one "
            "stratum. Either this or uri."
        ),
    )
    uri: FilesByAlgorithm | None = Field(
        default=None,
        description=(
            "File, folder (its files and year=2023 style subfolders) or pattern with *, or a list of "
            "them; or {algorithm: file or files}. Local, or s3:// with credentials from the standard "
            "AWS chain."
        ),
    )
    format: Literal["csv", "parquet"] | None = Field(
        default=None,
        description="Format of the files; empty: from each file's ending (.csv, .csv.gz, .parquet).",
    )
    layout: Literal["records", "matrix", "counts"] = Field(
        default="records",
        description=(
            "records: one row a death and algorithm, with ID and cause; matrix: one row a death and "
            "algorithm, with a 0/1 column for each cause; counts: columns algorithm, cause and number"
            " of deaths."
        ),
    )


class Columns(_Part):
    """Names of the input's columns; the first row of a CSV file holds them."""

    id: str = Field(
        default="ID", min_length=1, description="Column of the death's ID (records and matrix layouts); text."
    )
    cause: str | None = Field(
        default=None,
        min_length=1,
        description="Column of the cause; empty: cause or openVA's cause1, whichever is there.",
    )
    algorithm: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Column of the algorithm; empty: the column algorithm if there is one; not used when uri "
            "is given by algorithm."
        ),
    )
    count: str = Field(
        default="deaths", min_length=1, description="Column of the number of deaths (counts layout)."
    )
    strata: Texts = Field(
        default=(),
        description=(
            "Columns whose values make the strata, such as province and year; age group and country "
            "always do. Empty: one stratum for each age group and country."
        ),
    )


class MatrixChoice(_Part):
    """Which misclassification matrices are used."""

    type: Literal["prior", "fixed", "samples"] = Field(
        default="prior",
        description=(
            "prior: uncertain, Dirichlet; fixed: without uncertainty; samples: uncertain, given by draws."
        ),
    )
    source: Uri = Field(
        default="inventory",
        description=(
            "inventory: the published CHAMPS matrices; illustrative: made up, for first steps, never "
            "for publication; otherwise the address of one's own matrices (Parquet, CSV or JSON)."
        ),
    )


class Contrast(_Part):
    """A comparison of each two values of a strata column."""

    between: str = Field(
        min_length=1, description="Strata column whose values are compared, such as year or province."
    )
    within: Texts = Field(
        default=(),
        description="Strata columns within each of whose values it is done, such as province; empty: none.",
    )
    pairs: Literal["all", "successive"] = Field(
        default="all", description="all: every two values; successive: each with the one before it."
    )

    @property
    def level(self) -> tuple[str, ...]:
        """Strata columns of the results that are compared."""
        return (*self.within, self.between)


class RequestFields(_Part):
    """The fields of a request, each valid by itself, and what is used where a field is empty."""

    name: Annotated[
        str, reported_as("must be letters, digits and single dashes, at most 60, such as moz-2023", text=True)
    ] = Field(
        pattern=r"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$",
        max_length=60,
        description="Name of the run: letters, digits and dashes.",
    )
    input: Input = Field(description="The deaths.")
    columns: Columns = Field(default=Columns(), description="Names of the input's columns.")
    age_group: Annotated[AgeGroup | ColumnRef, reported_as("must be neonate, child, or {column: NAME}")] = (
        Field(
            description=(
                "neonate (0-27 days) or child (1-59 months), or the column that says which. Never guessed."
            )
        )
    )
    country: Annotated[
        str | ColumnRef, reported_as("must be a country's name or {column: NAME}", text=True)
    ] = Field(
        description=(
            "Country of the deaths (name or ISO 3166 code), or the column that says which. Never "
            "guessed: it chooses the misclassification matrices."
        )
    )
    algorithms: Annotated[tuple[Algorithm, ...], Field(strict=False, min_length=1)] = Field(
        description="Algorithms that gave the causes, such as eava, insilicova, interva. Never guessed."
    )
    ensemble: bool = Field(
        default=True,
        description="Whether the algorithms are also calibrated together; takes at least two of them.",
    )
    matrix: MatrixChoice = Field(default=MatrixChoice(), description="The misclassification matrices.")
    study_cause_map: dict[str, str] | None = Field(
        default=None,
        description=(
            "Study cause -> broad cause: each study cause is then calibrated as a cause of its own, which "
            "changes the estimates; for labels that only mean a broad cause give cause_labels. Empty: none."
        ),
    )
    cause_labels: CauseLabels | None = Field(
        default=None,
        description=(
            "Label -> broad cause that it means, for ICD-10 codes and ranges (A00-B99), translations and "
            "other lists: same result as with the broad causes in the input. Goes before the known names; "
            "Undetermined and Stillbirth are allowed as causes. With an age group from a column also "
            "{neonate: {...}, child: {...}}. Empty: none."
        ),
    )
    do_not_calibrate: Annotated[
        Texts | Annotated[dict[Algorithm, Texts], BeforeValidator(algorithms_once)],
        reported_as("must be a list of causes, or a map from algorithm to a list of causes"),
    ] = Field(
        default=("other",),
        description=(
            "Causes that keep their observed fraction: a list, or {algorithm: list}; broad or study causes."
        ),
    )
    do_not_calibrate_rule: Literal["learn", "fixed"] = Field(
        default="learn",
        description=(
            "learn: also leave out causes whose misclassification hardly depends on the true cause; "
            "fixed: only those named in do_not_calibrate."
        ),
    )
    threshold: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Range of misclassification rates at or below which learn leaves a cause out.",
    )
    path_correction: bool | None = Field(
        default=None,
        description=(
            "Whether the matrix is shrunk towards the identity until the solution is a distribution; "
            "empty: yes for matrix_sharing per_stratum, no for joint; not for common."
        ),
    )
    shrinkage: float | None = Field(
        default=None,
        ge=0,
        description=(
            "Strength of shrinkage towards the uncalibrated fractions (eta, no unit); empty: 0 with "
            "path correction, 4 without; not for matrix_sharing joint and common."
        ),
    )
    unmapped_causes: Literal["error", "exclude"] = Field(
        default="error",
        description="Causes that are in no list: refuse the run, or exclude, count and report them.",
    )
    undetermined_causes: Literal["error", "exclude"] = Field(
        default="exclude",
        description="Unspecified, Undetermined, Unknown: refuse the run, or exclude, count and report.",
    )
    stillbirths: Stillbirths = Field(
        default="exclude",
        description=(
            "Fresh and macerated stillbirths, which are no deaths of an age group: exclude, count and "
            "report them, or count them as other, as the published package does."
        ),
    )
    bad_records: Literal["refuse", "reject"] = Field(
        default="refuse",
        description=(
            "Rows with a duplicate ID, an invalid value, or without ID, age group or country: refuse "
            "the run, or set every such row aside (all copies of a duplicate), count and report."
        ),
    )
    minimum_deaths: int = Field(
        default=1, ge=1, description="Deaths below which an algorithm's stratum is reported, not fitted."
    )
    matrix_sharing: Literal["per_stratum", "joint", "common"] | None = Field(
        default=None,
        description=(
            "per_stratum: each stratum on its own, as published; joint: strata of a country and age "
            "group share one unknown matrix, so that totals and comparisons have intervals that hold "
            "(docs/joint.md); common: the same aim for strata of any number, by matrix draws that all of "
            "them use (docs/common.md); empty: joint where the request has roll_ups or contrasts and the "
            "engine is vacal, else per_stratum."
        ),
    )
    centre: Texts = Field(
        default=(),
        description=(
            "Common matrix draws: strata columns, such as province and year, the totals of whose values "
            "centre the strata. Empty: the columns of single-column roll_ups."
        ),
    )
    baseline: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Common matrix draws: id or name of a run in the store of `output` whose draws of matrices and "
            "totals are used, so that figures of strata that it had stay as they are. Empty: new draws."
        ),
    )
    joint_groups: Texts = Field(
        default=(),
        description=(
            "Joint model: strata columns, such as region, each of whose values gets fits and matrices of "
            "its own, where one fit would be too large; intervals over several of them are too narrow. "
            "Empty: one fit for a country and age group."
        ),
    )
    roll_ups: Annotated[
        tuple[Texts, ...],
        Field(strict=False),
        reported_as("must be a list of lists of strata columns, such as [[province], []]"),
    ] = Field(
        default=(),
        description=(
            "Levels to sum up to, each a list of strata columns; [] is the whole; always within one "
            "age group and country. Empty: none."
        ),
    )
    roll_up_weights: Uri | None = Field(
        default=None,
        description=(
            "Address of a table of deaths by stratum (the strata columns and deaths) to weight "
            "roll-ups with; empty: the deaths received."
        ),
    )
    contrasts: Annotated[tuple[Contrast, ...], Field(strict=False)] = Field(
        default=(),
        description=(
            "Differences between results by posterior draw, each as {between: year, within: [province], "
            "pairs: successive}: within each value of `within` (empty: over all), every two values of the "
            "strata column `between` (pairs: all, the default) or each with the one before it "
            "(successive). Empty: none."
        ),
    )
    unreliable_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of a roll-up's weight in stalled, unreliable or uncalibrated strata above which "
        "its interval is called unreliable.",
    )
    unfitted_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of strata that may fail or be lost, those below minimum_deaths aside, before the run "
        "ends in the state CompletedWithFailures; fewer are told in its message. Changes no result.",
    )
    left_out_share: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Share of the records of an algorithm that may be excluded or rejected before the run ends "
        "in the state TooMuchLeftOut; fewer are told in its message. Changes no result.",
    )
    verdict_rules: VerdictRules = Field(
        VerdictRules(), description="Rules of the release verdict: docs/verdict.md."
    )
    draws: int | None = Field(
        default=None,
        ge=100,
        le=1_000_000,
        description="Posterior draws stored for each result; empty: 4000, and 2000 for matrix_sharing common.",
    )
    effective_draws: int | None = Field(
        default=None,
        ge=100,
        le=1_000_000,
        description=(
            "Bulk effective sample size, in draws, asked of the sampler (of the tail: two fifths of it, a "
            "half with matrix_sharing joint); empty: 4000, and 2000 for matrix_sharing joint; not for common, "
            "where draws says it."
        ),
    )
    seed: int = Field(default=1, ge=0, le=2**31 - 1, description="Seed of the random numbers.")
    quantiles: Annotated[tuple[float, ...], Field(strict=False)] = Field(
        default=(0.025, 0.975),
        description=(
            "Posterior quantiles reported, between 0 and 1, at most three decimals; 0.025 and 0.975 "
            "always are."
        ),
    )
    engine: Literal["vacal", "vacalibration"] = Field(
        default="vacal", description="vacal: this project's engine; vacalibration: the published R package."
    )
    output: Uri = Field(
        default_factory=lambda: settings().store,
        description="Root of the results store: a folder, or s3://bucket/prefix; empty: the installation's "
        "(`VACAL_STORE`), else the folder results.",
    )
    keep_draws: bool = Field(
        default=False, description="Whether the posterior draws are stored with the results."
    )
    report_language: Literal["en", "fr", "pt"] = Field("en", description="Language of the run's report.")
    boundaries: Uri | None = Field(
        None,
        description="Address of a GeoJSON file whose areas are the values of a strata column, for maps in "
        "the report; empty: no maps.",
    )
    chunk_strata: int | None = Field(
        default=None,
        ge=1,
        description="Strata in a task; empty: chosen from the expected cost. Never changes a result, nor how "
        "a joint fit is split: it is one task.",
    )

    _aliases: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _keep_aliases(cls, value: Any, handler: ModelWrapValidatorHandler[RequestFields]) -> Any:
        request = handler(value)
        if not isinstance(value, RequestFields):
            request._aliases = spelled_aliases(value)
        return request

    @field_validator("input", mode="before")
    @classmethod
    def _no_inline_rows(cls, value: Any) -> Any:
        return no_inline_rows(value)

    @field_validator("country")
    @classmethod
    def _known_country(cls, value: str | ColumnRef) -> str | ColumnRef:
        if isinstance(value, ColumnRef):
            return value
        try:
            return resolve_country(value)
        except InputError as error:
            raise ValueError(str(error)) from None

    @field_validator("quantiles")
    @classmethod
    def _all_quantiles(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return sorted_quantiles(value)

    @property
    def matrix_sharing_used(self) -> Literal["per_stratum", "joint", "common"]:
        """Whether strata share their matrices: as asked for; else where they are summed or compared."""
        joins = bool(self.roll_ups or self.contrasts) and self.engine == "vacal"
        return self.matrix_sharing or ("joint" if joins else "per_stratum")

    @property
    def path_correction_used(self) -> bool:
        """Whether path correction is applied: as asked for, by default where strata are fitted alone."""
        alone = self.matrix_sharing_used == "per_stratum"
        return alone if self.path_correction is None else self.path_correction

    @property
    def centre_used(self) -> tuple[str, ...]:
        """Strata columns that centre the strata of common matrix draws; none elsewhere."""
        if self.matrix_sharing_used != "common":
            return ()
        single = (level[0] for level in self.roll_ups if len(level) == 1)
        return self.centre or tuple(dict.fromkeys(name for name in single if name in self.columns.strata))

    @property
    def draws_used(self) -> int:
        """Posterior draws of each result: as asked for, by default 4,000, and 2,000 common matrix draws."""
        return self.draws or (2000 if self.matrix_sharing_used == "common" else 4000)

    @property
    def effective_draws_used(self) -> int:
        """Effective sample size asked of the sampler: as asked for, by default 4,000, joint 2,000."""
        by_default = {"joint": 2000, "common": self.draws_used, "per_stratum": 4000}
        return self.effective_draws or by_default[self.matrix_sharing_used]

    @property
    def shrinkage_used(self) -> float:
        """Shrinkage strength eta: as asked for; else 4, and 0 with path correction or shared matrices."""
        if self.shrinkage is not None:
            return self.shrinkage
        return 0.0 if self.path_correction_used or self.matrix_sharing_used != "per_stratum" else 4.0

    def cause_labels_of(self, age_group: str) -> dict[str, str]:
        """Label -> broad cause of an age group; empty where the request has none."""
        given = self.cause_labels or {}
        return {
            label: cause
            for key, value in given.items()
            for label, cause in ({key: value} if isinstance(value, str) else value).items()
            if isinstance(value, str) or key == age_group
        }

    @property
    def levels(self) -> tuple[tuple[str, ...], ...]:
        """Levels to sum up to: those of roll_ups, and of the results that contrasts compare."""
        return (*self.roll_ups, *(contrast.level for contrast in self.contrasts))

    @property
    def aliases(self) -> tuple[str, ...]:
        """Spellings such as interva5 that the request was written with; its fields hold the one name."""
        return self._aliases

    @property
    def ensemble_used(self) -> bool:
        """Whether there is an ensemble: asked for, and at least two algorithms to make it of."""
        return self.ensemble and len(self.algorithms) > 1
