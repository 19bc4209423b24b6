"""Sums and differences of strata, draw by draw."""

from tasks.rollups.checks import checked
from tasks.rollups.combine import combine
from tasks.rollups.contrasts import Pair, check_contrasts_size, compared_pairs, contrasts_table
from tasks.rollups.plan import NATION, Plan, level_name, plan
from tasks.rollups.sums import Key, partial_sums
from tasks.rollups.weights import read_weights, weights_checksum

__all__ = [
    "NATION",
    "Key",
    "Pair",
    "Plan",
    "check_contrasts_size",
    "checked",
    "combine",
    "compared_pairs",
    "contrasts_table",
    "level_name",
    "partial_sums",
    "plan",
    "read_weights",
    "weights_checksum",
]
