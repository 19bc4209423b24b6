"""Reads an inventory from one file: the published data file, its stored copy, or the user's own matrices."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import InputError, InventoryError
from tasks.matrices.model import Inventory, Matrix, content_checksum
from tasks.matrices.published import champs_inventory, read_stored, stored_path
from tasks.matrices.rda import read_rda
from tasks.matrices.table import from_frame, read_frame, read_json
from tasks.storage import errors, filesystem


def read_inventory(uri: str) -> Inventory:
    """An inventory from one file, by the ending of its name.

    .rda: the published data file. .parquet: a published inventory that a fetch stored, or the user's own.
    .csv, .json: the user's own; columns as in tasks.matrices.table.

    Raises InventoryError where the file is not one of these or damaged, InputError (every problem) where the
    user's own matrices are wrong, StorageError where the file cannot be read.
    """
    name = PurePosixPath(uri).name
    ending = PurePosixPath(name.lower()).suffix.removeprefix(".")
    if ending not in ("rda", "rdata", "parquet", "csv", "json"):
        raise InventoryError(
            f"{name}: matrices are read from files that end in .rda, .parquet, .csv or .json"
        )
    try:
        if ending == "csv":
            return _own(from_frame(read_frame(uri)), name)
        data = _read(uri)
        if ending in ("rda", "rdata"):
            entries, stamp = read_rda(data)
            return champs_inventory(entries, stamp, f"file {name}", hashlib.sha256(data).hexdigest())
        if ending == "parquet" and (stored := _stored(data)):
            return stored
        return _own(from_frame(read_json(data) if ending == "json" else read_frame(uri)), name)
    except InputError as problem:
        raise InputError([f"{name}: {line}" for line in problem.problems]) from problem
    except InventoryError as problem:
        raise InventoryError(f"{name}: {problem}") from problem


def stored_inventory(version: str) -> Inventory | None:
    """What a fetch of this version stored, or None; raises as `read_inventory` where it is damaged."""
    path = stored_path(f"champs-{version}")
    return read_inventory(str(path)) if path.is_file() else None


def _read(uri: str) -> bytes:
    files, path = filesystem(uri)
    with errors(uri):
        return bytes(files.cat_file(path))


def _stored(data: bytes) -> Inventory | None:
    try:
        return read_stored(pq.read_table(io.BytesIO(data)))
    except pa.ArrowException as problem:
        raise InventoryError("this is not a Parquet file that can be read") from problem


def _own(entries: tuple[Matrix, ...], name: str) -> Inventory:
    stem = re.sub(r"[^A-Za-z0-9]+", "-", PurePosixPath(name).stem).strip("-").lower()
    checksum = content_checksum(entries)
    return Inventory(f"own-{stem}", checksum[:12], checksum, f"file {name}", False, False, entries)
