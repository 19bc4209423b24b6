"""Letters that the standard font lacks: another installed font draws them, or they are named."""

from __future__ import annotations

import warnings

import pytest
from support.build_results import Case, build

from tasks.figures import fonts
from tasks.figures.draw import draw

NOBODY = "\U000f1234"  # of a private use area: no font of Debian has it


@pytest.fixture
def picture(tmp_path, request):
    case = Case(columns={"region": ("Tete", request.param)}, algorithms=("eava",))
    return draw(build(tmp_path, case), "strata")[0]


def test_latin_text_needs_no_other_font():
    assert fonts.fallback_families("Zambézia, 0\N{EN DASH}27 дней") == []


@pytest.mark.parametrize("text", ["ሶማሌ", "ঢাকা"])
def test_other_scripts_are_drawn_by_an_installed_font(text):
    families = fonts.fallback_families(text)
    if not families:
        pytest.skip("fonts-noto-core is not installed")
    assert fonts.undrawable([text]) == set()


@pytest.mark.parametrize("picture", [f"x{NOBODY}"], indirect=True)
def test_characters_that_no_font_has_are_named_and_nothing_is_printed(picture):
    assert picture.undrawable == NOBODY
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert picture.png().startswith(b"\x89PNG")
        assert NOBODY in picture.svg().decode()
