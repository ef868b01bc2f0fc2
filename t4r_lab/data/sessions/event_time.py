"""The time of the events where no option and no usual name says which column it is: the sole one with dates."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from t4r_lab.data.read.raw_table import RawTable

DATE = r"^\s*\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:\D|$)"
"""How a text begins that is a date with the year first."""
SAMPLE = 1000
"""Number of texts looked at; the reader of times checks all of them."""


def sole_datetime(table: RawTable, taken: Collection[str], ids: Collection[str]) -> str | None:
    """Return the only column of dates that can be the time of the events; None if there is none, or several.

    Columns in `taken` have another role. A column with a single value for each value of one of the `ids`, such as the
    day when an item was released, belongs to that and is no time of events.

    >>> clicks = {"user": [1, 1, 2], "sku": [7, 8, 7], "day": ["2026-01-31", "2026-02-01", "2026-02-01"]}
    >>> sole_datetime(RawTable(pl.DataFrame(clicks)), ["sku"], ["sku"])
    'day'
    >>> released = {"sku": [7, 8, 7], "day": ["2026-01-31", "2026-02-01", "2026-01-31"]}
    >>> sole_datetime(RawTable(pl.DataFrame(released)), ["sku"], ["sku"])
    """
    frame = table.frame
    dates = [
        name
        for name in frame.columns
        if name not in taken and _holds_dates(frame[name]) and not any(_belongs_to(frame, name, id) for id in ids)
    ]
    return dates[0] if len(dates) == 1 else None


def _holds_dates(values: pl.Series) -> bool:
    if isinstance(values.dtype, (pl.Datetime, pl.Date)):
        return True
    if not isinstance(values.dtype, pl.String):
        return False
    texts = values.drop_nulls().head(SAMPLE)
    return len(texts) > 0 and bool(texts.str.contains(DATE).all())


def _belongs_to(frame: pl.DataFrame, name: str, id: str) -> bool:
    """True if each `id` has one value of the column, and some id comes up again."""
    ids = frame[id].n_unique()
    return ids < len(frame) and frame.select(id, name).n_unique() == ids
