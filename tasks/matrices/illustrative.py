"""An invented inventory for first steps without a network: illustrative, not for publication.

Written by the base model of Pramanik et al. 2025 (Annals of Applied Statistics 19(2), doi
10.1214/24-AOAS2006): an algorithm recognises true cause i with its intrinsic accuracy a_i, and otherwise
falls back on its systematic preference pi for causes, whatever the truth:
M_ij = a_i [i = j] + (1 - a_i) pi_j. All numbers are invented.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.matrices.model import Inventory, Matrix, content_checksum
from tasks.terms import BROAD_CAUSES

ILLUSTRATIVE = "illustrative"
ILLUSTRATIVE_VERSION = "1"
CONCENTRATION = 60.0
"""Sum of the Dirichlet alphas of each row: the row is known as if from 60 deaths."""

# Intrinsic accuracy of each cause, in percent; causes in the order of BROAD_CAUSES.
_ACCURACY = {
    ("neonate", "eava"): (40, 25, 55, 70, 30, 60),
    ("neonate", "insilicova"): (50, 30, 40, 75, 20, 65),
    ("neonate", "interva"): (45, 35, 45, 65, 20, 60),
    ("child", "eava"): (60, 45, 55, 50, 40, 90, 30, 30, 50),
    ("child", "insilicova"): (55, 40, 60, 45, 50, 90, 25, 35, 45),
    ("child", "interva"): (65, 45, 50, 40, 45, 85, 25, 25, 40),
}

# Systematic preference for each cause, in percent; each row sums to 100.
_PREFERENCE = {
    ("neonate", "eava"): (10, 15, 35, 20, 5, 15),
    ("neonate", "insilicova"): (5, 20, 20, 30, 10, 15),
    ("neonate", "interva"): (5, 25, 25, 20, 10, 15),
    ("child", "eava"): (25, 20, 20, 10, 5, 5, 5, 5, 5),
    ("child", "insilicova"): (20, 20, 20, 5, 10, 5, 10, 5, 5),
    ("child", "interva"): (25, 15, 15, 10, 10, 5, 10, 5, 5),
}


def illustrative_inventory() -> Inventory:
    """The illustrative inventory, by the rule above: types prior and fixed, every country the same."""
    entries = tuple(
        Matrix(
            age_group,
            algorithm,
            None,
            type,
            BROAD_CAUSES[age_group],
            _percent_squared(age_group, algorithm) * scale / 1e4,
        )
        for age_group, algorithm in _ACCURACY
        for type, scale in (("prior", CONCENTRATION), ("fixed", 1.0))
    )
    return Inventory(
        id=ILLUSTRATIVE,
        version=ILLUSTRATIVE_VERSION,
        checksum=content_checksum(entries),
        source="illustrative, not for publication",
        illustrative=True,
        verified=False,
        entries=entries,
    )


def _percent_squared(age_group: str, algorithm: str) -> NDArray[np.float64]:
    """The rule's matrix in hundredths of a percent: whole numbers, so that no machine rounds differently."""
    accuracy = np.array(_ACCURACY[age_group, algorithm], dtype=np.float64)
    preference = np.array(_PREFERENCE[age_group, algorithm], dtype=np.float64)
    return np.diag(100 * accuracy) + np.outer(100 - accuracy, preference)
