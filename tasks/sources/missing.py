"""Which texts mean that a value is missing: the one place that decides it, for every table that is read.

CSV: an empty cell, white space only, and the texts below, as spelled. Parquet: null, NaN in a column of
numbers, and empty text; other text is text. Counts written in the request: empty text only. A text that the
request itself names, such as a study's cause NA, is never missing in the column where it is looked for.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MISSING_TEXTS = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "\\N")
"""What R, pandas, Excel, readr and databases write into a CSV file where they have no value."""


def missing_as_null(array: Any, format: str = "", named: Collection[str] = ()) -> Any:
    """The texts without outer white space; null where the value is missing.

    format: `csv`, or another without texts that mean missing. named: texts, in lower case, that are values.
    """
    text = pc.utf8_trim_whitespace(array)
    missing = [""] + [one for one in MISSING_TEXTS if format == "csv" and one.casefold() not in named]
    return pc.if_else(pc.is_in(text, pa.array(missing)), None, text)
