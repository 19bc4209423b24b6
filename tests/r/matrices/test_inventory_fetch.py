"""Fetching the inventory from a package repository: a local HTTP server with an archive of our own making."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import socket
import struct
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.states import State
from support.inventory_made import source_archive, write_rda

from flows.inventory import refresh_inventory
from tasks.errors import InventoryError, StorageError
from tasks.matrices import fetch as inventory_fetch
from tasks.matrices import fetch_inventory, load_inventory
from tasks.matrices.fetch import DownloadError, newest_version, r_sources, version_order
from tasks.matrices.model import content_checksum
from tasks.matrices.published import PUBLISHED, Published, stored_path
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


def test_a_password_is_not_sent_on_to_another_host(
    repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, other = repository
    given: list[str | None] = []

    class Elsewhere(QuietHandler):
        def do_GET(self) -> None:
            given.append(self.headers["Authorization"])
            self.send_response(302)
            self.send_header("Location", other.replace("127.0.0.1", "localhost") + "/x")
            self.end_headers()

    monkeypatch.setattr(QuietHandler, "do_GET", noting(QuietHandler.do_GET, given))
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    with served(tmp_path / "mirror", Elsewhere) as address:
        set_up_r(tmp_path, monkeypatch, f"http://ana:secret@{address.removeprefix('http://')}")
        with pytest.raises(DownloadError, match="404"):
            fetch_inventory("3.0")
    assert given[1::2] == [None, None]
    assert all(given[::2])


def noting(do_get: Callable[[QuietHandler], None], given: list[str | None]) -> Callable[[QuietHandler], None]:
    """The handler's method, which notes the login that it is given."""

    def noted(handler: QuietHandler) -> None:
        given.append(handler.headers["Authorization"])
        do_get(handler)

    return noted


def test_an_archive_that_a_server_calls_compressed_on_the_way_is_read_as_stored(
    rda: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Encoding(QuietHandler):
        def end_headers(self) -> None:
            self.send_header("Content-Encoding", "gzip")
            super().end_headers()

    with served(tmp_path / "repository", Encoding) as address:
        put(tmp_path / "repository", CURRENT, "3.0", {MEMBER: rda})
        set_up_r(tmp_path, monkeypatch, address)
        assert fetch_inventory("3.0").id == "champs-3.0"


@pytest.mark.parametrize(
    ("older", "newer"), [("2.9", "2.10"), ("2.2", "2.2.0"), ("2.2", "2.2-1"), ("2.2-1.1", "2.2-1.10")]
)
def test_versions_are_ordered_as_r_orders_them(older: str, newer: str) -> None:
    assert version_order(older) < version_order(newer)


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


def put_index(folder: Path, *versions: str) -> None:
    """The list of a repository's current packages, among them ours in these versions."""
    stanzas = ["Package: other\nVersion: 9.9\nDepends: R (>= 4.0),\n        vacalibration\n"]
    stanzas += [
        f"Package: vacalibration\nDepends: R (>= 3.5.0),\n        x\nVersion: {v}\n" for v in versions
    ]
    file = folder / CURRENT / "PACKAGES.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress("\n".join(stanzas).encode()))


def other_matrices(rda: bytes) -> bytes:
    """The data file with other numbers."""
    return gzip.compress(gzip.decompress(rda).replace(struct.pack(">d", 20.0), struct.pack(">d", 20.5)))


def test_the_newest_of_all_repositories_is_found(
    repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = repository
    set_up_r(tmp_path, monkeypatch, f"{address}/a", f"{address}/gone", f"{address}/b")
    put_index(folder / "a", "2.9")
    put_index(folder / "b", "2.10-1")
    assert newest_version() == "2.10-1"


def test_a_repository_that_does_not_have_the_package_any_more_names_no_version(
    repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = repository
    set_up_r(tmp_path, monkeypatch, address)
    put_index(folder)
    assert newest_version() is None


@pytest.mark.parametrize("content", [None, b"<html>log in first</html>"])
def test_repositories_that_give_no_list_are_named(
    content: bytes | None, repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = repository
    set_up_r(tmp_path, monkeypatch, address)
    if content is not None:
        put_index(folder)
        (folder / CURRENT / "PACKAGES.gz").write_bytes(content)
    with pytest.raises(DownloadError, match=f"{address}/src/contrib/PACKAGES.gz: "):
        newest_version()


@pytest.mark.usefixtures("prefect_server")
class TestTheFlow:
    """`refresh-inventory` where the repository has version 2.2 in its archive."""

    def refreshed(self, version: str = "2.2") -> State[dict[str, object]]:
        state: State[dict[str, object]] = refresh_inventory(version, return_state=True)
        return state

    @pytest.fixture(autouse=True)
    def installed(
        self, rda: bytes, repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Path:
        folder, address = repository
        set_up_r(tmp_path, monkeypatch, address)
        publish(monkeypatch, rda, tmp_path)
        put(folder, ARCHIVE, "2.2", {MEMBER: rda})
        return folder

    def test_fetches_what_is_missing_or_damaged_and_keeps_what_is_sound(self, installed: Path) -> None:
        put_index(installed, "2.2")
        fetched = self.refreshed()
        assert fetched.message == (
            "champs-2.2 is stored and sound; the repositories have nothing newer (they name 2.2)"
        )
        stored_path("champs-2.2").write_bytes(b"damaged")
        assert self.refreshed().result() == fetched.result()
        (installed / ARCHIVE / "vacalibration_2.2.tar.gz").unlink()
        assert self.refreshed().result() == fetched.result()

    def test_newer_matrices_are_stored_and_flagged_and_not_used(self, installed: Path, rda: bytes) -> None:
        put_index(installed, "2.3")
        changed = other_matrices(rda)
        put(installed, CURRENT, "2.3", {MEMBER: changed})
        state = self.refreshed()
        assert (state.type.value, state.name) == ("COMPLETED", "NewerInventory")
        assert state.result()["newer"] == "champs-2.3"
        assert f"sha256 {hashlib.sha256(changed).hexdigest()}. It is not used" in str(state.message)
        assert load_inventory().id == "champs-2.2"
        assert load_inventory(str(stored_path("champs-2.3"))).verified is False

    def test_a_newer_version_with_the_same_matrices_is_no_news(self, installed: Path, rda: bytes) -> None:
        put_index(installed, "2.3")
        put(installed, CURRENT, "2.3", {MEMBER: rda})
        state = self.refreshed()
        assert (state.type.value, state.name) == ("COMPLETED", "Completed")
        assert "version 2.3 of the package has the same matrices" in str(state.message)

    def test_a_newer_version_that_cannot_be_read_is_a_failure(self, installed: Path) -> None:
        put_index(installed, "2.3")
        put(installed, CURRENT, "2.3", {"vacalibration/data/renamed.rda": b""})
        state = self.refreshed()
        assert (state.type.value, state.name) == ("FAILED", "Failed")
        assert str(state.message).startswith(
            "champs-2.2 is stored and sound, but a newer one could not be had: "
        )
        assert "the downloaded archive holds none of" in str(state.message)
        assert load_inventory().id == "champs-2.2"
