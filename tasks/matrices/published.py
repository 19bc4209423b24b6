"""Versions of the published inventory: how one is recognised, and the folder that keeps what was fetched."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import InputError, InventoryError
from tasks.matrices.model import Inventory, Matrix, content_checksum
from tasks.matrices.table import from_frame, matrix_problems, to_table
from tasks.settings import settings
from tasks.storage import errors

PUBLISHED_VERSION = "2.2"

THREE_WAYS = (
    "Three ways to get it: `vacal inventory fetch` downloads it from the repository that R is set up for; "
    "or install the R package vacalibration; or set VACAL_INVENTORY to a file you have, CCVA_missmat.rda "
    "of that package or its Parquet copy. For first steps without it: the matrix source `illustrative`."
)


class Published(NamedTuple):
    """sha256 of a version: of the data file in the R package, and of its content (`content_checksum`)."""

    file: str
    content: str


PUBLISHED = {
    PUBLISHED_VERSION: Published(
        file="0c24fe213e343ed119affc4cda99982dd7a9a00683928ada1395d70ad753ec3d",
        content="6220c5185f36939b648db7ffb20b7f9bbd14e306a91a12a40dc101b0f8b6d50b",
    )
}
_METADATA = b"vacal"


def champs_inventory(
    entries: tuple[Matrix, ...], version: str, source: str, file_checksum: str | None = None
) -> Inventory:
    """The inventory of matrices read from a file or package, verified where the content is a published one.

    `version`: what the source says of itself, used where the content is not recognised. The same content gets
    the same id, version and checksum wherever it was found. Raises InventoryError for unsound matrices.
    """
    problems = [problem for matrix in entries for problem in matrix_problems(matrix)]
    if problems or not entries:
        raise InventoryError(f"no usable matrices: {'; '.join(problems[:5]) or 'there are none'}")
    content = content_checksum(entries)
    for known, published in PUBLISHED.items():
        if content == published.content:
            return Inventory(f"champs-{known}", known, published.file, source, False, True, entries)
    checksum = file_checksum or content
    return Inventory(f"champs-{version}", version, checksum, source, False, False, entries)


def stored_path(id: str) -> Path:
    """Where an inventory of that id is kept once fetched."""
    return settings().home / "inventory" / f"{id}.parquet"


def write_stored(inventory: Inventory) -> Path:
    """Keep an inventory as Parquet, whole or not at all; returns the file. Raises StorageError."""
    identity = {
        "id": inventory.id,
        "version": inventory.version,
        "checksum": inventory.checksum,
        "source": inventory.source,
        "content": content_checksum(inventory.entries),
    }
    table = to_table(inventory.entries).replace_schema_metadata({_METADATA: json.dumps(identity).encode()})
    path = stored_path(inventory.id)
    with errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder) / path.name
            pq.write_table(table, part)
            part.replace(path)
    return path


def read_stored(table: pa.Table) -> Inventory | None:
    """The published inventory in a table that `write_stored` wrote; None for a table of the user's own.

    Raises InventoryError where the content is not what was stored.
    """
    if not (metadata := (table.schema.metadata or {}).get(_METADATA)):
        return None
    identity = json.loads(metadata)
    try:
        entries = from_frame(table.to_pandas())
    except InputError:
        entries = ()
    if content_checksum(entries) != identity["content"]:
        raise InventoryError("the matrices are not those that were stored; fetch the inventory again")
    return champs_inventory(entries, identity["version"], identity["source"], identity["checksum"])
