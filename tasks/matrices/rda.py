"""Reads the published inventory out of R's data files, without running R: bytes in, matrices out.

The object is a nested list, [[age group]][[algorithm]][[estimate]][[country]], of arrays named by cause.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.errors import InventoryError
from tasks.matrices.model import Matrix

OBJECT_NAMES = ("CCVA_missmat", "Mmat_champs")
"""Name of the object from version 2.1 on, and in version 2.0 and the releases with posterior samples."""

_TYPES = {"asDirich": "prior", "postmean": "fixed", "postsamples": "samples"}


class RArray(NamedTuple):
    """A numeric vector, matrix or array of R with the names along each dimension."""

    values: NDArray[np.float64]
    dimnames: list[list[str] | None]


def read_rda(data: bytes) -> tuple[tuple[Matrix, ...], str]:
    """Matrices and version stamp of the inventory in the bytes of an .rda file; raises InventoryError."""
    return _from_object(_plain(_parse(data, ".rda")))


def read_installed(package: Path) -> tuple[tuple[Matrix, ...], str]:
    """Matrices and version stamp in the folder of an installed R package; raises InventoryError.

    An installed package holds its data sets as files, or in a lazy-load database: Rdata.rdx, the index, tells
    offset and length of each object in Rdata.rdb.
    """
    for file in (package / "data" / f"{name}.rda" for name in OBJECT_NAMES):
        if file.is_file():
            return read_rda(file.read_bytes())
    database = package / "data" / "Rdata"
    try:
        index = _plain(_parse(database.with_suffix(".rdx").read_bytes(), ".rds"))
        name = next(name for name in OBJECT_NAMES if name in index["variables"])
        offset, length = (int(number) for number in index["variables"][name].values)
        with database.with_suffix(".rdb").open("rb") as objects:
            objects.seek(offset)
            chunk = objects.read(length)
        data = _inflate(chunk) if index["compressed"].values[0] else chunk
        return _from_object({name: _plain(_parse(data, ".rds"))})
    except (OSError, KeyError, StopIteration) as problem:
        raise InventoryError(
            f"the R package in {package} holds no data set named {' or '.join(OBJECT_NAMES)} ({problem!r})"
        ) from problem


def _inflate(chunk: bytes) -> bytes:
    """Undo R's compression: 4 bytes of length, then zlib, or a letter and bzip2, LZMA2 or nothing."""
    size = struct.unpack(">I", chunk[:4])[0]
    match chunk[4:5]:
        case b"2":
            data = bz2.decompress(chunk[5:])
        case b"Z":
            data = lzma.decompress(
                chunk[5:], lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6}]
            )
        case b"0":
            data = chunk[5:]
        case _:
            data = zlib.decompress(chunk[4:])
    if len(data) != size:
        raise InventoryError(
            "the installed R package's data file is damaged: an object has not the length it states"
        )
    return data


def _parse(data: bytes, extension: str) -> Any:
    """The tree of an R file, through rdata's parser, which executes nothing."""
    import rdata  # here, not above: it takes most of a second

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unknown formats, which end in the error below
            return rdata.parser.parse_data(data, extension=extension).object
    except Exception as problem:
        raise InventoryError(
            f"this is not a data file that R wrote, or it is damaged ({problem})"
        ) from problem


def _plain(node: Any) -> Any:
    """A node of the tree as dict, list, `RArray`, list of str or None.

    rdata's own conversion fails on arrays whose dimensions have empty names, as the inventory's summaries do.
    """
    match node.info.type.name:
        case "NILVALUE" | "NIL":
            return None
        case "LIST":
            return {tag: _plain(child) for tag, child in _pairs(node).items()}
        case "VEC":
            values = [_plain(child) for child in node.value]
            names = _pairs(node.attributes).get("names")
            return values if names is None else dict(zip(_plain(names), values, strict=True))
        case "STR":
            return [_text(child) for child in node.value]
        case "REAL" | "INT" | "LGL":
            return _array(node)
        case kind:
            raise InventoryError(f"the R object holds a {kind}, which no inventory of matrices has")


def _pairs(node: Any) -> dict[str, Any]:
    """Tag -> node of an R pairlist (attributes, and the top level of an .rda file)."""
    pairs = {}
    while node is not None and node.info.type.name == "LIST":
        tag = node.tag.referenced_object or node.tag
        pairs[_text(tag.value)] = node.value[0]
        node = node.value[1]
    return pairs


def _text(node: Any) -> str:
    return "" if node.value is None else node.value.decode("utf-8", "replace")


def _array(node: Any) -> RArray:
    attributes = _pairs(node.attributes)
    values = np.asarray(node.value, dtype=np.float64)
    if "dim" not in attributes:
        return RArray(values, [None])
    shape = [int(length) for length in _plain(attributes["dim"]).values]
    # The dimensions' own names are left out: in the inventory all three are empty.
    names = [_plain(child) for child in attributes["dimnames"].value] if "dimnames" in attributes else []
    return RArray(values.reshape(shape, order="F"), names or [None] * len(shape))


def _from_object(objects: dict[str, Any]) -> tuple[tuple[Matrix, ...], str]:
    name = next((name for name in OBJECT_NAMES if name in objects), None)
    if name is None:
        raise InventoryError(
            f"the file holds {', '.join(objects)}, not an object named {' or '.join(OBJECT_NAMES)}"
        )
    found = objects[name]
    try:
        version = found.get("version", ["unknown"])[0]
        entries = [
            _matrix(age_group, algorithm, country, _TYPES[estimate], array)
            for age_group, algorithms in found.items()
            if isinstance(algorithms, dict)
            for algorithm, estimates in algorithms.items()
            for estimate, countries in estimates.items()
            if estimate in _TYPES
            for country, array in countries.items()
        ]
    except (AttributeError, TypeError, IndexError, ValueError) as problem:
        raise InventoryError(
            f"the object {name} is not built as in the versions of vacalibration known here "
            f"([[age group]][[algorithm]][[estimate]][[country]]): {problem}"
        ) from problem
    return tuple(entries), str(version)


def _matrix(age_group: str, algorithm: str, country: str, type: str, array: RArray) -> Matrix:
    rows, columns = array.dimnames[-2:]
    if rows is None or rows != columns:
        raise InventoryError(f"{age_group}, {algorithm}, {country}: rows and columns are not the same causes")
    return Matrix(age_group, algorithm, country, type, tuple(rows), array.values)
