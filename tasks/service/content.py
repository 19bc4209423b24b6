"""What a request reads: its addresses, and their content, by which two submissions are the same or not."""

from __future__ import annotations

import hashlib
import os.path
from datetime import UTC, datetime
from pathlib import Path

from tasks.request import CalibrationRequest, addresses_beside_input, parse_request, with_addresses
from tasks.sources import find_files
from tasks.storage import errors, filesystem


def absolute(request: CalibrationRequest) -> CalibrationRequest:
    """The same request with absolute local addresses: a worker has another working directory."""

    def make_absolute(uri: str) -> str:
        return uri if "://" in uri else os.path.abspath(Path(uri).expanduser())  # noqa: PTH100 - may be a pattern

    fields = with_addresses(request.model_dump(mode="json"), make_absolute)
    return parse_request({**fields, "output": make_absolute(request.output)})


def input_content(request: CalibrationRequest) -> str:
    """Digest of all that the request reads: SHA-256 of local files, the object store's ETag for others.

    Raises InputError for an address where there is nothing, StorageError if the store cannot be read.
    """
    names = (
        [file.name for file in find_files(request.input.uri, request.input.format)]
        if request.input.uri
        else []
    )
    names += addresses_beside_input(request.model_dump(mode="json"))
    lines = [f"{name}\t{_mark(name)}" for name in names]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _mark(uri: str) -> str:
    fs, path = filesystem(uri)
    with errors(uri):
        facts = fs.info(path)
        if "ETag" in facts:
            return f"etag {facts['ETag']}"
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def changed_at(uri: str) -> datetime:
    """When a file was last changed (UTC)."""
    fs, path = filesystem(uri)
    with errors(uri):
        moment: datetime = fs.modified(path)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
