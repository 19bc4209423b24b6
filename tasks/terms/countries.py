"""Country names as people write them, resolved to one name each (ISO 3166, through pycountry).

Names are known in English, French and Portuguese, as in the languages of the reports.
"""

from __future__ import annotations

import gettext
import re
import unicodedata
from collections.abc import Iterator
from functools import cache

import pycountry
from rapidfuzz import fuzz, process

from tasks.errors import InputError

OTHER = "other"
"""The inventory's entry for every country without matrices of its own; also accepted as a country's name."""

# Short names in everyday use, and those of the World Bank, that ISO 3166 does not list.
_ALIASES = {
    "Bahamas, The": "BS",
    "Burma": "MM",
    "Cape Verde": "CV",
    "Congo-Brazzaville": "CG",
    "Congo-Kinshasa": "CD",
    "Congo, Dem. Rep.": "CD",
    "Congo, Rep.": "CG",
    "Democratic Republic of Congo": "CD",
    "DR Congo": "CD",
    "DRC": "CD",
    "East Timor": "TL",
    "Egypt, Arab Rep.": "EG",
    "Gambia, The": "GM",
    "Guinea Conakry": "GN",
    "Guiné-Conacri": "GN",
    "Iran, Islamic Rep.": "IR",
    "Ivory Coast": "CI",
    "Korea, Dem. People's Rep.": "KP",
    "Korea, Rep.": "KR",
    "Kyrgyz Republic": "KG",
    "Lao PDR": "LA",
    "Micronesia, Fed. Sts.": "FM",
    "RCA": "CF",
    "RDC": "CD",
    "República Democrática do Congo": "CD",
    "République démocratique du Congo": "CD",
    "Republic of Congo": "CG",
    "RSA": "ZA",
    "Sao Tome and Principe": "ST",
    "Slovak Republic": "SK",
    "St. Kitts and Nevis": "KN",
    "St. Lucia": "LC",
    "St. Vincent and the Grenadines": "VC",
    "Swaziland": "SZ",
    "Venezuela, RB": "VE",
    "Yemen, Rep.": "YE",
}
_TRANSLATIONS = ("fr", "pt")


def name_key(text: str) -> str:
    """The letters and digits of a name, without case, accents, spaces, underscores and punctuation."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in plain if character.isalnum())


def _spellings(country: object) -> list[str]:
    """Names and codes of a pycountry entry; 'Tanzania, United Republic of' also as spoken."""
    fields = ("name", "official_name", "common_name", "alpha_2", "alpha_3", "numeric")
    spellings = [str(getattr(country, field)) for field in fields if hasattr(country, field)]
    last, comma, first = spellings[0].partition(", ")
    return [*spellings, f"{first} {last}", f"{first} {last}".removeprefix("The ")] if comma else spellings


def _translated() -> Iterator[tuple[str, str]]:
    """Every country's names in French and Portuguese, with its two letters."""
    for language in _TRANSLATIONS:
        say = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=[language]).gettext
        for country in pycountry.countries:
            for name in filter(None, (getattr(country, "common_name", None), country.name)):
                yield say(name), country.alpha_2


@cache
def _names() -> dict[str, str]:
    """Key of every spelling -> the country's name (its common name where ISO 3166 has one)."""
    names = {name_key(OTHER): OTHER}
    for country in pycountry.countries:
        name = getattr(country, "common_name", country.name)
        names |= {name_key(spelling): name for spelling in _spellings(country)}
    for spelling, code in (*_ALIASES.items(), *_translated()):
        names.setdefault(name_key(spelling), names[name_key(code)])
    return names


@cache
def resolve_country(text: str) -> str:
    """The one name of a country given by name or ISO 3166 code: "sierra_leone" and "SLE" are "Sierra Leone".

    A number of ISO 3166 may have lost its leading zeros, as in a spreadsheet. Raises InputError, naming the
    nearest country names, where the text is no country.
    """
    if not (key := name_key(text)):
        raise InputError("the country is empty; give a country's name or its ISO 3166 code")
    try:
        return _names()[key.zfill(3) if key.isdecimal() else key]
    except KeyError:
        raise InputError(
            f"{text.strip()[:60]!r} is not a country; nearest names: {', '.join(nearest_countries(text))}"
        ) from None


@cache
def country_code(name: str) -> str | None:
    """The two-letter ISO 3166 code of a country as `resolve_country` names it; None for any other text."""
    codes = {
        getattr(country, "common_name", country.name): country.alpha_2 for country in pycountry.countries
    }
    return codes.get(name)


def nearest_countries(text: str, limit: int = 3) -> list[str]:
    """The `limit` country names spelled most like `text`, best first; never OTHER, which is no country."""
    candidates = {key: name for key, name in _names().items() if len(key) > 3 and name != OTHER}
    found = process.extract(name_key(text), list(candidates), scorer=fuzz.ratio, limit=len(candidates))
    ranked = list(dict.fromkeys(candidates[spelling] for spelling, _, _ in found))
    return sorted(ranked, key=lambda name: not _same_words(text, name))[:limit]


def _same_words(text: str, name: str) -> bool:
    """Whether the text has every word of four letters or more of a country's name."""
    words = set(map(name_key, re.findall(r"\w{4,}", name)))
    return bool(words) and words <= set(map(name_key, re.findall(r"\w{4,}", text)))
