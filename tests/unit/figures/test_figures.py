"""The pictures: right numbers, caveats inside, the same bytes each time, and clear refusals."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from support.build_boundaries import made_up_boundaries
from support.build_results import Case, build

from tasks.boundaries import read_boundaries
from tasks.errors import InputError
from tasks.figures.draw import KINDS, draw, save
from tasks.figures.inline_svg import inline
from tasks.figures.matrix import matrices_of
from tasks.figures.style import PALETTE, SEQUENTIAL, luminance, percent_ceiling
from tasks.figures.trends import period_column
from tasks.view.view import View

PROVINCES = ("Nampula", "Tete", "Gaza", "Sofala", "Manica", "Niassa")
NATION = Case(
    "nation", columns={"province": PROVINCES, "year": ("2021", "2022")}, deaths=(120, 500),
    roll_ups=([], ["province"], ["year"]),
)  # fmt: skip


@pytest.fixture(scope="module")
def nation(tmp_path_factory):
    return build(tmp_path_factory.mktemp("nation"), NATION)


@pytest.fixture(scope="module")
def stratum(tmp_path_factory):
    return build(tmp_path_factory.mktemp("stratum"))


def texts(svg: bytes) -> list[str]:
    return [
        "".join(node.itertext()).strip()
        for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def pictures(results, kind):
    boundaries = made_up_boundaries(PROVINCES) if kind == "map" else None
    return draw(
        results,
        kind,
        boundaries=boundaries,
        where="province=Tete"
        if kind in ("csmf", "matrix") and results.manifest["name"] == "nation"
        else None,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(nation, kind):
    first, second = (pictures(nation, kind)[0] for _ in range(2))
    assert first.svg() == second.svg()
    assert first.png(60) == second.png(60)


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_says_its_source_and_asks_for_nothing_outside(nation, kind):
    for picture in pictures(nation, kind):
        svg = picture.svg()
        assert any("CCVA_missmat 2.2" in text and nation.manifest["run"] in text for text in texts(svg))
        assert not re.search(rb'(href|src)="(?!#)|url\((?!#)|@import', svg)
        assert picture.alt


@pytest.mark.parametrize("kind", ["csmf", "strata", "trends", "map"])
def test_every_picture_of_estimates_carries_their_verdicts_and_caveats(nation, kind):
    shown = " ".join(texts(pictures(nation, kind)[0].svg()))
    of_strata = kind == "strata"  # strata, not totals, are compared here
    assert ("Publish with caution" if of_strata else "Publish the mean, not the interval") in shown
    assert "Total's interval too narrow" in shown or of_strata
    assert "The ensemble treats its algorithms as independent" in shown


@pytest.mark.parametrize("kind", ["csmf", "matrix", "records"])
def test_illustrative_runs_say_so_in_every_picture(tmp_path, kind):
    results = build(tmp_path, Case(illustrative=True))
    shown = texts(pictures(results, kind)[0].svg())
    assert "Illustrative misclassification matrices, not for publication." in shown
    assert "ILLUSTRATIVE" in shown


def test_the_figures_beside_the_marks_are_those_of_the_table(stratum):
    shown = texts(draw(stratum, "csmf")[0].svg())
    for row in stratum.csmf.itertuples():
        if row.status == "calibrated" and row.q975 - row.q025 >= 0.05:
            low, high = f"{100 * row.q025:.0f}", f"{100 * row.q975:.0f}"
            assert any(text.endswith(f"({low}\N{EN DASH}{high})") for text in shown)
        if row.status == "passed_through":
            assert f"{100 * row.mean:.0f}%" in shown


def test_no_interval_is_drawn_for_a_cause_that_is_passed_through(stratum):
    axes = draw(stratum, "csmf")[0].figure.axes[0]
    lines = sum(
        len(collection.get_segments())
        for collection in axes.collections
        if hasattr(collection, "get_segments")
    )
    assert lines == (stratum.csmf["status"] == "calibrated").sum()


def test_names_are_readable_and_in_the_language_asked_for(stratum):
    shown = " ".join(texts(draw(stratum, "csmf", "pt")[0].svg()))
    assert "Prematuridade" in shown
    assert "Conjunto" in shown
    assert "sepsis_meningitis_inf" not in shown


def test_matrices_are_restricted_to_calibrated_causes_before_rows_are_made_to_sum_to_one(stratum):
    own = stratum.matrices[stratum.matrices["algorithm"] == "eava"]
    csmf = stratum.csmf[stratum.csmf["algorithm"] == "eava"]
    calibrated = csmf.loc[csmf["status"] == "calibrated", "cause"].tolist()
    found = matrices_of(own, calibrated)
    assert found is not None
    assert "other" not in found.causes
    np.testing.assert_allclose(found.published.sum(axis=1), 1)
    np.testing.assert_allclose(found.used.sum(axis=1), 1)
    table = own[own["kind"] == "published"].set_index(["champs_cause", "va_cause"])["value"]
    row = np.array([table[found.causes[0], column] for column in found.causes])
    np.testing.assert_allclose(found.published[0], row / row.sum())


def test_the_cells_of_the_matrix_show_its_values_in_percent(stratum):
    shown = texts(draw(stratum, "matrix")[0].svg())
    own = stratum.matrices.query(
        "algorithm == 'eava' and kind == 'used' and champs_cause == va_cause and champs_cause != 'other'"
    )
    assert {f"{100 * value:.0f}" for value in own["value"]} <= set(shown)


def test_files_are_written_in_both_formats(stratum, tmp_path):
    files = save(draw(stratum, "records"), tmp_path / "new")
    assert [path.name for path in files] == ["records.svg", "records.png"]
    assert files[1].read_bytes().startswith(b"\x89PNG")


def test_where_keeps_the_strata_whose_key_holds_the_text(nation):
    assert {picture.name for picture in draw(nation, "csmf", where="province=Tete/year=2022")} == {
        "csmf-neonate-mozambique-tete-2022"
    }


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("strata", "there is only one stratum"),
        ("trends", "no strata column holds years"),
        ("map", r"a map needs a boundary file \(GeoJSON\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(stratum, kind, message):
    with pytest.raises(InputError, match=message):
        draw(stratum, kind)


def test_a_run_without_any_result_still_has_its_pictures(tmp_path):
    results = build(tmp_path, Case(all_fail=True))
    assert "Do not publish" in " ".join(texts(draw(results, "csmf")[0].svg()))
    with pytest.raises(InputError, match="no matrix was used"):
        draw(results, "matrix")


def test_names_may_hold_any_sign(tmp_path):
    results = build(
        tmp_path, Case(columns={"district": ("a$b_{c}$", "<b>&")}, algorithms=("eava",), deaths=(90, 99))
    )
    assert "a$b_{c}$" in texts(draw(results, "strata")[0].svg())
    assert "<b>&" in texts(draw(results, "strata")[0].svg())


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (("2021", "2022"), True),
        (("2021-01", "2021-02"), True),
        (("2021Q1", "2021Q2"), True),
        (("1", "2"), False),
        (("A", "B"), False),
    ],
)
def test_periods_are_recognised_by_their_form(tmp_path, values, found):
    results = build(tmp_path, Case(columns={"when": values}, algorithms=("eava",), deaths=(90, 99)))
    assert (period_column(View(results)) == "when") is found


def test_a_map_of_strata_that_differ_by_more_than_the_place_asks_for_a_roll_up(tmp_path):
    case = Case(columns={"province": PROVINCES, "sex": ("f", "m")}, algorithms=("eava",), deaths=(90, 99))
    with pytest.raises(InputError, match=r"add roll_ups: \[\[province\]\] to the request"):
        draw(build(tmp_path, case), "map", boundaries=made_up_boundaries(PROVINCES))


def test_places_are_found_by_whatever_property_names_them():
    found = read_boundaries(made_up_boundaries(["Tete", "Gaza"], "shapeName"), ["tete", "Gaza"])
    assert found.name_property == "shapeName"
    assert set(found.places) == {"tete", "Gaza"}


def test_holes_are_wound_against_their_polygon():
    found = read_boundaries(made_up_boundaries(PROVINCES), PROVINCES)
    outer, hole = found.places["Manica"]

    def area(ring):
        return np.sum(ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1])

    assert area(outer) > 0 > area(hole)
    assert len(found.places["Niassa"]) == 2


@pytest.mark.parametrize("text", ["no json", "[]", '{"features": [{"geometry": {"type": "Polygon"}}]}'])
def test_a_file_that_holds_no_polygons_is_refused(text):
    with pytest.raises(InputError, match="not a GeoJSON collection of polygons"):
        read_boundaries(text, ["Tete"])


def test_unknown_places_are_refused_with_the_names_of_the_file():
    with pytest.raises(InputError, match="no property names any of Tete; the file has: GAZA"):
        read_boundaries(made_up_boundaries(["Gaza"]), ["Tete"])
    point = json.dumps(
        {"features": [{"properties": {"a": "Tete"}, "geometry": {"type": "Point", "coordinates": [0, 0]}}]}
    )
    with pytest.raises(InputError, match="the file has: no names"):
        read_boundaries(point, ["Tete"])


def test_colours_stand_out_on_white_and_the_scale_only_darkens():
    for colour in PALETTE:
        assert 1.05 / (luminance(colour) + 0.05) > 4.5
    steps = [luminance(mpl.colormaps[SEQUENTIAL](x)) for x in np.linspace(0, 1, 20)]
    assert all(later < earlier for earlier, later in pairwise(steps))


@pytest.mark.parametrize(("share", "limit"), [(0.0, 5), (0.05, 5), (0.051, 10), (0.62, 70), (1.0, 100)])
def test_axes_end_at_a_round_percentage_that_shows_all(share, limit):
    assert percent_ceiling(share) == limit


def test_pictures_in_one_page_do_not_share_ids(stratum):
    pages = [inline(picture, f"p{place}") for place, picture in enumerate(draw(stratum, "matrix"))]
    ids = [re.findall(r'\bid="([^"]+)"', str(page)) for page in pages]
    assert all(len(found) == len(set(found)) for found in ids)
    assert not set(ids[0]) & set(ids[1])
    for page, found in zip(pages, ids, strict=True):
        assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', str(page))) <= set(found)


def test_pictures_are_written_relative_to_no_folder_of_their_own(stratum, tmp_path):
    written = save(draw(stratum, "csmf"), tmp_path, ("svg",))
    assert [path.parent for path in written] == [Path(tmp_path)]
