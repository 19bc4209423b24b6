"""A published run as its readers see it."""

from tasks.view.captions import (
    caveat_lines,
    ensemble_note,
    group_slug,
    group_title,
    inventory_line,
    level_name,
    mixed_verdicts,
    provenance,
    run_caveats,
    run_verdict,
    set_aside,
    slug,
    span_text,
    unit_title,
    warning,
    warnings,
)
from tasks.view.records import records_by
from tasks.view.view import NO_INTERVAL, SHOWN, Unit, View, shown_verdict, trusts_interval

__all__ = [
    "NO_INTERVAL",
    "SHOWN",
    "Unit",
    "View",
    "caveat_lines",
    "ensemble_note",
    "group_slug",
    "group_title",
    "inventory_line",
    "level_name",
    "mixed_verdicts",
    "provenance",
    "records_by",
    "run_caveats",
    "run_verdict",
    "set_aside",
    "shown_verdict",
    "slug",
    "span_text",
    "trusts_interval",
    "unit_title",
    "warning",
    "warnings",
]
