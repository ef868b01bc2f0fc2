"""Factorizing values and ordering rows: the few operations that touch every event."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

MISSING = -1
"""Code of a missing value."""
Codes = NDArray[np.int32]


def factorize(values: pl.Series) -> tuple[Codes, pl.Series]:
    """Return a code for each value, (N,), `MISSING` for nulls, and the distinct values in the order of their codes.

    Codes of whole numbers follow their order; all others follow first appearance.

    >>> codes, values = factorize(pl.Series(["b", None, "a", "b"]))
    >>> codes.tolist(), values.to_list()
    ([0, -1, 1, 0], ['b', 'a'])
    """
    if isinstance(values.dtype, (pl.Categorical, pl.Enum)):
        values = values.cast(pl.String)
    elif values.dtype.is_float():
        values = values.fill_nan(None)
    elif values.dtype.is_integer() and _fits(values) and (span := _span(values)) <= max(4 * len(values), 1 << 16):
        return _factorize_range(values, span)
    encoded = values.to_arrow().dictionary_encode()
    codes = encoded.indices.fill_null(MISSING).to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    return codes, pl.Series(values.name, encoded.dictionary, dtype=values.dtype)


def _fits(values: pl.Series) -> bool:
    """True if all values fit in signed 64-bit integers."""
    highest = values.max()
    return highest is None or int(highest) < 2**63  # type: ignore[arg-type]


def _span(values: pl.Series) -> int:
    low, high = values.min(), values.max()
    return 0 if low is None or high is None else int(high) - int(low) + 1  # type: ignore[arg-type]


def _factorize_range(values: pl.Series, span: int) -> tuple[Codes, pl.Series]:
    """Factorize whole numbers of a short range by a table over the range instead of a hash of every value."""
    if span == 0:
        return np.full(len(values), MISSING, np.int32), values.clear()
    low = int(values.min())  # type: ignore[arg-type]
    missing = values.is_null().to_numpy() if values.null_count() else None
    position = (values.fill_null(low).cast(pl.Int64) - low).to_numpy()
    present = np.zeros(span, bool)
    present[position if missing is None else position[~missing]] = True
    codes = (np.cumsum(present, dtype=np.int32) - 1)[position]
    if missing is not None:
        codes[missing] = MISSING
    return codes, pl.Series(values.name, np.flatnonzero(present) + low, dtype=values.dtype)


def order_by(group: Codes, time: NDArray[np.float64] | None) -> NDArray[np.int64]:
    """Row numbers ordered by group, then time, then position, (N,).

    Group and position are packed into one number per row; as all are distinct, the fastest sort is stable too.
    """
    rows = None
    if time is not None and len(time) and not (time[1:] >= time[:-1]).all():
        ordered = pl.DataFrame({"time": time}).select(pl.arg_sort_by("time", maintain_order=True)).to_series()
        rows = ordered.to_numpy().astype(np.int64)
        group = group[rows]
    if not (group[1:] >= group[:-1]).all():
        bits = len(group).bit_length()
        packed = (group.astype(np.int64) << bits) | np.arange(len(group))
        order = pl.Series(packed).sort().to_numpy() & ((1 << bits) - 1)
        return order if rows is None else rows[order]
    return np.arange(len(group)) if rows is None else rows


def constant_by(key: Codes, values: NDArray[np.integer]) -> bool:
    """True if every row with the same key has the same value."""
    last = np.zeros(int(key.max(initial=0)) + 1, values.dtype)
    last[key] = values
    return bool((last[key] == values).all())


def comparable(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Numbers as bit patterns, so that NaN equals NaN."""
    return np.where(np.isnan(numbers), np.nan, numbers + 0.0).view(np.int64)  # + 0.0: -0 is 0
