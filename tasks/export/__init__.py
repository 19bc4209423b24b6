"""Published results in the formats of other systems."""

from tasks.export.csv import write_csv
from tasks.export.dhis2 import dhis2_csv, read_mapping
from tasks.export.excel import excel_bytes
from tasks.export.json import json_text

__all__ = ["dhis2_csv", "excel_bytes", "json_text", "read_mapping", "write_csv"]
