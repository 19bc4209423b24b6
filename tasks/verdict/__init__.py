"""Whether an estimate may be published, by declared rules."""

from tasks.verdict.judge import add_verdicts
from tasks.verdict.records import Unplaced, identity_columns, unplaced_shares
from tasks.verdict.rules import TOO_NARROW, VERDICTS, VerdictRules, worst
from tasks.verdict.words import reasons_in_short, reasons_in_words

__all__ = [
    "TOO_NARROW",
    "VERDICTS",
    "Unplaced",
    "VerdictRules",
    "add_verdicts",
    "identity_columns",
    "reasons_in_short",
    "reasons_in_words",
    "unplaced_shares",
    "worst",
]
