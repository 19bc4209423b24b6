"""The caveats that travel with a number: their names in tables and what each one means in words.

Which flags there are, and their order, is decided here; what each means in words, in three languages, is in
tasks/terms/words/. Tables have the English words. Sources: docs/method.md, sections "Path correction" and "Roll-ups".
"""

from __future__ import annotations

FLAGS = (
    "illustrative",
    "path_correction_stalled",
    "estimate_is_noop",
    "interval_unreliable",
    "algorithms_disagree",
    "country_served_by_other",
    "not_calibrated",
    "not_converged",
    "misfit",
    "divergences",
    "borrowed_from_other_strata",
    "centre_provisional",
    "rollup_interval_too_narrow",
    "difference_not_joint",
    "rollup_incomplete",
    "total_differs_from_direct_fit",
    "inventory_not_verified",
    "who_2022_causes",
)
"""Every flag, in the order in which tables and pages give them."""
