"""The words that people read, in English, French and Portuguese: causes, flags, verdicts, report texts.

One message file a language in tasks/terms/words/; a message is named by its section and key, as in
"report.in_brief", and holds `{placeholders}`. A message about a number may have a form for each plural category
of the language (`one`, `other`). Plural rules, signs of numbers and names of countries are those of CLDR.

Tables speak English only; pages, pictures and workbooks speak the language that the request names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

import yaml
from babel import Locale

from tasks.terms.countries import country_code
from tasks.terms.flags import FLAGS

Language = Literal["en", "fr", "pt"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

LOCALES = {"en": "en", "fr": "fr", "pt": "pt_PT"}
"""Portuguese as in Africa: its plurals, numbers and names of countries are those of Portugal, not of Brazil."""

CAUSE_ORDER = (
    "prematurity",
    "ipre",
    "sepsis_meningitis_inf",
    "malaria",
    "pneumonia",
    "diarrhea",
    "other_infections",
    "hiv",
    "severe_malnutrition",
    "congenital_malformation",
    "injury",
    "nn_causes",
)
"""Order of causes in every table and picture of both age groups; study causes follow, "other" is last."""

ALGORITHMS = {"eava": "EAVA", "insilicova": "InSilicoVA", "interva": "InterVA"}
"""How the algorithms' makers write their names; others are shown as the request spells them."""

NARROW = 0.01
"""Width of an interval below which tenths of a percent are shown: whole ones may not tell its ends apart."""

TO = "\N{EN DASH}"
NOTHING = "\N{EM DASH}"


class Words:
    """The messages of one language, and numbers as that language writes them."""

    def __init__(
        self, language: str, messages: dict[str, str], plurals: dict[str, dict[str, str]] | None = None
    ) -> None:
        """`plurals`: the forms of messages about a number, by plural category; `other` stands in messages too."""
        self.language = language
        self.messages = messages
        self._plurals = plurals or {}
        self._locale = Locale.parse(LOCALES[language])
        symbols = self._locale.number_symbols["latn"]
        self._decimal, self._thousands = symbols["decimal"], symbols["group"]
        self._percent: str = self._locale.percent_formats[None].suffix[0]

    def __call__(self, key: str, *, count: float | None = None, **values: object) -> str:
        """The message `key` ("section.key") with its placeholders filled; KeyError if there is none.

        `count`: the number that the message is about. It chooses the plural form, and it is {number}.
        """
        if count is None:
            return self.messages[key].format(**values)
        text, forms = self.messages[key], self._plurals.get(key)
        if forms and math.isfinite(count):
            text = forms.get(self._locale.plural_form(abs(float(count))), text)
        return text.format(**{"number": self.number(count), **values})

    def section(self, name: str) -> dict[str, str]:
        """All messages of a section, by key, in the order of the message file."""
        prefix = f"{name}."
        return {
            key.removeprefix(prefix): text for key, text in self.messages.items() if key.startswith(prefix)
        }

    def or_plain(self, key: str) -> str:
        """The message `section.name`; where there is none, the name itself with spaces for underscores."""
        return self.messages.get(key, key.partition(".")[2].replace("_", " "))

    def cause(self, name: str) -> str:
        """Readable name of a broad cause; a study cause is shown as the study spells it."""
        return self.messages.get(f"causes.{name}", name)

    def country(self, name: str) -> str:
        """A country's name in this language; in English the one that tables have."""
        code = None if self.language == "en" else country_code(name)
        return (
            self.messages.get(f"countries.{name}", name) if code is None else self._locale.territories[code]
        )

    def algorithm(self, name: str) -> str:
        """Readable name of an algorithm or of the ensemble."""
        return self("algorithms.ensemble") if name == "ensemble" else ALGORITHMS.get(name.lower(), name)

    def pair(self, name: str, text: str) -> str:
        """`name: text`, with the colon as the language sets it."""
        return name + self.messages["numbers.colon"] + text

    def series(self, parts: Iterable[str]) -> str:
        """Parts that may hold commas themselves, joined by semicolons as the language sets them."""
        return self.messages["numbers.semicolon"].join(parts)

    def listing(self, names: Iterable[str]) -> str:
        """Names joined by commas."""
        return ", ".join(names)

    def number(self, value: float | None, decimals: int = 0) -> str:
        """A number with its thousands apart, a whole one unless `decimals` are given."""
        return NOTHING if _missing(value) else self._written(f"{value:,.{decimals}f}")

    def decimal(self, value: float | None, decimals: int) -> str:
        """A number with a fixed count of decimals."""
        return NOTHING if _missing(value) else self._written(f"{value:.{decimals}f}")

    def _written(self, number: str) -> str:
        """An English number with the signs of the language."""
        whole, point, rest = number.partition(".")
        return str(whole.replace(",", self._thousands) + (self._decimal if point else "") + rest)

    def percent(self, fraction: float | None, decimals: int = 0) -> str:
        """A fraction as a percentage; what would round to zero is shown as less than the smallest step."""
        if fraction is None or _missing(fraction):
            return NOTHING
        smallest = 10.0**-decimals
        below = 0 < 100 * fraction < smallest / 2
        shown = self.decimal(smallest if below else 100 * fraction, decimals)
        return ("<" if below else "") + shown + str(self._percent)

    def probability(self, value: float | None) -> str:
        """A posterior probability in whole percents; draws prove neither 0 nor 1: the ends are <1%, >99%."""
        if value is None or _missing(value):
            return NOTHING
        sign = "<" if value < 0.01 else ">" if value > 0.99 else ""
        return sign + self.percent(min(max(value, 0.01), 0.99))

    def interval(self, low: float | None, high: float | None, decimals: int = 0) -> str:
        """Two fractions as a range in percent, without the sign; empty where there is none."""
        if _missing(low) or _missing(high):
            return ""
        return "".join((self.decimal(100 * low, decimals), TO, self.decimal(100 * high, decimals)))  # type: ignore[operator]

    def estimate(
        self, mean: float | None, low: float | None, high: float | None, *, trusted: bool = True
    ) -> tuple[str, str]:
        """A fraction and its interval in percent, for quoting.

        Tenths only where whole percents cannot tell the ends of a trusted interval apart.
        """
        narrow = trusted and low is not None and high is not None and high - low < NARROW
        return self.percent(mean, int(narrow)), self.interval(low, high, int(narrow))

    def flags(self, names: Iterable[str]) -> list[str]:
        """One sentence for each flag, in the order of `FLAGS`; KeyError for a flag that does not exist."""
        present = set(names)
        if unknown := present.difference(FLAGS):
            raise KeyError(f"no words for the flags {sorted(unknown)}")
        return [self(f"flags.{flag}") for flag in FLAGS if flag in present]


def _missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


@cache
def words(language: str = "en") -> Words:
    """The messages of a language; ValueError names the languages there are."""
    if language not in LANGUAGES:
        raise ValueError(f"no messages in language {language!r}; there are {', '.join(LANGUAGES)}")
    text = files("tasks.terms").joinpath(f"words/{language}.yaml").read_text(encoding="utf-8")
    sections = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    found = {f"{s}.{key}": text for s, part in sections.items() for key, text in part.items()}
    plurals = {key: forms for key, forms in found.items() if isinstance(forms, dict)}
    messages = {key: str(plurals[key]["other"] if key in plurals else text) for key, text in found.items()}
    return Words(language, messages, plurals)


def in_order(causes: Iterable[str]) -> list[str]:
    """The causes in the order of every table and picture; study causes keep the order in which they come."""
    rank = {cause: position for position, cause in enumerate(CAUSE_ORDER)}
    last = len(rank) + 1
    return sorted(
        dict.fromkeys(causes),
        key=lambda cause: last if cause.casefold() == "other" else rank.get(cause, last - 1),
    )


def in_words(flags: Iterable[str]) -> list[str]:
    """One sentence for each flag, in the order of `FLAGS`; an unknown flag is a defect: KeyError."""
    return words("en").flags(flags)
