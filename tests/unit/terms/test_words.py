"""The words: complete in every language, for every cause, flag and status; numbers as each writes them."""

from __future__ import annotations

import json
import re
import string

import pycountry
import pytest
import yaml
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from tasks.ingest.judge import EXCLUDED, REASONS
from tasks.request.model import CalibrationRequest
from tasks.results.schema import DISPOSITIONS, ESTIMATE_STATUS, FIT_STATUS
from tasks.terms import FLAGS, in_words
from tasks.terms.causes import BROAD_CAUSES
from tasks.terms.countries import country_code, resolve_country
from tasks.terms.words import CAUSE_ORDER, LANGUAGES, LOCALES, NARROW, in_order, words
from tasks.verdict import reasons_in_words
from tasks.verdict.rules import VERDICTS, VerdictRules

ENGLISH = words("en").messages
LOOKED_UP_BY_NAME = (
    "language", "numbers", "causes", "countries", "age_groups", "age_groups_short", "verdicts", "verdicts_short",
    "verdict_meaning", "verdict_reasons", "flags", "flag_names", "statuses", "dispositions", "reasons",
    "run_status", "levels", "columns", "rule_names", "options", "tables",
)  # fmt: skip


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_message_with_the_same_placeholders(language):
    messages = words(language).messages
    assert messages.keys() == ENGLISH.keys()
    assert {k for k, text in messages.items() if placeholders(text) != placeholders(ENGLISH[k])} == set()
    assert [key for key, text in messages.items() if not text and key != "language.review"] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_plural_forms_are_those_of_the_language_with_the_same_placeholders(language):
    text = (ROOT / "tasks" / "terms" / "words" / f"{language}.yaml").read_text(encoding="utf-8")
    known = Locale.parse(LOCALES[language]).plural_form.tags | {"other"}
    forms = {
        f"{name}.{key}": message
        for name, section in yaml.safe_load(text).items()
        for key, message in section.items()
        if isinstance(message, dict)
    }
    assert "report.deaths_received" in forms
    for key, message in forms.items():
        assert {"one", "other"} <= message.keys() <= known, key
        assert all(placeholders(form) == placeholders(ENGLISH[key]) for form in message.values()), key


@pytest.mark.parametrize(
    ("language", "number", "said"),
    [
        ("en", 0, "0 deaths received."),
        ("en", 1, "1 death received."),
        ("en", 2, "2 deaths received."),
        ("fr", 0, "0 décès reçu."),
        ("fr", 1, "1 décès reçu."),
        ("fr", 2, "2 décès reçus."),
        ("fr", 1_000_000, "1\u202f000\u202f000 décès reçus."),
        ("pt", 0, "0 óbitos recebidos."),
        ("pt", 1, "1 óbito recebido."),
        ("pt", 1234, "1\xa0234 óbitos recebidos."),
    ],
)
def test_a_message_about_a_number_has_the_form_that_the_number_takes(language, number, said):
    assert words(language)("report.deaths_received", count=number) == said
    assert words(language)("report.deaths_received", count=float(number)) == said


def test_the_number_of_a_reason_chooses_its_form_too():
    for value, said in ((1, "qu'à 1 tirage indépendant ("), (399.7, "qu'à 399,7 tirages indépendants (")):
        (sentence,) = reasons_in_words(
            json.dumps([{"rule": "ess", "limit": 400, "value": value}]), words("fr")
        )
        assert said in sentence


def test_a_number_that_is_none_breaks_no_sentence():
    assert words("fr")("report.deaths_received", count=float("nan")) == "\N{EM DASH} décès reçus."


@pytest.mark.parametrize(
    ("name", "french", "portuguese"),
    [
        ("Mozambique", "Mozambique", "Moçambique"),
        ("Ethiopia", "Éthiopie", "Etiópia"),
        ("Kenya", "Kenya", "Quénia"),
        ("other", "autre pays", "outro país"),
        ("Atlantis", "Atlantis", "Atlantis"),
    ],
)
def test_countries_have_the_name_of_the_language(name, french, portuguese):
    assert words("en").country(name) == name
    assert (words("fr").country(name), words("pt").country(name)) == (french, portuguese)


def test_every_country_that_a_request_may_name_has_a_name_in_every_language():
    for country in pycountry.countries:
        name = resolve_country(country.alpha_2)
        code = country_code(name)
        assert code == country.alpha_2
        assert all(words(language).country(name) for language in LANGUAGES)
        assert words("en").country(name) == name


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_translations_say_that_they_are_not_reviewed(language):
    assert words(language)("language.review")


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_key_is_written_twice_in_a_message_file(language):
    text = (ROOT / "tasks" / "terms" / "words" / f"{language}.yaml").read_text(encoding="utf-8")
    document = yaml.compose(text)
    for _, section in document.value:
        keys = [key.value for key, _ in section.value]
        assert len(keys) == len(set(keys))


def test_every_message_is_used():
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("tasks", "flows")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".j2")
    )
    unused = [
        key
        for key in ENGLISH
        if key.partition(".")[0] not in LOOKED_UP_BY_NAME and key not in code and not _built(key, code)
    ]
    assert unused == []


def _built(key: str, code: str) -> bool:
    """Whether a key is put together from its section and a name that the code holds."""
    section, name = key.split(".", 1)
    start = name.rpartition("_")[0]
    return (f'"{section}." ~' in code and f'"{name}"' in code) or f"{section}.{start}_{{" in code


def test_there_are_words_for_all_that_tables_hold():
    assert {f"causes.{cause}" for causes in BROAD_CAUSES.values() for cause in causes} <= ENGLISH.keys()
    assert {f"statuses.{status}" for status in (*FIT_STATUS, *ESTIMATE_STATUS)} <= ENGLISH.keys()
    assert {f"dispositions.{name}" for name in DISPOSITIONS} <= ENGLISH.keys()
    assert {
        f"{section}.{v}" for section in ("verdicts", "verdicts_short", "verdict_meaning") for v in VERDICTS
    } <= set(ENGLISH)
    assert {f"flag_names.{flag}" for flag in FLAGS} <= ENGLISH.keys()
    assert {*EXCLUDED} <= {reason for reason, _ in REASONS}


def test_there_are_words_for_every_reason_by_which_the_ingest_sets_records_aside():
    assert {f"reasons.{reason}" for reason, _ in REASONS} <= ENGLISH.keys()


def test_there_are_words_for_every_reason_of_the_engine():
    core = (ROOT / "r" / "src" / "core" / "stratum.hpp").read_text(encoding="utf-8")
    reasons = {text for text in re.findall(r'(?:return|\?|:|reason =) "([a-z_]+)"', core) if "_" in text}
    reasons &= {r for r in reasons if "cause" in r or "death" in r or "member" in r or r in ("asked_for",)}
    assert {"no_deaths", "fewer_than_two_members", "at_most_one_calibrated_cause"} <= reasons
    assert {f"reasons.{reason}" for reason in reasons} <= ENGLISH.keys()


def test_every_field_of_a_request_has_its_words():
    assert {f"options.{name}" for name in CalibrationRequest.model_fields} - ENGLISH.keys() == {
        "options.verdict_rules"  # which have a table of their own
    }


def test_every_rule_of_the_verdict_has_its_sentence():
    for rule in VerdictRules.model_fields:
        name = re.sub(r"_(caution|refuse)$", "", rule)
        assert f"verdict_reasons.{name}" in ENGLISH or f"flags.{name}" in ENGLISH


def test_causes_come_in_one_order_with_other_last():
    for causes in BROAD_CAUSES.values():
        ordered = in_order(causes)
        assert sorted(ordered) == sorted(causes)
        assert ordered[-1] == "other"
        assert ordered[:-1] == [cause for cause in CAUSE_ORDER if cause in causes]


def test_study_causes_keep_their_order_after_the_broad_ones():
    assert in_order(["Other", "Tetanus", "malaria", "LRI"]) == ["malaria", "Tetanus", "LRI", "Other"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "<1%"),
        (0.0099, "<1%"),
        (0.01, "1%"),
        (0.5, "50%"),
        (0.99, "99%"),
        (0.9975, ">99%"),
        (1.0, ">99%"),
    ],
)
def test_a_posterior_probability_is_never_said_to_be_0_or_1(value, shown):
    assert words("en").probability(value) == words("pt").probability(value) == shown
    assert words("fr").probability(value) == shown.replace("%", "\xa0%")
    assert words("en").probability(None) == "\N{EM DASH}"


@pytest.mark.parametrize(
    ("language", "percent", "number", "small"),
    [
        ("en", "43.7%", "12,345", "<0.1%"),
        ("fr", "43,7\xa0%", "12\u202f345", "<0,1\xa0%"),
        ("pt", "43,7%", "12\xa0345", "<0,1%"),
    ],
)
def test_numbers_are_written_as_the_language_writes_them(language, percent, number, small):
    say = words(language)
    assert say.percent(0.43678, 1) == percent
    assert say.number(12345) == number
    assert say.percent(0.0001, 1) == small
    assert say.percent(0.0, 1) == say.percent(0, 1)
    assert not say.percent(0.0, 1).startswith("<")


def test_missing_numbers_are_a_dash_and_no_interval_is_no_text():
    say = words("en")
    assert say.percent(None) == say.number(float("nan")) == say.decimal(None, 2) == "\N{EM DASH}"
    assert say.interval(None, None) == ""


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_tenths_are_quoted_only_for_narrow_intervals_that_are_to_be_trusted(mean, one, other):
    low, high = sorted((one, other))
    share, interval = words("en").estimate(mean, low, high)
    assert ("." in interval) == (high - low < NARROW)
    assert "." not in words("en").estimate(mean, low, high, trusted=False)[1]
    assert abs(float(share.strip("<%")) - 100 * mean) <= 0.5 + 1e-9 or share.startswith("<")


def test_flags_are_said_in_their_order_and_an_unknown_one_is_a_defect():
    assert in_words(["misfit", "illustrative"]) == [in_words(["illustrative"])[0], in_words(["misfit"])[0]]
    with pytest.raises(KeyError, match="no words for the flags"):
        in_words(["made_up"])


def test_a_language_without_messages_is_refused_by_name():
    with pytest.raises(ValueError, match="no messages in language 'de'; there are en, fr, pt"):
        words("de")
