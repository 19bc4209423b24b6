"""The caveats that travel with a number: their names in tables and what each one means in words.

Every table, file, picture and page takes the words from here, so that no number travels without its caveat.
Sources: METHOD notes in docs/method.md, sections "Path correction" and "Roll-ups".
"""

from __future__ import annotations

from collections.abc import Iterable

FLAGS: dict[str, str] = {
    "illustrative": "Illustrative misclassification matrices, not for publication.",
    "path_correction_stalled": (
        "The deaths and the misclassification matrix disagree, so almost no calibration took place: "
        "the calibrated figures are close to the raw ones and their interval is far too narrow."
    ),
    "estimate_is_noop": "Calibration moved no cause by as much as half a percentage point.",
    "interval_unreliable": (
        "The interval does not tell the true uncertainty: path correction stalled, "
        "or a member of the ensemble stalled or could not be calibrated."
    ),
    "algorithms_disagree": (
        "The algorithms contradict each other on at least one cause: their 95% intervals do not overlap, "
        "or the ensemble lies outside all of them."
    ),
    "country_served_by_other": (
        "The inventory has no matrix for this country; the pooled matrix for other countries was used."
    ),
    "not_calibrated": "The algorithm could not be calibrated here; the figures are the raw ones.",
    "not_converged": "The sampler did not reach the asked-for precision; do not publish.",
    "misfit": "The data do not fit the model: see the posterior-predictive check.",
    "rollup_interval_too_narrow": (
        "Strata were calibrated one by one and added up, which treats the shared error of the matrix as if it "
        "averaged out: the interval of this total is too narrow."
    ),
    "rollup_incomplete": "Some strata of this total could not be fitted and are left out.",
}


def in_words(flags: Iterable[str]) -> list[str]:
    """One sentence for each flag, in the order of `FLAGS`; an unknown flag is a defect and raises KeyError."""
    present = set(flags)
    unknown = present - FLAGS.keys()
    if unknown:
        raise KeyError(f"no words for the flags {sorted(unknown)}")
    return [sentence for flag, sentence in FLAGS.items() if flag in present]
