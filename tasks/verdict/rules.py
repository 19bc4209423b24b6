"""The declared rules of the release verdict, explained in docs/verdict.md, and what a reason is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from tasks.results import NOOP

Verdict = Literal["publishable", "with_caution", "do_not_publish"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""From the best to the worst."""

Severity = Literal["ignore", "with_caution", "do_not_publish"]
TOO_NARROW = frozenset(
    {"path_correction_stalled", "interval_unreliable", "rollup_interval_too_narrow", "not_converged"}
)
"""Flags that say that the interval is narrower than the true uncertainty."""


class VerdictRules(BaseModel):
    """What calls for caution, and what forbids publication. An empty limit turns its rule off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deaths_caution: int | None = Field(default=100, ge=0, description="Fewer deaths than this: with caution.")
    deaths_refuse: int | None = Field(default=25, ge=0, description="Fewer deaths than this: do not publish.")
    lambda_caution: float | None = Field(
        default=0.5, ge=0, le=1, description="Path correction lambda above this: with caution."
    )
    rhat_caution: float | None = Field(default=1.01, ge=1, description="R-hat above this: with caution.")
    rhat_refuse: float | None = Field(default=1.02, ge=1, description="R-hat above this: do not publish.")
    ess_caution: float | None = Field(
        default=1000, ge=0, description="Bulk or tail effective sample size (draws) below this: with caution."
    )
    ess_refuse: float | None = Field(
        default=400,
        ge=0,
        description="Bulk or tail effective sample size (draws) below this: do not publish.",
    )
    left_out_caution: float | None = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the records received that was not used above this: with caution.",
    )
    left_out_refuse: float | None = Field(
        default=0.4,
        ge=0,
        le=1,
        description="Share of the records received that was not used above this: do not publish.",
    )
    zero_causes: Severity = Field(
        default="with_caution", description="No death from one of the calibrated causes."
    )
    member_passed_through: Severity = Field(
        default="with_caution",
        description="A member of the ensemble keeps its raw fraction of a cause that is calibrated.",
    )
    passed_through: Severity = Field(default="with_caution", description="The cause keeps its raw fraction.")
    illustrative: Severity = Field(
        default="do_not_publish", description="Illustrative misclassification matrices."
    )
    path_correction_stalled: Severity = Field(
        default="do_not_publish", description="Path correction stalled."
    )
    estimate_is_noop: Severity = Field(default="ignore", description=f"Calibration moved no cause by {NOOP}.")
    interval_unreliable: Severity = Field(
        default="do_not_publish", description="The interval is not to be trusted."
    )
    algorithms_disagree: Severity = Field(
        default="with_caution", description="The algorithms disagree on the cause."
    )
    country_served_by_other: Severity = Field(
        default="with_caution", description="No matrix of the country's own."
    )
    not_calibrated: Severity = Field(default="do_not_publish", description="The figures are the raw ones.")
    not_converged: Severity = Field(
        default="do_not_publish", description="The sampler fell short of its precision."
    )
    misfit: Severity = Field(default="with_caution", description="The deaths do not fit the joint model.")
    divergences: Severity = Field(
        default="with_caution", description="More than 1% of a joint fit's transitions diverged."
    )
    borrowed_from_other_strata: Severity = Field(
        default="with_caution", description="No deaths: the joint model's estimate is from other strata."
    )
    rollup_interval_too_narrow: Severity = Field(
        default="with_caution", description="A total of strata that were calibrated one by one."
    )
    difference_not_joint: Severity = Field(
        default="with_caution", description="A difference of results that were calibrated separately."
    )
    rollup_incomplete: Severity = Field(
        default="with_caution", description="A total without some of its strata."
    )
    who_2022_causes: Severity = Field(
        default="with_caution",
        description="Causes of the WHO 2022 list; the matrices were estimated on output for that of 2016.",
    )


def worst(verdicts: Iterable[str]) -> str:
    """The worst of several verdicts; `publishable` of none."""
    return max(verdicts, key=VERDICTS.index, default="publishable")
