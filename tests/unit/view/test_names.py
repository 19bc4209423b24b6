"""File names of pictures: one for each unit of a run, readable, whatever script its labels are in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.build_results import Case, build

from tasks.figures.draw import draw, save
from tasks.view.names import unique_names
from tasks.view.view import View

REGIONS = ("ሶማሌ", "አፋር", "Cabo Delgado", "Cabo-Delgado", "ঢাকা", "***", "Zambézia")


def test_pictures_of_different_strata_have_different_names(tmp_path):
    results = build(
        tmp_path / "store", Case(columns={"region": REGIONS}, algorithms=("eava",), roll_ups=([],))
    )
    pictures = draw(results, "csmf")
    names = {picture.title.split(", ", 1)[1].split(":")[0]: picture.name for picture in pictures}
    assert len(set(names.values())) == len(REGIONS) + 1
    assert names["Mozambique"] == "csmf-neonate-mozambique"
    assert names["Mozambique, ሶማሌ"] == "csmf-neonate-mozambique-ሶማሌ"
    assert names["Mozambique, ঢাকা"] == "csmf-neonate-mozambique-ঢাকা"
    assert names["Mozambique, Zambézia"] == "csmf-neonate-mozambique-zambezia"
    assert len(save(pictures[:1], tmp_path / "new" / "folder", ("svg",))) == 1


def test_a_name_does_not_depend_on_which_pictures_are_drawn(tmp_path):
    results = build(tmp_path, Case(columns={"region": REGIONS}, algorithms=("eava",)))
    every = {picture.title: picture.name for picture in draw(results, "csmf")}
    (alone,) = draw(results, "csmf", where="Cabo-Delgado")
    assert alone.name == every[alone.title]


def test_results_speak_the_language_of_the_view_they_come_from(tmp_path):
    view = View(build(tmp_path, Case(columns={"region": ("A", "B")})))
    assert view.units[0].label == "Mozambique, A: Neonates (0\N{EN DASH}27 days)"
    french = view.in_language("fr")
    assert "Nouveau-nés" in french.units[0].label
    assert "Neonates" in view.units[0].label
    assert french.estimates is view.estimates


@given(st.lists(st.lists(st.text(max_size=90), min_size=1, max_size=3).map(tuple), unique=True, max_size=9))
def test_names_are_unique_and_safe_in_every_file_system(texts):
    names = unique_names({parts: parts for parts in texts})
    folded = [name.casefold() for name in names.values()]
    assert len(set(folded)) == len(texts)
    for name in folded:
        assert name
        assert len(name.encode()) <= 120
        assert all(sign.isalnum() or sign == "-" or not sign.isascii() for sign in name)
        assert not name.startswith("-")
