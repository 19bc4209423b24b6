"""Fetching the inventory from a package repository: a local HTTP server with an archive of our own making."""

from __future__ import annotations

import functools
import hashlib
import http.server
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from inventory_made import source_archive, write_rda

from flows.inventory import refresh_inventory
from tasks import inventory_fetch
from tasks.errors import InventoryError, StorageError
from tasks.inventory import fetch_inventory, load_inventory
from tasks.inventory_fetch import DownloadError, r_sources
from tasks.inventory_store import PUBLISHED, Published, stored_path
from tasks.matrices import content_checksum
from tasks.settings import settings

MEMBER = "vacalibration/data/CCVA_missmat.rda"
CURRENT = "src/contrib"
ARCHIVE = "src/contrib/Archive/vacalibration"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def rda(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_rda(tmp_path_factory.mktemp("made") / "CCVA_missmat.rda").read_bytes()


@contextmanager
def served(folder: Path, handler: type[QuietHandler] = QuietHandler) -> Iterator[str]:
    """The folder as a local HTTP server; yields its address."""
    folder.mkdir()
    make = functools.partial(handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), make) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Folder and address of a package repository."""
    with served(tmp_path / "repository") as address:
        yield tmp_path / "repository", address


@pytest.fixture(autouse=True)
def clean_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("VACAL_INVENTORY", raising=False)
    monkeypatch.setenv("VACAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    settings.cache_clear()
    yield
    settings.cache_clear()


def set_up_r(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *repositories: str) -> None:
    """R set up for these repositories, as a user does it: in an R profile."""
    profile = tmp_path / "Rprofile"
    named = ", ".join(f'R{number} = "{address}"' for number, address in enumerate(repositories))
    profile.write_text(f"options(repos = c({named}))\n")
    monkeypatch.setenv("R_PROFILE_USER", str(profile))


def put(folder: Path, where: str, version: str, members: dict[str, bytes]) -> None:
    file = folder / where / f"vacalibration_{version}.tar.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(source_archive(members))


def publish(monkeypatch: pytest.MonkeyPatch, rda: bytes, tmp_path: Path) -> None:
    """Take the made-up data file for the published version 2.2."""
    (tmp_path / "made.rda").write_bytes(rda)
    content = content_checksum(load_inventory(str(tmp_path / "made.rda")).entries)
    monkeypatch.setitem(PUBLISHED, "2.2", Published(hashlib.sha256(rda).hexdigest(), content))


def nothing_is_stored(tmp_path: Path) -> bool:
    return not list((tmp_path / "home").rglob("*"))


@pytest.mark.parametrize("where", [CURRENT, ARCHIVE])
def test_a_version_is_found_among_current_sources_or_in_the_archive(
    where: str, rda: bytes, repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = repository
    set_up_r(tmp_path, monkeypatch, address + "/")
    publish(monkeypatch, rda, tmp_path)
    put(folder, where, "2.2", {"vacalibration/DESCRIPTION": b"Package: vacalibration", MEMBER: rda})
    fetched = fetch_inventory()
    assert (fetched.id, fetched.verified) == ("champs-2.2", True)
    assert fetched.checksum == hashlib.sha256(rda).hexdigest()
    assert fetched.source == f"{address}/{where}/vacalibration_2.2.tar.gz"
    found = load_inventory()
    assert (found.id, found.checksum, found.source) == (fetched.id, fetched.checksum, fetched.source)
    assert content_checksum(found.entries) == content_checksum(fetched.entries)


def test_a_second_repository_is_asked_where_the_first_has_nothing(
    rda: bytes, repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = repository
    set_up_r(tmp_path, monkeypatch, f"{address}/empty", f"{address}/second")
    put(folder / "second", CURRENT, "3.0", {MEMBER: rda})
    assert fetch_inventory("3.0").source == f"{address}/second/src/contrib/vacalibration_3.0.tar.gz"


def test_a_local_folder_is_a_repository_too(
    rda: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_r(tmp_path, monkeypatch, f"file://{tmp_path}/mirror")
    put(
        tmp_path / "mirror",
        ARCHIVE,
        "2.0",
        {
            "vacalibration/data/Mmat_champs.rda": write_rda(
                tmp_path / "Mmat_champs.rda", "Mmat_champs"
            ).read_bytes()
        },
    )
    assert fetch_inventory("2.0").id == "champs-2.0"


def test_another_version_is_stored_with_its_own_checksum_not_verified_and_used_only_by_its_file(
    rda: bytes, repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = repository
    set_up_r(tmp_path, monkeypatch, address)
    put(folder, CURRENT, "3.0", {MEMBER: rda})
    inventory = fetch_inventory("3.0")
    assert (inventory.id, inventory.version, inventory.verified) == ("champs-3.0", "3.0", False)
    assert inventory.checksum == hashlib.sha256(rda).hexdigest()
    with pytest.raises(InventoryError, match="not on this machine"):
        load_inventory()
    stored = load_inventory(str(stored_path("champs-3.0")))
    assert (stored.id, stored.checksum, stored.verified) == ("champs-3.0", inventory.checksum, False)


def test_a_wrong_checksum_is_refused_and_nothing_stored(
    rda: bytes, repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = repository
    set_up_r(tmp_path, monkeypatch, address)
    put(folder, CURRENT, "2.2", {MEMBER: rda})
    with pytest.raises(InventoryError) as caught:
        fetch_inventory()
    assert f"has the sha256 {hashlib.sha256(rda).hexdigest()}, not {PUBLISHED['2.2'].file}" in str(
        caught.value
    )
    assert nothing_is_stored(tmp_path)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"vacalibration/R/code.R": b"stop()"},
            "the downloaded archive holds none of vacalibration/data/CCVA_",
        ),
        ({"../" + MEMBER: b"x", "/" + MEMBER: b"x"}, "the downloaded archive holds none of"),
        ({MEMBER: b"not R"}, "this is not a data file that R wrote"),
    ],
)
def test_an_archive_without_a_sound_data_file_is_refused(
    members: dict[str, bytes],
    message: str,
    repository: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, address = repository
    set_up_r(tmp_path, monkeypatch, address)
    put(folder, CURRENT, "3.0", members)
    with pytest.raises(InventoryError, match=message):
        fetch_inventory("3.0")
    assert nothing_is_stored(tmp_path)


def test_an_answer_that_is_no_archive_is_refused(
    repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = repository
    set_up_r(tmp_path, monkeypatch, address)
    put(folder, CURRENT, "3.0", {})
    (folder / CURRENT / "vacalibration_3.0.tar.gz").write_text("<html>log in first</html>")
    with pytest.raises(InventoryError, match="the downloaded archive is damaged"):
        fetch_inventory("3.0")


@pytest.mark.parametrize("limit", ["_ARCHIVE_LIMIT", "_UNPACKED_LIMIT", "_MEMBER_LIMIT"])
def test_nothing_is_read_without_end(
    limit: str, rda: bytes, repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = repository
    set_up_r(tmp_path, monkeypatch, address)
    put(folder, CURRENT, "3.0", {MEMBER: rda})
    monkeypatch.setattr(inventory_fetch, limit, 1000)
    with pytest.raises(InventoryError, match="is larger than"):
        fetch_inventory("3.0")


def test_a_version_that_no_repository_has_is_an_error_that_names_what_was_tried(
    repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, address = repository
    set_up_r(tmp_path, monkeypatch, address)
    with pytest.raises(DownloadError) as caught:
        fetch_inventory("7.7")
    for where in (CURRENT, ARCHIVE):
        assert f"{address}/{where}/vacalibration_7.7.tar.gz: 404" in str(caught.value)
    assert "Three ways to get it" in str(caught.value)


def test_a_repository_that_refuses_connections_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        set_up_r(tmp_path, monkeypatch, f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(DownloadError, match="Connection refused"):
            fetch_inventory()


def test_a_repository_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory_fetch, "_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        set_up_r(tmp_path, monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DownloadError, match="timed out"):
            fetch_inventory()


def test_a_store_that_cannot_be_written_is_an_error(
    rda: bytes, repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = repository
    set_up_r(tmp_path, monkeypatch, address)
    put(folder, CURRENT, "3.0", {MEMBER: rda})
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"champs-3.0.parquet: "):
        fetch_inventory("3.0")


@pytest.mark.parametrize("version", ["../2.2", "2.2/x", "", "latest"])
def test_a_version_is_a_version_and_no_path(version: str) -> None:
    with pytest.raises(InventoryError, match="is not a version of an R package"):
        fetch_inventory(version)


class PasswordHandler(QuietHandler):
    """Gives nothing without the user "ana" and her password "se:cret"."""

    def do_GET(self) -> None:  # the name that http.server calls
        if self.headers["Authorization"] == "Basic " + b64encode(b"ana:se:cret").decode():
            super().do_GET()
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="mirror"')
            self.end_headers()


def test_a_repository_may_ask_for_a_password_that_is_never_shown(
    rda: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path / "repository", PasswordHandler) as address:
        host = address.removeprefix("http://")
        put(tmp_path / "repository", CURRENT, "3.0", {MEMBER: rda})
        set_up_r(tmp_path, monkeypatch, f"http://ana:se%3Acret@{host}")
        assert fetch_inventory("3.0").source == f"{address}/{CURRENT}/vacalibration_3.0.tar.gz"
        set_up_r(tmp_path, monkeypatch, f"http://ana:wrong@{host}")
        with pytest.raises(DownloadError, match="401") as caught:
            fetch_inventory("3.0")
    assert "wrong" not in str(caught.value)


def test_without_r_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InventoryError, match="R is not installed"):
        fetch_inventory()


@pytest.mark.parametrize("profile", ["options(repos = NULL)", 'options(repos = c(CRAN = "@CRAN@"))'])
def test_where_r_is_set_up_for_no_repository_its_own_list_of_mirrors_gives_one(
    profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Rprofile").write_text(profile)
    monkeypatch.setenv("R_PROFILE_USER", str(tmp_path / "Rprofile"))
    (repository,) = r_sources().repositories
    assert repository.startswith("https://")


@pytest.mark.usefixtures("prefect_server")
def test_the_flow_fetches_what_is_missing_or_damaged_and_keeps_what_is_sound(
    rda: bytes, repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = repository
    set_up_r(tmp_path, monkeypatch, address)
    put(folder, CURRENT, "3.0", {MEMBER: rda})
    fetched = refresh_inventory("3.0")
    stored_path("champs-3.0").write_bytes(b"damaged")
    assert refresh_inventory("3.0") == fetched
    (folder / CURRENT / "vacalibration_3.0.tar.gz").unlink()
    assert refresh_inventory("3.0") == fetched
    assert fetched["checksum"] == hashlib.sha256(rda).hexdigest()
