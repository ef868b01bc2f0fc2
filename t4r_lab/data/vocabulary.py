"""Vocabulary: between the user's own ids and values, and ours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.data.sessions import Sessions
from t4r_lab.errors import InputError, did_you_mean
from t4r_lab.schema import PADDING, UNKNOWN, Column, Schema

if TYPE_CHECKING:
    import pandas as pd

Frame: TypeAlias = "pd.DataFrame | pl.DataFrame"

FOLDER = "vocabulary"


def to_polars(frame: Frame) -> pl.DataFrame:
    """A polars frame of a pandas or polars one."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    return pl.from_pandas(frame)


def encode_values(values: pl.Expr, table: pl.DataFrame) -> pl.Expr:
    """Ids of `values` by a table of ``value`` and ``id``; missing and unknown ones are `UNKNOWN`."""
    return values.cast(pl.String).replace_strict(table["value"], table["id"], default=UNKNOWN, return_dtype=pl.Int32)


class Vocabulary:
    """Items and category values of prepared data, by folder; enough to encode new sessions."""

    def __init__(self, folder: Path, schema: Schema, items: pl.DataFrame) -> None:
        self.folder, self.schema, self.items = folder, schema, items

    @classmethod
    def open(cls, folder: str | Path) -> Vocabulary:
        """Read ``schema.json``, ``items.parquet`` and ``vocabulary/`` of `folder`."""
        folder = Path(folder)
        schema = Schema.load(folder / "schema.json")
        try:
            items = pl.read_parquet(folder / "items.parquet")
        except (OSError, pl.exceptions.PolarsError):
            raise InputError(f"{folder / 'items.parquet'}: cannot be read; prepare the data again") from None
        return cls(folder, schema, items)

    def copy_to(self, folder: Path) -> None:
        """Write the same files into another folder."""
        import shutil

        folder.mkdir(parents=True, exist_ok=True)
        self.schema.save(folder / "schema.json")
        self.items.write_parquet(folder / "items.parquet")
        if (self.folder / FOLDER).is_dir():
            shutil.copytree(self.folder / FOLDER, folder / FOLDER, dirs_exist_ok=True)

    def values(self, column: str) -> pl.DataFrame:
        """``id`` and ``value`` (as text) of a category column."""
        return pl.read_parquet(self.folder / FOLDER / f"{column}.parquet")

    def titles(self, ids: Sequence[int] | NDArray[Any]) -> list[str]:
        """The title of each item id, or its own id as text."""
        return [self._titles[i - 1] for i in np.asarray(ids)]

    def own_ids(self, ids: Sequence[int] | NDArray[Any]) -> list[Any]:
        """The user's own id of each item id."""
        return [self._own[i - 1] for i in np.asarray(ids)]

    @cached_property
    def _own(self) -> list[Any]:
        return self.items["item"].to_list()

    @cached_property
    def _titles(self) -> list[str]:
        return self.items.select(pl.coalesce("title", pl.col("item").cast(pl.String))).to_series().to_list()

    def item_table(self) -> dict[str, NDArray[Any]]:
        """Item features by item id: (I+1,), or (I+1, K) of multi-valued ones, padded with 0. Row 0 is padding."""
        table: dict[str, NDArray[Any]] = {}
        for column in self.schema:
            if column.scope != "item" or column.role == "item":
                continue
            series = self.items[column.name]
            if column.multi:
                table[column.name] = _padded(series)
            else:
                values = series.to_numpy()
                table[column.name] = np.concatenate([np.zeros(1, values.dtype), values])
        return table

    def encode(self, events: Frame) -> Sessions:
        """New events as sessions, by the user's own column names or the canonical ones.

        Events of unknown items are left out and counted in ``dropped``; a session all of whose items are unknown
        stays, empty. Without a session column all events are one session.

        Raises
        ------
        InputError
            for a column that is needed and missing.
        """
        frame = to_polars(events)
        names = {c.name: _found(frame, c) for c in self.schema}
        if names["item_id"] is None:
            wanted = self.schema.item.source or "item_id"
            raise InputError(f"sessions: column {wanted!r} is missing; {did_you_mean(wanted, frame.columns)}")
        frame = frame.rename({old: f"·{new}" for new, old in names.items() if old}).with_row_index("·row")
        if names.get("session_id") is None:
            key = "·user_id" if names.get("user_id") else None
            frame = frame.with_columns((pl.col(key) if key else pl.lit("0")).cast(pl.String).alias("·session_id"))
        frame = frame.with_columns(pl.col("·session_id").cast(pl.String), self._item_ids(frame).alias("·item"))
        order = frame.group_by("·session_id").agg(pl.col("·row").min().alias("·first"))
        time = ["·timestamp"] if names.get("timestamp") else []
        frame = frame.join(order, on="·session_id").sort("·first", *time, "·row")
        known = frame.filter(pl.col("·item") > 0)
        ids = order.sort("·first")["·session_id"]
        lengths = order.sort("·first").join(
            known.group_by("·session_id").len(), on="·session_id", how="left", maintain_order="left"
        )
        offsets = np.concatenate([[0], np.cumsum(lengths["len"].fill_null(0).to_numpy())]).astype(np.int64)
        values = {"item_id": known["·item"].to_numpy()}
        context = {}
        for column in self.schema.features[1:]:
            if column.scope == "event":
                values[column.name] = self._encoded(known, column)
            elif column.scope == "session":
                first = frame.group_by("·session_id", maintain_order=True).first()
                context[column.name] = self._encoded(first, column)
        dropped = len(frame) - len(known)
        return Sessions(values, offsets, np.ones(len(ids), np.int32), context, ids.to_numpy(), dropped)

    def _item_ids(self, frame: pl.DataFrame) -> pl.Series:
        own = self.items["item"]
        given = frame["·item_id"]
        if own.dtype.is_integer() and not given.dtype.is_integer():
            given = given.cast(pl.String).cast(own.dtype, strict=False)
        else:
            given = given.cast(own.dtype, strict=False)
        return given.replace_strict(own, self.items["item_id"], default=PADDING, return_dtype=pl.Int32)

    def _encoded(self, frame: pl.DataFrame, column: Column) -> NDArray[Any]:
        """A feature of new events; one that they lack is unknown (categorical) or the mean (continuous)."""
        name = f"·{column.name}"
        if name not in frame.columns:
            fill = UNKNOWN if column.kind == "categorical" else 0.0
            return np.full(len(frame), fill, np.int32 if column.kind == "categorical" else np.float32)
        if column.kind == "categorical":
            return frame.select(encode_values(pl.col(name), self.values(column.name))).to_series().to_numpy()
        return frame.select(standardized(pl.col(name), column.mean, column.std)).to_series().to_numpy()


def standardized(values: pl.Expr, mean: float, std: float) -> pl.Expr:
    """Values less their mean by their deviation, missing ones 0."""
    numbers = values.cast(pl.Float64, strict=False)
    return ((numbers - mean) / std).fill_nan(None).fill_null(0.0).cast(pl.Float32)


def _padded(lists: pl.Series) -> NDArray[np.int32]:
    """I lists as (I+1, longest), padded with 0, behind a row of padding."""
    lengths = np.concatenate([[0], lists.list.len().fill_null(0).to_numpy()]).astype(np.int64)
    table = np.full((len(lengths), max(int(lengths.max()), 1)), PADDING, np.int32)
    table[np.arange(table.shape[1]) < lengths[:, None]] = lists.explode(
        empty_as_null=False, keep_nulls=False
    ).to_numpy()
    return table


def _found(frame: pl.DataFrame, column: Column) -> str | None:
    """The frame's own name of a column of the schema."""
    return next((n for n in (column.source, column.name) if n and n in frame.columns), None)
