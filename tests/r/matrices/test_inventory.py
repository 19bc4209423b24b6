"""Where an inventory is found, what it is made of, and what it answers."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support import ROOT
from support.inventory_made import CAUSES, install_package, made_alphas, write_rda

from tasks.errors import InputError, InventoryError
from tasks.matrices.find import (
    Inventory,
    describe_inventory,
    describe_matrix,
    describe_places,
    load_inventory,
    mean_matrix,
)
from tasks.matrices.illustrative import illustrative_inventory
from tasks.matrices.model import content_checksum
from tasks.matrices.published import PUBLISHED, Published, stored_path, write_stored
from tasks.matrices.rda import read_rda
from tasks.settings import settings

REAL = Path(os.environ.get("VACAL_INVENTORY") or ROOT.parent / "shared/data/CCVA_missmat.rda")
needs_published = pytest.mark.skipif(
    not (REAL.is_file() and REAL.suffix == ".rda"),
    reason="no published inventory: neither VACAL_INVENTORY (.rda) nor ../shared/data/CCVA_missmat.rda",
)


@pytest.fixture(autouse=True)
def clean_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation without any inventory; yields its home."""
    monkeypatch.delenv("VACAL_INVENTORY", raising=False)
    monkeypatch.setenv("VACAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("R_LIBS", str(tmp_path / "library"))
    monkeypatch.setenv("VACAL_R_LIBRARY", str(tmp_path / "library"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.fixture(scope="session")
def made_rda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rda(tmp_path_factory.mktemp("made") / "CCVA_missmat.rda")


def use_file(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("VACAL_INVENTORY", str(file))
    settings.cache_clear()


def assert_holds_the_made_matrices(inventory: Inventory) -> None:
    for age_group, causes in CAUSES.items():
        for k, algorithm in enumerate(("eava", "insilicova"), start=1):
            for c, country in enumerate(("Mozambique", "Sierra Leone", "other"), start=1):
                alphas = made_alphas(age_group, k, c)
                prior = inventory.matrices(age_group, algorithm, country, "prior")
                assert prior.causes == causes
                np.testing.assert_array_equal(prior.values, alphas)
                fixed = inventory.matrices(age_group, algorithm, country, "fixed")
                np.testing.assert_allclose(fixed.values, alphas / alphas.sum(axis=1, keepdims=True))
                samples = inventory.matrices(age_group, algorithm, country, "samples")
                np.testing.assert_array_equal(samples.values, [fixed.values, np.eye(len(causes))])


# --- R's data file ---


@pytest.mark.parametrize("name", ["CCVA_missmat", "Mmat_champs"])
def test_a_data_file_that_r_wrote_gives_its_matrices_rows_first(tmp_path: Path, name: str) -> None:
    entries, version = read_rda(write_rda(tmp_path / "file.rda", name).read_bytes())
    assert version == "20990101"
    assert_holds_the_made_matrices(Inventory("x", version, "", "", False, False, entries))


def test_another_object_is_refused_by_name(tmp_path: Path) -> None:
    file = write_rda(tmp_path / "file.rda", "something_else")
    with pytest.raises(
        InventoryError, match=r"file.rda: the file holds something_else, not an object named CCVA_"
    ):
        load_inventory(str(file))


def test_code_in_a_data_file_is_refused_and_not_run(tmp_path: Path) -> None:
    file, trace = tmp_path / "file.rda", tmp_path / "trace"
    make = "a <- commandArgs(TRUE); CCVA_missmat <- list(x = function() file.create(a[2]))"
    command = ["Rscript", "-e", make, "-e", "save(CCVA_missmat, file = a[1])", str(file), str(trace)]
    subprocess.run(command, check=True)
    with pytest.raises(InventoryError, match=r"file.rda: the R object holds a CLO, which no inventory"):
        load_inventory(str(file))
    assert not trace.exists()


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"not R at all", lambda data: b""]
)
def test_a_damaged_data_file_is_refused(tmp_path: Path, made_rda: Path, damage: object) -> None:
    file = tmp_path / "damaged.rda"
    file.write_bytes(damage(made_rda.read_bytes()))  # type: ignore[operator]
    with pytest.raises(
        InventoryError, match=r"damaged.rda: this is not a data file that R wrote, or it is damaged"
    ):
        load_inventory(str(file))


def test_a_file_without_a_known_checksum_is_used_but_not_verified(made_rda: Path) -> None:
    inventory = load_inventory(str(made_rda))
    assert (inventory.id, inventory.version) == ("champs-20990101", "20990101")
    assert inventory.checksum == hashlib.sha256(made_rda.read_bytes()).hexdigest()
    assert not inventory.verified and not inventory.illustrative


def test_other_kinds_of_file_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InventoryError, match=r"matrices.xlsx: matrices are read from files that end in .rda, "
    ):
        load_inventory(str(tmp_path / "matrices.xlsx"))
    with pytest.raises(InputError, match=r"matrices.csv: there is no such file"):
        load_inventory(str(tmp_path / "matrices.csv"))


# --- The search ---


def test_without_any_inventory_the_error_says_the_three_ways_to_get_one() -> None:
    with pytest.raises(InventoryError) as caught:
        load_inventory()
    message = str(caught.value)
    assert message.startswith(
        "The inventory of misclassification matrices is not on this machine. Three ways"
    )
    for way in (
        "vacal inventory fetch",
        "install the R package vacalibration",
        "set VACAL_INVENTORY to a file",
    ):
        assert way in message


def test_the_setting_comes_before_the_package_and_the_store(
    made_rda: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_as_published(made_rda, monkeypatch)
    install_package(made_rda, tmp_path, "gzip")
    assert load_inventory().source == "installed R package vacalibration 9.9"
    use_file(monkeypatch, made_rda)
    assert load_inventory().source == "file CCVA_missmat.rda"


def test_a_setting_that_names_no_file_is_an_error_not_a_reason_to_look_elsewhere(
    made_rda: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_as_published(made_rda, monkeypatch)
    use_file(monkeypatch, tmp_path / "gone.rda")
    with pytest.raises(InventoryError, match=r"^setting VACAL_INVENTORY: .*gone.rda: does not exist"):
        load_inventory()


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "none", None])
def test_an_installed_package_is_read_without_running_it(
    made_rda: Path, tmp_path: Path, compression: str | None
) -> None:
    install_package(made_rda, tmp_path, compression)
    inventory = load_inventory()
    assert (inventory.id, inventory.version, inventory.verified) == ("champs-9.9", "9.9", False)
    assert inventory.checksum == content_checksum(inventory.entries)
    assert_holds_the_made_matrices(inventory)


def test_an_installed_package_without_the_data_set_is_an_error(tmp_path: Path) -> None:
    package = tmp_path / "library" / "vacalibration"
    package.mkdir(parents=True)
    (package / "DESCRIPTION").write_text("Package: vacalibration\nVersion: 0.1\n")
    with pytest.raises(
        InventoryError, match=r"vacalibration holds no data set named CCVA_missmat or Mmat_champs"
    ):
        load_inventory()


def store_as_published(rda: Path, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    """Keep the made-up inventory in the store as if it were the published version 2.2."""
    inventory = load_inventory(str(rda))
    known = Published(file=inventory.checksum, content=content_checksum(inventory.entries))
    monkeypatch.setitem(PUBLISHED, "2.2", known)
    inventory = load_inventory(str(rda))
    write_stored(inventory)
    return inventory


def test_the_same_content_is_the_same_inventory_wherever_it_was_found(
    made_rda: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_file = store_as_published(made_rda, monkeypatch)
    from_store = load_inventory()
    install_package(made_rda, tmp_path, "gzip")
    from_package = load_inventory()
    assert from_package.source != from_file.source
    for inventory in (from_store, from_package):
        for field in ("id", "version", "checksum", "verified"):
            assert getattr(inventory, field) == getattr(from_file, field)
        assert_holds_the_made_matrices(inventory)


def test_a_stored_inventory_that_was_changed_is_refused(
    made_rda: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_as_published(made_rda, monkeypatch)
    path = stored_path("champs-2.2")
    table = pq.read_table(path)
    values = table["value"].to_numpy().copy()
    values[0] += 1
    pq.write_table(table.set_column(table.column_names.index("value"), "value", [values]), path)
    with pytest.raises(
        InventoryError, match=r"champs-2.2.parquet: the matrices are not those that were stored"
    ):
        load_inventory()


def test_storing_twice_gives_the_same_bytes(made_rda: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inventory = store_as_published(made_rda, monkeypatch)
    first = stored_path("champs-2.2").read_bytes()
    write_stored(inventory)
    assert stored_path("champs-2.2").read_bytes() == first
    assert [file.name for file in stored_path("champs-2.2").parent.iterdir()] == ["champs-2.2.parquet"]


def test_places_say_what_is_found_where(made_rda: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_file(monkeypatch, made_rda)
    setting, package, store, own = describe_places()
    assert (setting["found"], setting["id"], setting["verified"]) == (True, "champs-20990101", False)
    assert (package["found"], store["found"]) == (False, False)
    assert (own["id"], own["illustrative"]) == ("illustrative", True)
    use_file(monkeypatch, Path("gone.rda"))
    assert "gone.rda: does not exist" in str(describe_places()[0]["problem"])


# --- What an inventory answers ---


@pytest.fixture
def made(made_rda: Path) -> Inventory:
    return load_inventory(str(made_rda))


def test_names_are_compared_without_regard_to_case_and_spelling(made: Inventory) -> None:
    entry = made.matrices("neonate", "EAVA", "sierra_leone")
    np.testing.assert_array_equal(entry.values, made_alphas("neonate", 1, 2))
    assert (entry.country_used, entry.by_other) == ("Sierra Leone", False)


def test_a_country_outside_the_list_is_served_by_other_and_flagged(made: Inventory) -> None:
    entry = made.matrices("child", "insilicova", "Tanzania")
    np.testing.assert_array_equal(entry.values, made_alphas("child", 2, 3))
    assert (entry.country_used, entry.by_other) == ("other", True)


def test_other_asked_for_by_name_is_no_surprise(made: Inventory) -> None:
    assert made.matrices("child", "eava", "other").by_other is False


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (("neonate", "tariff", "Mali"), "no matrix of algorithm 'tariff'; it has: eava, insilicova$"),
        (("neonate", "insilico", "Mali"), "it has: eava, insilicova; did you mean insilicova?"),
        (("adult", "eava", "Mali"), "no matrix of age group 'adult' of eava; it has: neonate, child"),
        (("neonate", "eava", "Malli"), "'Malli' is not a country; nearest names: Mali"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    made: Inventory, what: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        made.matrices(*what)


def test_a_type_that_is_not_there_is_refused() -> None:
    with pytest.raises(
        InputError, match="illustrative has no matrix of type 'samples' for eava, child; it has: fixed, prior"
    ):
        load_inventory("illustrative").matrices("child", "eava", "Mali", "samples")


def test_mean_rates_sum_to_one_for_every_type(made: Inventory) -> None:
    for type in ("prior", "fixed", "samples"):
        mean = mean_matrix(made.matrices("child", "eava", "Mali", type).values)  # type: ignore[arg-type]
        np.testing.assert_allclose(mean.sum(axis=1), 1)


def test_listings_are_plain_rows(made: Inventory) -> None:
    rows = describe_inventory(made)
    assert len(rows) == 2 * 2 * 3
    assert rows[0] == {
        "age_group": "neonate",
        "algorithm": "eava",
        "country": "Mozambique",
        "types": ["fixed", "prior", "samples"],
        "causes": 6,
    }
    first = describe_matrix(made.matrices("neonate", "eava", "Mozambique"))[0]
    weight = made_alphas("neonate", 1, 1)[0].sum()
    assert first["champs_cause"] == "congenital_malformation"
    assert first["weight"] == weight
    assert first["pneumonia"] == pytest.approx(made_alphas("neonate", 1, 1)[0, 1] / weight)


# --- The illustrative inventory ---


def test_the_illustrative_inventory_says_so_and_is_found_by_name_only() -> None:
    inventory = load_inventory("illustrative")
    assert inventory.id == "illustrative"
    assert inventory.illustrative and not inventory.verified
    assert inventory.source == "illustrative, not for publication"
    with pytest.raises(InventoryError):
        load_inventory()


@pytest.mark.parametrize("age_group", ["neonate", "child"])
@pytest.mark.parametrize("algorithm", ["eava", "insilicova", "interva"])
def test_illustrative_matrices_follow_the_documented_rule(age_group: str, algorithm: str) -> None:
    """M_ij - a_i [i = j] = (1 - a_i) pi_j: off the diagonal, any two rows are proportional."""
    inventory = load_inventory("illustrative")
    rates = inventory.matrices(age_group, algorithm, "Mali", "fixed").values
    alphas = inventory.matrices(age_group, algorithm, "Kenya", "prior").values
    np.testing.assert_allclose(alphas, 60 * rates)
    np.testing.assert_allclose(rates.sum(axis=1), 1)
    size = len(rates)
    for i in range(size):
        for j in range(i):
            others = [c for c in range(size) if c not in (i, j)]
            ratio = rates[i, others] / rates[j, others]
            np.testing.assert_allclose(ratio, ratio[0])
    assert np.ptp(rates, axis=0).min() > 0.1, "each cause can be told apart, so that each is calibrated"


def test_the_illustrative_inventory_never_changes_unnoticed() -> None:
    """Its checksum is part of every result computed with it; new numbers need a new version."""
    inventory = illustrative_inventory()
    assert inventory.version == "1"
    assert inventory.checksum == "5c10cfaa0a8ef812acbcd7845391a954902c935a92acd8428b072aa0d923d959"


# --- The published inventory ---


@pytest.mark.real
@needs_published
def test_the_published_data_file_is_recognised_and_complete() -> None:
    inventory = load_inventory(str(REAL))
    assert (inventory.id, inventory.version, inventory.verified) == ("champs-2.2", "2.2", True)
    assert inventory.checksum == hashlib.sha256(REAL.read_bytes()).hexdigest() == PUBLISHED["2.2"].file
    assert inventory.age_groups() == ["neonate", "child"]
    assert inventory.algorithms() == ["eava", "insilicova", "interva"]
    countries = "Bangladesh, Ethiopia, Kenya, Mali, Mozambique, Sierra Leone, South Africa, other"
    assert inventory.countries() == countries.split(", ")
    assert len(describe_inventory(inventory)) == 48
    for row in describe_inventory(inventory):
        where = (row["age_group"], row["algorithm"], row["country"])
        prior, fixed = (inventory.matrices(*where, type) for type in ("prior", "fixed"))  # type: ignore[arg-type]
        assert prior.causes == CAUSES[row["age_group"]]
        assert (prior.values > 0).all()
        np.testing.assert_allclose(mean_matrix(prior.values), fixed.values, atol=1e-12)


@pytest.mark.real
@needs_published
def test_the_published_inventory_reads_the_same_through_r_and_from_the_store(tmp_path: Path) -> None:
    from_file = load_inventory(str(REAL))
    install_package(REAL, tmp_path, "xz")
    from_package = load_inventory()
    write_stored(from_file)
    from_store = load_inventory(str(stored_path("champs-2.2")))
    for inventory in (from_package, from_store):
        assert (inventory.id, inventory.checksum, inventory.verified) == (
            "champs-2.2",
            from_file.checksum,
            True,
        )
        assert content_checksum(inventory.entries) == content_checksum(from_file.entries)
