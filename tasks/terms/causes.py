"""Causes of death: the broad causes that are calibrated, and the map from specific causes to them.

The broad causes are those of the CHAMPS misclassification matrices (Pramanik et al. 2025); the specific
causes are the names that openVA (WHO 2016 and 2022 cause lists) and EAVA use. Names are compared without
regard to case and outer white space. Nothing is dropped here: every label gets a treatment that says what
became of it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

from rapidfuzz import fuzz, process

from tasks.terms.icd10 import CodeRange, code_range
from tasks.terms.text import visible

AgeGroup = Literal["neonate", "child"]
Treatment = Literal["mapped", "undetermined", "stillbirth", "unmapped", "blank"]
Stillbirths = Literal["exclude", "other"]

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

STILLBIRTHS = ("Stillbirth", "Fresh stillbirth", "Macerated stillbirth")
"""Labels of births without life, which are no deaths of an age group: excluded, counted and reported.

The published package counts fresh and macerated stillbirths as "other".
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


@cache
def _who_rows() -> tuple[Mapping[str, str], ...]:
    """The WHO list of 2022: code, cause and broad causes, with the names that the list of 2016 has for it.

    interva5: as openVA's InterVA5 and InSilicoVA shorten it; who_2016: as the WHO's manual of 2016 spells it;
    both are empty where the name is the same.
    """
    text = files("tasks.terms").joinpath("who2022_causes.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


_NAMES = ("cause", "interva5", "who_2016")
_BEFORE_CODE = ("", "VAs-")


@cache
def who_map(age_group: str) -> Mapping[str, str]:
    """Names of the WHO cause lists of 2022 and 2016, in lower case, with their broad cause; no stillbirths."""
    return MappingProxyType(
        {
            normal(row[name]): row[age_group]
            for row in _who_rows()
            for name in _NAMES
            if row[name] and row[age_group] != "stillbirth"
        }
    )


@cache
def _of_coded() -> Mapping[str, str]:
    """Names of the WHO lists after their code, as "01.04 diarrhoeal diseases", each with the name alone."""
    return MappingProxyType(
        {
            normal(f"{before}{row['code']} {row[name]}"): normal(row[name])
            for row in _who_rows()
            for name in _NAMES
            if row[name]
            for before in _BEFORE_CODE
        }
    )


@cache
def _only_in_who_2022(age_group: str) -> frozenset[str]:
    older = {*cause_map(age_group), *(normal(row["who_2016"]) for row in _who_rows())}
    return frozenset(
        normal(visible(before + row["cause"]))
        for row in _who_rows()
        if row[age_group] != "stillbirth" and normal(row["cause"]) not in older
        for before in ("", *(f"{start}{row['code']} " for start in _BEFORE_CODE))
    )


def only_in_who_2022(label: str, age_group: str) -> bool:
    """Whether a label, whole or as messages show it, is of the WHO 2022 list and not of that of 2016."""
    return age_group in AGE_GROUPS and normal(visible(label.strip())) in _only_in_who_2022(age_group)


def cause_rows(age_group: str) -> list[tuple[str, str]]:
    """Pairs of cause name and broad cause, by broad cause in the standard order, as people read the map."""
    order = BROAD_CAUSES[age_group]
    known = {**who_map(age_group), **cause_map(age_group)}
    rows = sorted(known.items(), key=lambda pair: (order.index(pair[1]), pair[0]))
    return rows + [(normal(label), "(excluded: stillbirth)") for label in STILLBIRTHS]


class CauseList:
    """The labels that one run understands for one age group, and what they become.

    study_cause_map: study cause -> broad cause; the calibration causes are then the study causes as spelled.
    broad_causes: the causes of the misclassification matrices where they are not the standard ones.
    cause_labels: label, ICD-10 code or range of codes -> broad cause, or a word such as Undetermined or
    Stillbirth; goes before the standard names. Targets that are neither are left out: who calls this reports
    them. stillbirths: "other" counts them as that broad cause, where the matrices have it.
    """

    def __init__(
        self,
        age_group: str,
        study_cause_map: Mapping[str, str] | None = None,
        broad_causes: Sequence[str] | None = None,
        cause_labels: Mapping[str, str] | None = None,
        stillbirths: Stillbirths = "exclude",
    ) -> None:
        self.age_group = age_group
        self.broad = tuple(broad_causes) if broad_causes is not None else BROAD_CAUSES[age_group]
        self._alone: Mapping[str, str] = {} if study_cause_map else _of_coded()
        if study_cause_map:
            self.known = {normal(study): study.strip() for study in study_cause_map}
        else:
            self.known = self._standard(stillbirths)
        self._left_out: dict[str, Treatment] = {normal(label): "stillbirth" for label in STILLBIRTHS}
        self._left_out |= {normal(label): "undetermined" for label in UNDETERMINED}
        self._left_out = {key: why for key, why in self._left_out.items() if key not in self.known}
        self._ranges: list[tuple[CodeRange, CauseMatch]] = []
        meanings = {normal(word): self.match(word) for word in (*STILLBIRTHS, *UNDETERMINED)}
        meanings |= {normal(cause): CauseMatch("", cause, "mapped") for cause in self.broad}
        for label, target in (cause_labels or {}).items():
            if normal(target) in meanings:
                self._add(label, meanings[normal(target)])

    def _standard(self, stillbirths: Stillbirths) -> dict[str, str]:
        """The standard names with their broad causes, as far as the matrices have them."""
        names = {**who_map(self.age_group), **cause_map(self.age_group)}
        names |= {normal(label): "other" for label in STILLBIRTHS if stillbirths == "other"}
        known = {name: cause for name, cause in names.items() if cause in self.broad}
        return known | {normal(cause): cause for cause in self.broad}

    def _add(self, label: str, meaning: CauseMatch) -> None:
        """Have a label of `cause_labels` mean what its target means, before all that is known."""
        key = normal(label)
        self.known.pop(key, None)
        self._left_out.pop(key, None)
        if meaning.cause is None:
            self._left_out[key] = meaning.treatment
        else:
            self.known[key] = meaning.cause
        if codes := code_range(label):
            self._ranges.append((codes, meaning))

    def match(self, label: str | None) -> CauseMatch:
        """The calibration cause of a label, or why it has none."""
        key = normal(label or "")
        if not key:
            return CauseMatch("", None, "blank")
        if key not in self.known and key not in self._left_out:
            key = self._alone.get(key, key)
        if cause := self.known.get(key):
            return CauseMatch(label or "", cause, "mapped")
        if key in self._left_out:
            return CauseMatch(label or "", None, self._left_out[key])
        return self._of_code(label or "") or CauseMatch(label or "", None, "unmapped")

    def _of_code(self, label: str) -> CauseMatch | None:
        """What the range of ICD-10 codes that holds a code says of it."""
        codes = code_range(label) if self._ranges else None
        for of_range, match in self._ranges if codes else ():
            if codes and of_range.holds(codes):
                return CauseMatch(label, match.cause, match.treatment)
        return None

    def nearest(self, label: str, limit: int = 3) -> list[str]:
        """Known names that resemble the label or share its words, best first; may be empty."""
        found = [*nearest(label, self.known, limit), *_of_same_words(label, self.known)]
        return list(dict.fromkeys(found))[:limit]


def says_no_cause(label: str) -> bool:
    """Whether a label says that no cause could be determined, or that it was a stillbirth."""
    return normal(label) in map(normal, (*UNDETERMINED, *STILLBIRTHS))


_WORD = re.compile(r"[^\W\d_]{4,}")
_NO_HINT = frozenset({"other", "unspecified", "cause", "causes", "disease", "diseases", "with", "neonatal"})


def _of_same_words(label: str, known: Iterable[str]) -> list[str]:
    """Names that begin with the label, then those that have all of its words, or only words of it."""
    key, words = normal(label), _telling_words(label)
    begin = [name for name in known if len(key) >= 4 and name.startswith(key)]
    share = [
        name for name in known if words and (own := _telling_words(name)) and (words <= own or own <= words)
    ]
    return [*begin, *sorted(share, key=lambda name: -fuzz.ratio(key, name))]


def _telling_words(text: str) -> set[str]:
    return set(_WORD.findall(normal(text).replace("_", " "))) - _NO_HINT


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
