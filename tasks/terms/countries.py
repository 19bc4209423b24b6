"""Country names as people write them, resolved to one name each (ISO 3166, through pycountry)."""

from __future__ import annotations

import unicodedata
from functools import cache

import pycountry
from rapidfuzz import fuzz, process

from tasks.errors import InputError

OTHER = "other"
"""The inventory's entry for every country without matrices of its own; also accepted as a country's name."""

# Short names in everyday use that ISO 3166 does not list.
_ALIASES = {
    "Burma": "MM",
    "Cape Verde": "CV",
    "DR Congo": "CD",
    "DRC": "CD",
    "East Timor": "TL",
    "Ivory Coast": "CI",
    "Swaziland": "SZ",
}


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


@cache
def _names() -> dict[str, str]:
    """Key of every spelling -> the country's name (its common name where ISO 3166 has one)."""
    names = {name_key(OTHER): OTHER}
    for country in pycountry.countries:
        name = getattr(country, "common_name", country.name)
        names |= {name_key(spelling): name for spelling in _spellings(country)}
    for alias, code in _ALIASES.items():
        names[name_key(alias)] = names[name_key(code)]
    return names


@cache
def resolve_country(text: str) -> str:
    """The one name of a country given by name or ISO 3166 code: "sierra_leone" and "SLE" are "Sierra Leone".

    Raises InputError, naming the nearest country names, where the text is no country.
    """
    if not (key := name_key(text)):
        raise InputError("the country is empty; give a country's name or its ISO 3166 code")
    try:
        return _names()[key]
    except KeyError:
        raise InputError(
            f"{text.strip()[:60]!r} is not a country; nearest names: {', '.join(nearest_countries(text))}"
        ) from None


def nearest_countries(text: str, limit: int = 3) -> list[str]:
    """The `limit` country names spelled most like `text`, best first."""
    candidates = {spelling: name for spelling, name in _names().items() if len(spelling) > 3}
    found = process.extract(name_key(text), list(candidates), scorer=fuzz.ratio, limit=len(candidates))
    return list(dict.fromkeys(candidates[spelling] for spelling, _, _ in found))[:limit]
