"""Data frames of either kind, and Parquet files, as polars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

if TYPE_CHECKING:
    import pandas as pd

Frame: TypeAlias = "pd.DataFrame | pl.DataFrame"


def to_polars(frame: Frame) -> pl.DataFrame:
    """A polars frame of a pandas or polars one, its lists of objects as lists of their fields."""
    if isinstance(frame, pl.DataFrame):
        return spread(frame)
    if isinstance(frame, pl.LazyFrame):
        return spread(frame.collect())
    return spread(pl.from_pandas(_of_one_type(frame)))


def _of_one_type(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns that hold numbers and texts as texts: parts of one file that pandas read by themselves, for example."""
    from pandas.api.types import infer_dtype, is_object_dtype

    objects = [i for i, dtype in enumerate(frame.dtypes) if is_object_dtype(dtype)]
    mixed = [i for i in objects if infer_dtype(frame.iloc[:, i], skipna=True).startswith("mixed-integer")]
    if not mixed:
        return frame
    frame = frame.copy(deep=False)
    for i in mixed:
        frame.isetitem(i, frame.iloc[:, i].map(str, na_action="ignore"))
    return frame


def spread(frame: pl.DataFrame) -> pl.DataFrame:
    """Lists of objects as a list for each of their fields, by the field's name where no other column has it."""
    for name, dtype in frame.schema.items():
        inner = dtype.inner if isinstance(dtype, (pl.List, pl.Array)) else None
        if not isinstance(inner, pl.Struct):
            continue
        if isinstance(dtype, pl.Array):
            frame = frame.with_columns(pl.col(name).arr.to_list())
        others = {*frame.columns} - {name}
        fields = {f.name: f.name if f.name not in others else f"{name}.{f.name}" for f in inner.fields}
        frame = frame.select(
            pl.exclude(name),
            *(pl.col(name).list.eval(pl.element().struct.field(f)).alias(own) for f, own in fields.items()),
        )
    return frame


def read_parquet(path: str | Path) -> pl.DataFrame:
    """The Parquet file of that very name: a path is never a pattern, whatever brackets and stars are in it."""
    return pl.read_parquet(path, glob=False)
