"""Records accounted for, as pages and pictures show them."""

from __future__ import annotations

import pandas as pd

from tasks.results import DISPOSITIONS
from tasks.terms import AGE_GROUPS
from tasks.view.view import View


def records_by(view: View, *keys: str) -> pd.DataFrame:
    """Records by the keys (columns), one column a disposition; all four are there, missing ones zero."""
    wide = view.records.pivot_table(
        index=list(keys), columns="disposition", values="records", aggfunc="sum", fill_value=0
    )
    wide = wide.reindex(columns=list(DISPOSITIONS), fill_value=0)
    order = {name: place for place, name in enumerate([*AGE_GROUPS, *view.algorithms])}
    return wide.sort_index(key=lambda index: index.map(lambda name: order.get(name, len(order))))
