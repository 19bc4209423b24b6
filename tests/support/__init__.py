from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The clone."""

ALL_MAY_BE_PUBLISHED: dict[str, object] = {
    **dict.fromkeys(("deaths_refuse", "rhat_refuse", "ess_refuse", "left_out_refuse")),
    **dict.fromkeys(
        ("illustrative", "path_correction_stalled", "interval_unreliable", "not_calibrated", "not_converged"),
        "with_caution",
    ),
}
"""Verdict rules for short runs with made-up matrices, which by the project's own must not be published."""
