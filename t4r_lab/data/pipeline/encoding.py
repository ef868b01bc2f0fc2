"""Encoding of features as ids and standardized numbers, fitted on training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.data.pipeline.feature_values import FeatureValues
from t4r_lab.data.sessions.codes import MISSING, factorize
from t4r_lab.schema.columns import UNKNOWN, Column


@dataclass(frozen=True)
class Encoded:
    """A feature as stored: its column, a value per row of its level, and the table of its categories."""

    feature: FeatureValues
    column: Column
    stored: NDArray[Any] | pl.Series
    table: pl.DataFrame | None = None


def encode(feature: FeatureValues, weight: NDArray[np.int64]) -> Encoded:
    """Encode a feature, fitted on the rows whose `weight` (training events per row) isn't zero."""
    column = partial(Column, name=feature.name, role=feature.role, scope=feature.scope, source=feature.source)
    if feature.kind == "multi":
        return _encode_lists(feature, weight, column)
    if feature.kind == "categorical":
        assert feature.codes is not None and feature.values is not None
        present = feature.codes != MISSING
        count = np.bincount(feature.codes[present], weights=weight[present], minlength=len(feature.values))
        table, ids = _category_table(feature.values, count, by_value=feature.role == "target")
        return Encoded(feature, column(kind="categorical", size=len(table) + UNKNOWN + 1), ids[feature.codes], table)
    assert feature.numbers is not None
    if feature.kind == "timestamp":
        return Encoded(feature, column(kind="timestamp"), feature.numbers)
    mean, std = 0.0, 1.0
    used = (weight > 0) & ~np.isnan(feature.numbers)
    if used.any():
        mean = float(np.average(feature.numbers[used], weights=weight[used]))
        std = float(np.sqrt(np.average((feature.numbers[used] - mean) ** 2, weights=weight[used])))
        std = std if std > 1e-9 * max(abs(mean), 1e-9) else 1.0  # a constant, but for rounding
    if feature.role == "target":  # labels keep their unit, and a missing one stays missing
        stored = feature.numbers.astype(np.float32)
    else:
        stored = np.nan_to_num((feature.numbers - mean) / std, nan=0.0).astype(np.float32)
    return Encoded(feature, column(kind="continuous", mean=mean, std=std), stored)


def _category_table(
    values: pl.Series, count: NDArray[np.number], by_value: bool = False
) -> tuple[pl.DataFrame, NDArray[np.int32]]:
    """Table ``id, value`` of the values in training, and the id of each code (-1 included).

    Ordered by falling frequency; with `by_value`, as for classes, by rising value: 0 before 1, 9 before 10, false
    before true.
    """
    texts = values.cast(pl.String)
    categories = pl.DataFrame({"value": texts, "count": count, "code": np.arange(len(texts))})
    categories = categories.filter((pl.col("count") > 0) & (pl.col("value") != ""))
    if by_value:
        categories = categories.sort(pl.col("value").cast(pl.Float64, strict=False), "value")
    else:
        categories = categories.sort("count", "value", descending=[True, False])
    ids = np.full(len(texts) + 1, UNKNOWN, np.int32)  # the last entry is for code -1
    ids[categories["code"].to_numpy()] = np.arange(len(categories), dtype=np.int32) + UNKNOWN + 1
    table = categories.select(pl.int_range(UNKNOWN + 1, pl.len() + UNKNOWN + 1, dtype=pl.Int32).alias("id"), "value")
    return table, ids


def _encode_lists(feature: FeatureValues, weight: NDArray[np.int64], column: partial[Column]) -> Encoded:
    assert feature.lists is not None
    frame = pl.DataFrame({"item": np.arange(len(feature.lists)), "value": feature.lists}).explode("value").drop_nulls()
    codes, values = factorize(frame["value"])
    # an item without training events still counts as one, so that its values have ids
    weights = np.maximum(weight, 1)[frame["item"].to_numpy()]
    table, ids = _category_table(values, np.bincount(codes, weights=weights, minlength=len(values)))
    pairs = frame.select("item", pl.Series("id", ids[codes])).filter(pl.col("id") > UNKNOWN)
    grouped = pairs.group_by("item", maintain_order=True).agg("id")
    every = pl.DataFrame({"item": np.arange(len(feature.lists))})
    stored = every.join(grouped, on="item", how="left", maintain_order="left").select(pl.col("id").fill_null([]))["id"]
    return Encoded(feature, column(kind="categorical", size=len(table) + UNKNOWN + 1, multi=True), stored, table)
