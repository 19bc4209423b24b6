"""Files in a local folder or an S3 bucket, by the same code: whole or not at all, errors without credentials.

Credentials come from the standard AWS chain (environment, profile, instance role), an S3-compatible server
from AWS_ENDPOINT_URL; neither from a URI. Time limits and retries are set here and nowhere else: botocore
retries with jitter (3 further tries), and s3fs, whose own retries would multiply with them, does not.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import fsspec
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as BotoConnectionError

from tasks.errors import InputError, StorageError

S3_CONFIG: dict[str, Any] = {
    "connect_timeout": 3,  # seconds; a server that is there answers at once
    "read_timeout": 30,  # seconds without a byte
    "retries": {"mode": "standard", "total_max_attempts": 4},  # waits up to 1, 2, 4 s, at random
}


def filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a local path or s3:// URI, and the path within it.

    Raises InputError for another scheme and for credentials in the URI, which is not repeated.
    """
    parts = urlsplit(uri if "://" in uri else "")
    if "@" in parts.netloc:
        raise InputError(
            "a storage URI must not hold credentials: give them to the environment (AWS_PROFILE, say)"
        )
    if parts.scheme in ("", "file"):
        return fsspec.filesystem("file"), str(Path(uri.removeprefix("file://")).expanduser().absolute())
    if parts.scheme != "s3":
        raise InputError(f"{parts.scheme}:// is not supported: give a local path or s3://bucket/path")
    config = dict(S3_CONFIG)
    if os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        config["s3"] = {"addressing_style": "path"}  # few servers but Amazon's give every bucket a host name
    # one request reads a file, so that it is of one moment; listings are of now
    s3 = fsspec.filesystem("s3", config_kwargs=config, use_listings_cache=False, max_concurrency=1)
    s3.retries = 1
    return s3, uri.removeprefix("s3://").rstrip("/")


@contextmanager
def errors(uri: str) -> Iterator[None]:
    """Whatever goes wrong with files or the object store inside becomes a StorageError that names `uri`.

    The original message is dropped on purpose: it may hold an endpoint with a password, or a key id.
    """
    try:
        yield
    except (OSError, BotoCoreError, ClientError) as error:
        raise StorageError(f"{uri}: {_reason(error, remote=uri.startswith('s3://'))}") from None


def read_text(uri: str, source: str) -> str:
    """The text of a small file in UTF-8, with or without a byte order mark; `source` names it in messages.

    Raises InputError if there is no such file or it is not UTF-8, StorageError if the object store failed.
    """
    fs, path = filesystem(uri)
    try:
        with errors(uri):
            data = bytes(fs.cat_file(path))
    except StorageError as error:
        if uri.startswith("s3://") and not isinstance(error.__context__, FileNotFoundError):
            raise
        raise InputError(f"{source}: {error}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{source}: {uri}: is not UTF-8 text; save it as UTF-8") from None


def write_file(path: Path, data: bytes) -> None:
    """Write a local file where the user wants it; missing folders are made. Raises StorageError."""
    with errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _reason(error: Exception, *, remote: bool) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, ClientError) else error
    response = cause.response if isinstance(cause, ClientError) else {}
    code = response.get("Error", {}).get("Code", "")
    if isinstance(error, NoCredentialsError):
        return "no AWS credentials found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, PermissionError):
        return "access denied" + (
            f" ({code or 403}); the credentials in use may not do this" if remote else ""
        )
    if isinstance(error, FileNotFoundError):
        return "does not exist" + (f" ({code or 404}), or its bucket does not" if remote else "")
    if isinstance(error, (BotoConnectionError, HTTPClientError)) or (
        remote and isinstance(error, ConnectionError)
    ):
        name = type(error).__name__
        return f"the object store could not be reached ({name}); check AWS_ENDPOINT_URL and the network"
    if remote:
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        if status < 500:
            return f"the object store refused it ({code})"
        what = "is too busy" if status == 503 else "failed"
        return f"the object store {what} ({code or type(error).__name__}); try again later"
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__


@dataclass(frozen=True)
class Storage:
    """The files under one root; `path` is relative to it, with "/" between its parts. Raises StorageError."""

    root: str

    def uri(self, path: str = "") -> str:
        """Address of a file, as it is shown to users."""
        return f"{self.root.rstrip('/')}/{path}" if path else self.root.rstrip("/")

    def read(self, path: str) -> bytes | None:
        """Content of a file; None if there is none."""
        with self._at(path) as (fs, full):
            try:
                return bytes(fs.cat_file(full))
            except FileNotFoundError:
                return None

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """A file to read in parts."""
        with self._at(path) as (fs, full), fs.open(full, "rb") as file:
            yield file

    def write(self, path: str, data: bytes) -> None:
        """Put a small file: a reader sees the former content or this, never part of it."""
        with self._at(path) as (fs, full):
            if self._local:
                temporary = self._temporary()
                temporary.write_bytes(data)
                _replace(temporary, Path(full))
            else:
                fs.pipe_file(full, data)

    def upload(self, path: str, source: Path) -> None:
        """Put a local file of any size, whole or not at all, and check that it arrived. `source` is kept."""
        with self._at(path) as (fs, full):
            if self._local:
                temporary = self._temporary()
                fs.put_file(str(source), str(temporary))
                _replace(temporary, Path(full))
            else:
                fs.put_file(str(source), full)
            arrived, sent = fs.info(full)["size"], source.stat().st_size
        if arrived != sent:
            raise StorageError(f"{self.uri(path)}: {arrived} bytes arrived of {sent}; try again")

    def copy(self, source: str, target: str) -> None:
        """Put a file in a second place too, whole or not at all."""
        with self._at(source) as (fs, full):
            if self._local:
                self.upload(target, Path(full))
            else:
                fs.cp_file(full, f"{filesystem(self.root)[1]}/{target}")

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        with self._at(path) as (fs, full):
            return bool(fs.isfile(full))

    def files(self, folder: str) -> dict[str, datetime]:
        """Every file below a folder by its path under the root, with the time of its last change (UTC)."""
        with self._at(folder) as (fs, full):
            start = len(full) - len(folder) + (not folder)
            found = fs.find(full, detail=True)  # may name the folder itself when files appear meanwhile
            return {n[start:]: _changed(info) for n, info in found.items() if info["type"] == "file"}

    def folders(self, folder: str) -> list[str]:
        """Names of the folders directly in a folder, sorted."""
        with self._at(folder) as (fs, full):
            try:
                entries = fs.ls(full, detail=True)
            except FileNotFoundError:
                return []
            return sorted(Path(e["name"]).name for e in entries if e["type"] == "directory")

    def remove(self, path: str) -> None:
        """Remove a file; none is no error."""
        with self._at(path) as (fs, full):
            try:
                fs.rm_file(full)
            except FileNotFoundError:
                return
            if self._local:
                self._remove_empty_folders(Path(full).parent)

    def remove_folder(self, folder: str) -> None:
        """Remove every file below a folder."""
        for path in self.files(folder):
            self.remove(path)

    @property
    def _local(self) -> bool:
        return not self.root.startswith("s3://")

    @contextmanager
    def _at(self, path: str) -> Iterator[tuple[fsspec.AbstractFileSystem, str]]:
        fs, base = filesystem(self.root)
        with errors(self.uri(path)):
            yield fs, f"{base}/{path}" if path else base

    def _temporary(self) -> Path:
        """A new file beside the tables, on their disk, where no reader looks."""
        folder = Path(filesystem(self.root)[1]) / ".tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / uuid.uuid4().hex

    def _remove_empty_folders(self, folder: Path) -> None:
        base = Path(filesystem(self.root)[1])
        while folder != base and base in folder.parents:
            try:
                folder.rmdir()
            except OSError:  # not empty, or another process was faster
                return
            folder = folder.parent


def _replace(temporary: Path, target: Path) -> None:
    """Give a finished file its name at once; both are on disk on return, so that a power cut keeps them."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    while True:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.replace(target)
            break
        except FileNotFoundError:  # the folder was empty and removed by another process
            continue
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _changed(info: dict[str, Any]) -> datetime:
    when = info.get("LastModified", info.get("mtime", 0.0))
    return when if isinstance(when, datetime) else datetime.fromtimestamp(when, UTC)
