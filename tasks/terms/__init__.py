"""The words of the field: age groups, causes, algorithms, countries, flags, and how people read them."""

from tasks.terms.algorithms import ALIASES, alias_note, aliases_among, one_name
from tasks.terms.causes import (
    AGE_GROUPS,
    BROAD_CAUSES,
    MOST_CAUSES,
    UNDETERMINED,
    AgeGroup,
    CauseList,
    Stillbirths,
    cause_map,
    cause_rows,
    nearest,
    normal,
    only_in_who_2022,
    other_age_group,
    says_no_cause,
)
from tasks.terms.countries import OTHER, name_key, nearest_countries, resolve_country
from tasks.terms.flags import FLAGS
from tasks.terms.icd10 import code_range, overlapping
from tasks.terms.text import MAX_LABELS, MISSING, amount, show, visible
from tasks.terms.values import one_form, value_key
from tasks.terms.words import CAUSE_ORDER, NOTHING, Language, Words, in_order, in_words, words

__all__ = [
    "AGE_GROUPS",
    "ALIASES",
    "BROAD_CAUSES",
    "CAUSE_ORDER",
    "FLAGS",
    "MAX_LABELS",
    "MISSING",
    "MOST_CAUSES",
    "NOTHING",
    "OTHER",
    "UNDETERMINED",
    "AgeGroup",
    "CauseList",
    "Language",
    "Stillbirths",
    "Words",
    "alias_note",
    "aliases_among",
    "amount",
    "cause_map",
    "cause_rows",
    "code_range",
    "in_order",
    "in_words",
    "name_key",
    "nearest",
    "nearest_countries",
    "normal",
    "one_form",
    "one_name",
    "only_in_who_2022",
    "other_age_group",
    "overlapping",
    "resolve_country",
    "says_no_cause",
    "show",
    "value_key",
    "visible",
    "words",
]
