"""Misclassification matrices: found, fetched, read and checked."""

from tasks.matrices.fetch import DownloadError, fetch_inventory, newest_version, version_order
from tasks.matrices.find import describe_inventory, describe_matrix, describe_places, load_inventory
from tasks.matrices.model import (
    MATRIX_TYPES,
    Inventory,
    Matrix,
    MatrixEntry,
    MatrixType,
    content_checksum,
    mean_matrix,
)
from tasks.matrices.published import PUBLISHED_VERSION, stored_path, write_stored
from tasks.matrices.read import read_inventory, stored_inventory
from tasks.matrices.table import to_table

__all__ = [
    "MATRIX_TYPES",
    "PUBLISHED_VERSION",
    "DownloadError",
    "Inventory",
    "Matrix",
    "MatrixEntry",
    "MatrixType",
    "content_checksum",
    "describe_inventory",
    "describe_matrix",
    "describe_places",
    "fetch_inventory",
    "load_inventory",
    "mean_matrix",
    "newest_version",
    "read_inventory",
    "stored_inventory",
    "stored_path",
    "to_table",
    "version_order",
    "write_stored",
]
