"""One value of a strata column has one form, decided over the whole column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.terms import one_form, value_key


@pytest.mark.parametrize(
    ("labels", "forms"),
    [
        (["2023", "2023.0"], ["2023", "2023"]),
        (["2023.0", "2024.0"], ["2023", "2024"]),
        (["2023.0", "2023", "unknown"], ["2023", "2023", "unknown"]),
        (["01", "02", "12"], ["01", "02", "12"]),
        (["01", "1", "1.0", "02"], ["1", "1", "1", "2"]),
        (["1.5", "2.0"], ["1.5", "2.0"]),
        (["1.5", "2.0", "2"], ["1.5", "2", "2"]),
        (["2023-04-01 00:00:00.000000000", "2023-05-01T00:00:00"], ["2023-04-01", "2023-05-01"]),
        (["2023-04-01 00:00:00", "2023-04-01 12:00:00"], ["2023-04-01 00:00:00", "2023-04-01 12:00:00"]),
        (["Cabo  Delgado", "Cabo\u00a0Delgado", "Cabo Delgado"], ["Cabo Delgado"] * 3),
        (["Zambe\u0301zia", "Zamb\u00e9zia"], ["Zamb\u00e9zia"] * 2),
        (["Cabo-Delgado", "Cabo Delgado", "cabo delgado"], ["Cabo-Delgado", "Cabo Delgado", "cabo delgado"]),
        (["1e5", "100000"], ["1e5", "100000"]),
    ],
)
def test_the_forms_of_a_column(labels: list[str], forms: list[str]) -> None:
    assert [one_form(labels)[label] for label in labels] == forms


LABELS = st.lists(
    st.one_of(st.text(st.sampled_from("a 0.1-"), max_size=6), st.sampled_from(["2023", "2023.0", "01", "1"]))
)


@given(LABELS)
def test_two_labels_have_one_form_exactly_if_they_are_one_value(labels: list[str]) -> None:
    forms = one_form(labels)
    for first in labels:
        for second in labels:
            assert (forms[first] == forms[second]) == (value_key(first) == value_key(second))


@given(LABELS)
def test_the_order_of_the_labels_does_not_matter_and_forms_stay_what_they_are(labels: list[str]) -> None:
    forms = one_form(labels)
    assert one_form(reversed(labels)) == forms
    assert all(one_form(forms.values())[form] == form for form in forms.values())
