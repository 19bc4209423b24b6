from __future__ import annotations

import pycountry
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import InputError
from tasks.terms.countries import name_key, nearest_countries, resolve_country


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Mozambique", "Mozambique"),
        ("  mozambique ", "Mozambique"),
        ("MOZ", "Mozambique"),
        ("mz", "Mozambique"),
        ("508", "Mozambique"),
        ("sierra_leone", "Sierra Leone"),
        ("SierraLeone", "Sierra Leone"),
        ("south africa", "South Africa"),
        ("Republic of Mali", "Mali"),
        ("Tanzania", "Tanzania"),
        ("United Republic of Tanzania", "Tanzania"),
        ("Democratic Republic of the Congo", "Congo, The Democratic Republic of the"),
        ("DRC", "Congo, The Democratic Republic of the"),
        ("Cote d'Ivoire", "Côte d'Ivoire"),
        ("Ivory Coast", "Côte d'Ivoire"),
        ("Other", "other"),
        ("Congo, Dem. Rep.", "Congo, The Democratic Republic of the"),
        ("Democratic Republic of Congo", "Congo, The Democratic Republic of the"),
        ("RDC", "Congo, The Democratic Republic of the"),
        ("Gambia, The", "Gambia"),
        ("RSA", "South Africa"),
        ("Moçambique", "Mozambique"),
        ("Afrique du Sud", "South Africa"),
        ("Guinée", "Guinea"),
        ("Cameroun", "Cameroon"),
        ("50", "Bangladesh"),
        ("050", "Bangladesh"),
    ],
)
def test_a_country_is_known_by_its_names_and_codes(text: str, name: str) -> None:
    assert resolve_country(text) == name


@pytest.mark.parametrize("text", ["", "  ", "_"])
def test_an_empty_country_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="the country is empty"):
        resolve_country(text)


@pytest.mark.parametrize(
    ("text", "nearest"), [("Mozambik", "Mozambique"), ("Keniya", "Kenya"), ("Mally", "Mali")]
)
def test_a_misspelt_country_is_refused_with_the_nearest_names(text: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"^'{text}' is not a country; nearest names: .*{nearest}"):
        resolve_country(text)


def test_a_long_text_is_not_repeated_in_full() -> None:
    with pytest.raises(InputError) as caught:
        resolve_country("x" * 500)
    assert len(str(caught.value)) < 200


def test_nearest_names_are_names_and_not_codes() -> None:
    names = {getattr(country, "common_name", country.name) for country in pycountry.countries} | {"other"}
    assert set(nearest_countries("Bangladash", 5)) <= names


@pytest.mark.parametrize("text", ["othe", "others", "Otter", "ohter"])
def test_other_is_never_offered_for_a_country(text: str) -> None:
    assert "other" not in nearest_countries(text, 20)


def test_the_country_whose_words_are_all_there_is_offered_first() -> None:
    assert nearest_countries("Bangladesh PR")[0] == "Bangladesh"
    assert nearest_countries("Tanzania mainland")[0] == "Tanzania"


def test_a_translated_name_never_means_another_country_than_the_english_one() -> None:
    for country in pycountry.countries:
        english = getattr(country, "common_name", country.name)
        assert resolve_country(english) == english


@given(st.sampled_from(list(pycountry.countries)), st.sampled_from([str.upper, str.lower, str.title]))
def test_every_iso_country_resolves_to_one_name_however_written(country: object, case: object) -> None:
    spellings = [country.name, country.alpha_2, country.alpha_3, country.name.replace(" ", "_")]  # type: ignore[attr-defined]
    assert len({resolve_country(case(text)) for text in spellings}) == 1  # type: ignore[operator]


@given(st.sampled_from(list(pycountry.countries)))
def test_a_resolved_name_resolves_to_itself(country: object) -> None:
    name = resolve_country(country.name)  # type: ignore[attr-defined]
    assert resolve_country(name) == name
    assert name_key(name)
