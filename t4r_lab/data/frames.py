"""Data frames of either kind, and Parquet files, as polars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

if TYPE_CHECKING:
    import pandas as pd

Frame: TypeAlias = "pd.DataFrame | pl.DataFrame"


def to_polars(frame: Frame) -> pl.DataFrame:
    """A polars frame of a pandas or polars one."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    return pl.from_pandas(frame)


def read_parquet(path: str | Path) -> pl.DataFrame:
    """The Parquet file of that very name: a path is never a pattern, whatever brackets and stars are in it."""
    return pl.read_parquet(path, glob=False)
