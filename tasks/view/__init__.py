"""A published run as its readers see it."""

from tasks.view.captions import (
    caveat_lines,
    ensemble_note,
    group_title,
    inventory_line,
    level_name,
    main_results,
    mixed_verdicts,
    nothing_usable,
    provenance,
    run_caveats,
    run_verdict,
    set_aside,
    span_text,
    unit_title,
    warning,
    warnings,
)
from tasks.view.records import records_by
from tasks.view.rows import trusts_interval
from tasks.view.tables import NO_INTERVAL
from tasks.view.view import SHOWN, Result, Unit, View, disagrees, shown_verdict

__all__ = [
    "NO_INTERVAL",
    "SHOWN",
    "Result",
    "Unit",
    "View",
    "caveat_lines",
    "disagrees",
    "ensemble_note",
    "group_title",
    "inventory_line",
    "level_name",
    "main_results",
    "mixed_verdicts",
    "nothing_usable",
    "provenance",
    "records_by",
    "run_caveats",
    "run_verdict",
    "set_aside",
    "shown_verdict",
    "span_text",
    "trusts_interval",
    "unit_title",
    "warning",
    "warnings",
]
