"""Matrices that users bring: the long table in CSV, JSON or Parquet, and what is refused about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tasks.errors import InputError
from tasks.matrices.find import load_inventory
from tasks.matrices.model import Matrix, content_checksum
from tasks.matrices.table import from_frame, to_table

CAUSES = ("injury", "infection", "other")
RATES = np.array([[0.8, 0.1, 0.1], [0.25, 0.5, 0.25], [0.2, 0.2, 0.6]])


def table(values: np.ndarray = RATES, type: str = "fixed", **columns: object) -> pd.DataFrame:
    rows = [
        {"type": type, "algorithm": "my coder", "champs_cause": true, "va_cause": said, "value": values[i, j]}
        for i, true in enumerate(CAUSES)
        for j, said in enumerate(CAUSES)
    ]
    return pd.DataFrame(rows).assign(**columns)


def write(frame: pd.DataFrame, file: Path) -> str:
    if file.suffix == ".csv":
        frame.to_csv(file, index=False)
    elif file.suffix == ".json":
        frame.to_json(file, orient="records")
    else:
        frame.to_parquet(file, index=False)
    return str(file)


def problems(frame: pd.DataFrame) -> list[str]:
    with pytest.raises(InputError) as caught:
        from_frame(frame)
    return list(caught.value.problems)


@pytest.mark.parametrize("ending", [".csv", ".json", ".parquet"])
def test_own_matrices_are_read_from_every_format(ending: str, tmp_path: Path) -> None:
    inventory = load_inventory(write(table(), tmp_path / f"My matrices{ending}"))
    entry = inventory.matrices("child", "MY CODER", "Mali", "fixed")
    assert entry.causes == list(CAUSES)
    np.testing.assert_array_equal(entry.values, RATES)
    assert (entry.country_used, entry.by_other) == ("every country", False)
    assert inventory.id == "own-my-matrices"
    assert not inventory.verified and not inventory.illustrative
    assert inventory.checksum == content_checksum(inventory.entries)


def test_the_same_matrices_have_the_same_checksum_in_every_format_and_order(tmp_path: Path) -> None:
    both = pd.concat([table(country="Mali"), table(RATES[::-1, ::-1], country="Kenya")])
    other_order = pd.concat([table(RATES[::-1, ::-1], country="KEN"), table(country="mali")])
    checksums = {
        load_inventory(write(frame, tmp_path / f"own{ending}")).checksum
        for frame in (both, other_order)
        for ending in (".csv", ".json", ".parquet")
    }
    assert len(checksums) == 1


def test_dirichlet_alphas_and_samples_are_equally_valid() -> None:
    alphas = from_frame(table(RATES * 50, "prior"))
    np.testing.assert_allclose(alphas[0].values, RATES * 50)
    samples = from_frame(pd.concat([table(type="samples", sample=2), table(np.eye(3), "samples", sample=1)]))
    np.testing.assert_array_equal(samples[0].values, [np.eye(3), RATES])


def test_countries_and_age_groups_of_ones_own_are_told_apart(tmp_path: Path) -> None:
    frame = pd.concat(
        [table(age_group="child", country="mli"), table(np.eye(3), age_group="child", country="other")]
    )
    inventory = load_inventory(write(frame, tmp_path / "own.csv"))
    assert inventory.countries() == ["Mali", "other"]
    np.testing.assert_array_equal(inventory.matrices("child", "my coder", "Mali", "fixed").values, RATES)
    assert inventory.matrices("child", "my coder", "Kenya", "fixed").by_other
    with pytest.raises(InputError, match="no matrix of age group 'neonate' of my coder; it has: child"):
        inventory.matrices("neonate", "my coder", "Mali", "fixed")


def test_a_country_that_the_table_lacks_is_refused_where_it_has_no_other(tmp_path: Path) -> None:
    inventory = load_inventory(write(table(country="Mali"), tmp_path / "own.csv"))
    with pytest.raises(
        InputError, match="own-own has no matrix of country 'Kenya' for my coder; it has: Mali"
    ):
        inventory.matrices("child", "my coder", "Kenya", "fixed")


def test_a_structural_zero_off_the_diagonal_is_allowed() -> None:
    alphas = np.array([[5.0, 0.0, 1.0], [0.0, 5.0, 0.0], [1.0, 1.0, 5.0]])
    np.testing.assert_array_equal(from_frame(table(alphas, "prior"))[0].values, alphas)


def test_every_wrong_column_is_named() -> None:
    frame = table().rename(columns={"value": "rate", "va_cause": "cause"})
    assert problems(frame) == [
        "column 'va_cause' is missing",
        "column 'value' is missing",
        "column 'cause' is not known; known are type, algorithm, champs_cause, va_cause, value, age_group, "
        "country, sample",
        "column 'rate' is not known; known are type, algorithm, champs_cause, va_cause, value, age_group, "
        "country, sample",
    ]


def test_all_problems_with_values_are_told_at_once() -> None:
    frame = table(age_group="child", country="Mali").astype({"value": object})
    frame.loc[0, "value"] = "a lot"
    frame.loc[1, "value"] = -0.1
    frame.loc[2, "age_group"] = "adult"
    frame.loc[3, "type"] = "posterior"
    frame.loc[4, "country"] = "Mally"
    frame.loc[5, "algorithm"] = " "
    found = problems(frame)
    assert found[:4] == [
        "value must be a number of 0 or more: rows 0, 1",
        "type must be one of prior, fixed, samples: row 3",
        "age_group must be neonate or child: row 2",
        "algorithm is empty: row 5",
    ]
    assert found[4].startswith("column country: 'Mally' is not a country; nearest names: Mali")
    assert len(found) == 5


WHERE = "my coder, every age group, every country"


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (
            table().drop(index=[1, 5]),
            f"{WHERE}: 2 cells are missing, the first is injury -> infection",
        ),
        (
            table().iloc[[*range(9), 4]],
            f"{WHERE}: 1 cells are given more than once, the first is infection -> infection",
        ),
        (
            table().replace({"va_cause": {"other": "Other"}}),
            f"{WHERE}: not square: Other, other only among the rows or the columns",
        ),
        (
            table(RATES * [[0.9], [1], [1]]),
            f"{WHERE}: rates of true cause injury sum to 0.9, not to 1",
        ),
        (
            table(RATES - np.diag([0.8, 0, 0]), "prior"),
            f"{WHERE}: true cause injury is never found (its diagonal cell is 0)",
        ),
        (
            table(type="samples"),
            "type samples needs a sample number: rows 0, 1, 2, 3, 4 and 4 more",
        ),
        (
            table(type="samples", sample=1),
            f"{WHERE}: type samples needs at least two samples",
        ),
        (
            table().iloc[:1].assign(value=1.0),
            f"{WHERE}: a matrix needs at least two causes",
        ),
        (
            table().iloc[:0],
            "the table has no rows",
        ),
    ],
)
def test_what_is_wrong_with_a_matrix_is_said(wrong: pd.DataFrame, expected: str) -> None:
    assert problems(wrong) == [expected]


def test_algorithms_of_one_age_group_need_the_same_causes() -> None:
    other = table(algorithm="second").replace({"injury": "accident"})
    assert problems(pd.concat([table(), other])) == [
        f"second, every age group, every country: its causes are not those of {WHERE}: accident, injury"
    ]


def test_causes_of_all_matrices_come_in_the_order_of_the_first() -> None:
    second = table(algorithm="second").iloc[::-1]
    _, aligned = from_frame(pd.concat([table(), second]))
    assert aligned.causes == CAUSES
    np.testing.assert_array_equal(aligned.values, RATES)


def test_files_that_are_no_table_are_refused_with_their_name(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text('{"value": 1}')
    with pytest.raises(InputError, match=r"^own.json: matrices in JSON are a list of objects, one a cell"):
        load_inventory(str(tmp_path / "own.json"))
    (tmp_path / "own2.json").write_text("[{")
    with pytest.raises(InputError, match=r"^own2.json: this is not a JSON file that can be read"):
        load_inventory(str(tmp_path / "own2.json"))


names = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(2, 5).flatmap(
        lambda size: st.tuples(
            st.lists(names, min_size=size, max_size=size, unique=True),
            arrays.arrays(float, (size, size), elements=st.floats(0.01, 1e6)),
        )
    ),
    names,
    st.sampled_from([None, "neonate", "child"]),
    st.sampled_from([None, "Mali", "other"]),
)
def test_what_is_written_is_what_is_read(
    causes_and_values: tuple[list[str], np.ndarray],
    algorithm: str,
    age_group: str | None,
    country: str | None,
) -> None:
    causes, values = causes_and_values
    matrix = Matrix(age_group, algorithm, country, "prior", tuple(causes), values)
    (read,) = from_frame(to_table((matrix,)).to_pandas())
    np.testing.assert_array_equal(read.values, values)
    assert content_checksum((read,)) == content_checksum((matrix,))
