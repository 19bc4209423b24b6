"""Records become counts; every record is accounted for."""

from tasks.ingest.convert import convert_file
from tasks.ingest.reading import ColumnNames, Part, Reading
from tasks.ingest.tables import Tabulation, check_records_add_up
from tasks.ingest.tabulate import tabulate

__all__ = [
    "ColumnNames",
    "Part",
    "Reading",
    "Tabulation",
    "check_records_add_up",
    "convert_file",
    "tabulate",
]
