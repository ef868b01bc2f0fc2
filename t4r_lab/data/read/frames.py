"""Data frames of pandas or polars, and Parquet files, as polars frames."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from t4r_lab.base.errors import InputError, first_line
from t4r_lab.data.read.dialect import USUAL, normalize_name

if TYPE_CHECKING:
    import pandas as pd

Frame: TypeAlias = "pd.DataFrame | pl.DataFrame"
LONG = [getattr(pl, name) for name in ("Int128", "UInt128") if hasattr(pl, name)]
"""Types of whole numbers of more than 64 bits; not every version of polars has both."""
REFUSALS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException)
"""Errors of polars and Arrow for unsupported data. A panic is no `Exception`, so it is named."""


@contextmanager
def refusing(where: str, what: str, remedy: str) -> Iterator[None]:
    """Turn errors of polars and Arrow in the block, panics included, into refusals."""
    try:
        yield
    except REFUSALS as error:
        raise InputError(where, f"{what} ({first_line(error)})", remedy) from None


def to_polars(frame: Frame, where: str) -> pl.DataFrame:
    """Return a pandas or polars frame as a polars one; `where` names it in messages.

    Lists of objects become lists of their fields.

    Raises
    ------
    InputError
        for any other object, or content that polars doesn't support.
    """
    what, remedy = "cannot be read as a data frame", "give a pandas or polars frame"
    with refusing(where, what, remedy):
        if isinstance(frame, pl.DataFrame):
            return spread_structs(long_as_text(frame))
        if isinstance(frame, pl.LazyFrame):
            return spread_structs(long_as_text(frame.collect()))
        try:
            return spread_structs(long_as_text(pl.from_pandas(_unknown_zones_as_utc(_of_one_type(frame, where)))))
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            if isinstance(error, (pa.ArrowException, InputError)):
                raise
            raise InputError(where, f"{what} ({first_line(error)})", remedy) from None


def long_as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Return whole numbers of more than 64 bits as text, since Arrow doesn't support them."""
    return frame.with_columns(pl.col(LONG).cast(pl.String))


def _of_one_type(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Convert columns that mix texts and numbers to texts, such as chunks of one file that pandas read separately.

    Whole numbers of more than 64 bits, periods and intervals become texts too, as polars has no type for them.
    """
    import pandas as pd
    from pandas.api.types import infer_dtype, is_object_dtype

    objects = [i for i, dtype in enumerate(frame.dtypes) if is_object_dtype(dtype)]
    mixed = [i for i in objects if infer_dtype(frame.iloc[:, i], skipna=True) in ("mixed", "mixed-integer")]
    mixed = [i for i in mixed if frame.iloc[:, i].map(lambda value: isinstance(value, str)).any()]
    plain = [i for i in objects if _is_long(frame.iloc[:, i])]
    plain += [i for i, dtype in enumerate(frame.dtypes) if isinstance(dtype, (pd.PeriodDtype, pd.IntervalDtype))]
    if not mixed and not plain:
        return frame
    frame = frame.copy(deep=False)
    for i in plain:
        frame.isetitem(i, frame.iloc[:, i].map(str, na_action="ignore"))
    for i in mixed:
        text = partial(_text, where=where, column=str(frame.columns[i]))
        frame.isetitem(i, frame.iloc[:, i].map(text, na_action="ignore"))
    return frame


def _text(value: object, where: str, column: str) -> str:
    """Write a number among texts as in a file: pandas turns 7 into 7.0 if a value is missing.

    >>> _text(7.0, "events", "a"), _text(7, "events", "a"), _text(2.5, "events", "a")
    ('7', '7', '2.5')
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, (str, numbers.Number, np.bool_, date)):
        return str(value)
    problem = f"column {column!r} holds {type(value).__name__} beside texts"
    raise InputError(where, problem, "make it texts or numbers, or take it out", [column])


def _is_long(values: pd.Series) -> bool:
    """True for whole numbers of which any has more than 64 bits."""
    from pandas.api.types import infer_dtype

    if infer_dtype(values, skipna=True) != "integer":
        return False
    present = values.dropna()
    return bool(present.min() < -(2**63) or present.max() >= 2**63)


def _unknown_zones_as_utc(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert times in a zone that polars doesn't know to the same instants in UTC."""
    unknown = [i for i, dtype in enumerate(frame.dtypes) if not _is_zone(getattr(dtype, "tz", None))]
    if not unknown:
        return frame
    frame = frame.copy(deep=False)
    for i in unknown:
        frame.isetitem(i, frame.iloc[:, i].dt.tz_convert("UTC"))
    return frame


def spread_structs(frame: pl.DataFrame) -> pl.DataFrame:
    """Replace lists of objects by a list for each field, under the field's name if no other column has it.

    If another column holds the items, a row is an event, and the lists stay as they are.
    """
    if any(
        normalize_name(name) in map(normalize_name, USUAL["item"]) and not dtype.is_nested()
        for name, dtype in frame.schema.items()
    ):
        return frame
    for name, dtype in frame.schema.items():
        inner = dtype.inner if isinstance(dtype, (pl.List, pl.Array)) else None
        if not isinstance(inner, pl.Struct):
            continue
        if isinstance(dtype, pl.Array):
            frame = frame.with_columns(pl.col(name).arr.to_list())
        other_names = {*frame.columns} - {name}
        fields = {f.name: f.name if f.name not in other_names else f"{name}.{f.name}" for f in inner.fields}
        frame = frame.select(
            pl.exclude(name),
            *(pl.col(name).list.eval(pl.element().struct.field(f)).alias(column) for f, column in fields.items()),
        )
    return frame


def read_parquet(path: str | Path) -> pl.DataFrame:
    """Read the Parquet file of exactly this name: brackets and stars in the path are no pattern.

    Times in a zone that polars doesn't know, such as a fixed offset, become the same instants in UTC.
    """
    try:
        schema = pq.read_schema(path)
    except pa.ArrowException:  # polars can read it, or has the better message
        return pl.read_parquet(path, glob=False)
    moved = [i for i, type in enumerate(schema.types) if pa.types.is_timestamp(type) and not _is_zone(type.tz)]
    if not moved:
        return pl.read_parquet(path, glob=False)
    for i in moved:
        field = schema.field(i)
        schema = schema.set(i, field.with_type(pa.timestamp(field.type.unit, "UTC")))
    frame = pl.from_arrow(pq.ParquetFile(path).read().cast(schema))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _is_zone(zone: object) -> bool:
    """True if polars supports a time zone: none, or one of the zone database."""
    if zone is None:
        return True
    try:
        return bool(ZoneInfo(str(zone)))
    except (KeyError, ValueError, OSError):
        return False
