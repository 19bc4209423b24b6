"""Causes of death: the broad causes that are calibrated, and the map from specific causes to them.

The broad causes are those of the CHAMPS misclassification matrices (Pramanik et al. 2025); the specific
causes are the names that openVA (WHO 2016 cause list) and EAVA use. Names are compared without regard to case
and outer white space. Nothing is dropped here: every label gets a treatment that says what became of it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

from rapidfuzz import fuzz, process

AgeGroup = Literal["neonate", "child"]
Treatment = Literal["mapped", "undetermined", "unmapped", "blank"]

AGE_GROUPS: tuple[AgeGroup, ...] = ("neonate", "child")

BROAD_CAUSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neonate": (
            "congenital_malformation",
            "pneumonia",
            "sepsis_meningitis_inf",
            "ipre",
            "other",
            "prematurity",
        ),
        "child": (
            "malaria",
            "pneumonia",
            "diarrhea",
            "severe_malnutrition",
            "hiv",
            "injury",
            "other",
            "other_infections",
            "nn_causes",
        ),
    }
)

MOST_CAUSES = 64
"""The most causes that the R package calibrates together."""

UNDETERMINED_VERSION = "1"
UNDETERMINED = ("Unspecified", "Undetermined", "Unknown")
"""Labels that say that no cause could be determined: excluded from calibration, counted and reported.

"Other" is not among them: it is a cause.
"""

NEAR_ENOUGH = 70
"""Similarity (0-100) above which a known name is offered as the one that may have been meant."""


@dataclass(frozen=True)
class CauseMatch:
    """What becomes of one label: `cause` is the calibration cause if it is mapped, None otherwise."""

    label: str
    cause: str | None
    treatment: Treatment


def normal(label: str) -> str:
    """The form in which names are compared: no outer white space, no case."""
    return label.strip().casefold()


@cache
def cause_map(age_group: str) -> Mapping[str, str]:
    """Every known cause name of the age group, in lower case, with its broad cause, broad causes first.

    Raises KeyError for an age group other than neonate and child.
    """
    known = {broad: broad for broad in BROAD_CAUSES[age_group]}
    text = files("tasks.terms").joinpath("cause_map.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        if row["age_group"] == age_group:
            known[normal(row["cause"])] = row["broad_cause"]
    return MappingProxyType(known)


def cause_rows(age_group: str) -> list[tuple[str, str]]:
    """Pairs of cause name and broad cause, by broad cause in the standard order, as people read the map."""
    order = BROAD_CAUSES[age_group]
    return sorted(cause_map(age_group).items(), key=lambda pair: (order.index(pair[1]), pair[0]))


class CauseList:
    """The labels that one run understands for one age group, and what they become.

    study_cause_map: study cause -> broad cause; the calibration causes are then the study causes as spelled.
    broad_causes: the causes of the misclassification matrices where they are not the standard ones.
    """

    def __init__(
        self,
        age_group: str,
        study_cause_map: Mapping[str, str] | None = None,
        broad_causes: Sequence[str] | None = None,
    ) -> None:
        self.age_group = age_group
        self.broad = tuple(broad_causes) if broad_causes is not None else BROAD_CAUSES[age_group]
        if study_cause_map:
            self.known = {normal(study): study.strip() for study in study_cause_map}
        else:
            self.known = {name: cause for name, cause in cause_map(age_group).items() if cause in self.broad}
            self.known |= {normal(cause): cause for cause in self.broad}
        self._undetermined = {normal(label) for label in UNDETERMINED} - set(self.known)

    def match(self, label: str | None) -> CauseMatch:
        """The calibration cause of a label, or why it has none."""
        key = normal(label or "")
        if key in self.known:
            return CauseMatch(label or "", self.known[key], "mapped")
        if not key:
            return CauseMatch("", None, "blank")
        treatment: Treatment = "undetermined" if key in self._undetermined else "unmapped"
        return CauseMatch(label or "", None, treatment)

    def nearest(self, label: str, limit: int = 3) -> list[str]:
        """Known names that resemble the label, best first; may be empty."""
        return nearest(label, self.known, limit)


def nearest(text: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The names of `known` that resemble `text`, best first, without regard to case; may be empty."""
    names = list(known)
    found = process.extract(
        normal(text), names, scorer=fuzz.ratio, processor=normal, limit=limit, score_cutoff=NEAR_ENOUGH
    )
    return [name for name, _, _ in found]


def other_age_group(label: str, age_group: str) -> str | None:
    """The age group, not `age_group`, whose standard list knows the label; None if there is none."""
    return next(
        (group for group in AGE_GROUPS if group != age_group and normal(label) in cause_map(group)), None
    )


def convert(labels: Iterable[str | None], age_group: str) -> list[CauseMatch]:
    """Broad causes of the labels, in their order; a label without one keeps its place with cause None."""
    causes = CauseList(age_group)
    return [causes.match(label) for label in labels]
