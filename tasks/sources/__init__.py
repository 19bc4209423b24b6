"""Files that users give: found at their addresses and read in a stream."""

from tasks.sources.find import Addresses, every_file, find_files
from tasks.sources.header import same_names
from tasks.sources.missing import MISSING_TEXTS, missing_as_null
from tasks.sources.numbers import THOUSANDS, by_value, decimals, is_grouped, number
from tasks.sources.quotes import OPEN_QUOTE
from tasks.sources.read import FileReader, RowBatch, inline_batches
from tasks.sources.table import Table, read_table, row_numbers

__all__ = [
    "MISSING_TEXTS",
    "OPEN_QUOTE",
    "THOUSANDS",
    "Addresses",
    "FileReader",
    "RowBatch",
    "Table",
    "by_value",
    "decimals",
    "every_file",
    "find_files",
    "inline_batches",
    "is_grouped",
    "missing_as_null",
    "number",
    "read_table",
    "row_numbers",
    "same_names",
]
