"""Fetches the published inventory: downloads the R package's source archive and reads its data file.

Nothing of the package is installed or run. No address stands here: R knows its repositories.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import unquote, urlsplit

import httpx

from tasks.errors import InventoryError
from tasks.matrices.model import Inventory
from tasks.matrices.published import PUBLISHED, PUBLISHED_VERSION, THREE_WAYS, champs_inventory, write_stored
from tasks.matrices.rda import OBJECT_NAMES, read_rda
from tasks.settings import settings

_SOURCES_SCRIPT = Path(__file__).parents[2] / "r" / "inst" / "scripts" / "inventory_sources.R"
_VERSION = r"\d+(?:[.-]\d+)*"
_TIMEOUT = 10.0
"""Seconds to wait for a connection, and then for each next piece of the archive."""
_ARCHIVE_LIMIT = 200 * 2**20
_UNPACKED_LIMIT = 500 * 2**20
_MEMBER_LIMIT = 100 * 2**20


class RSources(NamedTuple):
    """Addresses of the package repositories that R is set up for, and the folders of installed R packages."""

    repositories: list[str]
    libraries: list[Path]


class DownloadError(InventoryError):
    """No repository gave the archive; trying again later may help."""


def r_sources() -> RSources:
    """What R says of its repositories and libraries; raises InventoryError where R is missing or fails."""
    libraries = os.pathsep.join(filter(None, [str(settings().r_library), os.environ.get("R_LIBS", "")]))
    command = ["Rscript", str(_SOURCES_SCRIPT)]
    try:
        answer = subprocess.run(
            command,
            env={**os.environ, "R_LIBS": libraries},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except FileNotFoundError as problem:
        raise InventoryError("R is not installed (no Rscript in PATH)") from problem
    except subprocess.SubprocessError as problem:
        lines = str(getattr(problem, "stderr", None) or problem).strip().splitlines()
        raise InventoryError(
            f"R could not be asked for its repositories: {' '.join(lines[-3:])}"
        ) from problem
    found = [line.partition("\t")[::2] for line in answer.stdout.splitlines()]
    return RSources(
        [at for what, at in found if what == "repository"],
        [Path(at) for what, at in found if what == "library"],
    )


def fetch_inventory(version: str = PUBLISHED_VERSION) -> Inventory:
    """Download a version of the published inventory and keep it as Parquet in the store; returns it.

    Version 2.2 must have the published checksum; any other is stored with its own and is not verified.
    Raises DownloadError where no repository gives the archive, InventoryError where it is not as published.
    """
    if not re.fullmatch(_VERSION, version):
        raise InventoryError(f"{version!r} is not a version of an R package, such as {PUBLISHED_VERSION}")
    archive, address = _download(version, r_sources().repositories)
    data = _data_file(archive)
    checksum = hashlib.sha256(data).hexdigest()
    if version in PUBLISHED and checksum != PUBLISHED[version].file:
        raise InventoryError(
            f"the data file in {address} has the sha256 {checksum}, "
            f"not {PUBLISHED[version].file} as published; nothing was stored"
        )
    entries, _ = read_rda(data)
    inventory = champs_inventory(entries, version, address, checksum)
    write_stored(inventory)
    return inventory


def newest_version() -> str | None:
    """The newest version that the repositories' lists of current sources name; None where they name none.

    Raises DownloadError where no repository gives its list.
    """
    found, failures = [], []
    for repository in r_sources().repositories:
        base, login = _without_login(repository)
        address = f"{base}/src/contrib/PACKAGES.gz"
        try:
            with gzip.open(io.BytesIO(_get(address, login, _UNPACKED_LIMIT))) as file:
                listed = _at_most(file, _UNPACKED_LIMIT, address).decode(errors="replace")
        except (httpx.HTTPError, OSError, EOFError, ValueError) as problem:
            failures.append(f"{address}: {_why(problem)}")
            continue
        found.append(re.search(r"^Package: vacalibration\n(?:.+\n)*?Version: *(\S+)", listed, re.MULTILINE))
    if not found:
        raise DownloadError(f"no repository gave its list of packages ({'; '.join(failures)})")
    versions = [match[1] for match in found if match and re.fullmatch(_VERSION, match[1])]
    return max(versions, key=version_order, default=None)


def version_order(version: str) -> tuple[int, ...]:
    """Sorts versions of R packages as R does: 2.10 comes after 2.9, and 2.2.0 after 2.2."""
    return tuple(map(int, re.split("[.-]", version)))


def _download(version: str, repositories: list[str]) -> tuple[bytes, str]:
    """The source archive and its address: current sources first, then the archive of old ones."""
    name = f"vacalibration_{version}.tar.gz"
    failures = []
    for repository in repositories:
        base, login = _without_login(repository)
        for folder in ("src/contrib", "src/contrib/Archive/vacalibration"):
            address = f"{base}/{folder}/{name}"
            try:
                return _get(address, login, _ARCHIVE_LIMIT), address
            except (httpx.HTTPStatusError, FileNotFoundError) as problem:
                failures.append(f"{address}: {_why(problem)}")
            except (httpx.HTTPError, OSError, ValueError) as problem:
                failures.append(f"{address}: {_why(problem)}")
                break  # a repository that does not answer will not answer for its archive either
    tried = "; ".join(failures)
    raise DownloadError(f"vacalibration {version} could not be downloaded ({tried}). {THREE_WAYS}")


def _without_login(repository: str) -> tuple[str, tuple[str, str] | None]:
    """A repository's address without the user and password that it may hold, and these."""
    parts = urlsplit(repository)
    base = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return base, (unquote(parts.username), unquote(parts.password or "")) if parts.username else None


def _get(address: str, login: tuple[str, str] | None, limit: int) -> bytes:
    """The bytes of a file of a repository, which may be a local folder (file://).

    The login is not sent on to another host to which the repository may redirect. Raises httpx.HTTPError,
    OSError, or ValueError for an address that cannot be one.
    """
    parts = urlsplit(address)
    if parts.scheme == "file":
        with Path(unquote(parts.path)).open("rb") as file:
            return _at_most(file, limit, address)
    with (
        httpx.Client(auth=login, timeout=_TIMEOUT, follow_redirects=True) as client,
        client.stream("GET", address, headers={"Accept-Encoding": "identity"}) as answer,
    ):
        answer.raise_for_status()
        data = bytearray()
        for piece in answer.iter_raw():  # as stored: a server may take .gz for an encoding on the way
            data += piece
            _refuse_large(len(data), limit, address)
        return bytes(data)


def _why(problem: Exception) -> str:
    """What went wrong, in a few words and without the address."""
    if isinstance(problem, httpx.HTTPStatusError):
        return f"{problem.response.status_code} {problem.response.reason_phrase}"
    return getattr(problem, "strerror", None) or str(problem) or type(problem).__name__


def _at_most(file: IO[bytes] | gzip.GzipFile, limit: int, what: str) -> bytes:
    data = file.read(limit + 1)
    _refuse_large(len(data), limit, what)
    return data


def _refuse_large(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise InventoryError(
            f"{what} is larger than {limit // 2**20} MB, which no version of the inventory is"
        )


def _data_file(archive: bytes) -> bytes:
    """The bytes of the one file wanted from the source archive; nothing is written to disk."""
    wanted = {f"vacalibration/data/{name}.{ending}" for name in OBJECT_NAMES for ending in ("rda", "RData")}
    try:
        with gzip.open(io.BytesIO(archive)) as file:
            unpacked = _at_most(file, _UNPACKED_LIMIT, "the archive, unpacked,")
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as members:
            for member in members:
                if member.name in wanted and member.isreg() and (data := members.extractfile(member)):
                    return _at_most(data, _MEMBER_LIMIT, member.name)
    except (tarfile.TarError, EOFError, OSError) as problem:
        raise InventoryError(f"the downloaded archive is damaged ({problem})") from problem
    raise InventoryError(f"the downloaded archive holds none of {', '.join(sorted(wanted))}")
