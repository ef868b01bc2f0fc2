"""A feature column: its values by kind, and its scope, which is what they depend on."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.errors import InputError
from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.data.read.time_forms import time_form
from t4r_lab.data.read.times import check_zones, to_seconds
from t4r_lab.data.read.values import ColumnType, null_usual_words, numbers, unreadable
from t4r_lab.data.sessions.codes import MISSING, Codes, comparable, constant_by, factorize
from t4r_lab.data.sessions.column_roles import RawColumn
from t4r_lab.data.sessions.sessionize import Log
from t4r_lab.schema.columns import Scope
from t4r_lab.spec.preparation import PrepareOptions

Level = Literal["row", "item", "group"]
Comparable = NDArray[np.integer]
"""A whole number per row, equal for equal values."""


@dataclass
class FeatureValues:
    """One column: coded values with their table, or numbers. Row r is event, item or group r, by `level`.

    `source` is its raw name, `type` defines how its values are read.
    """

    source: str
    kind: str
    role: Literal["feature", "target"]
    level: Level
    type: ColumnType
    name: str = ""
    scope: Scope = "event"
    codes: Codes | None = None
    values: pl.Series | None = None
    """the distinct values, by code"""
    numbers: NDArray[np.float64] | None = None
    lists: pl.Series | None = None
    """multi-valued: a list of texts per row"""
    differing: int = 0
    """events whose value differs from the one kept for their item or session"""

    def take(self, rows: NDArray[np.int64]) -> None:
        """Keep the values of `rows`, in that order."""
        self.codes = None if self.codes is None else self.codes[rows]
        self.numbers = None if self.numbers is None else self.numbers[rows]
        self.lists = None if self.lists is None else self.lists.gather(rows)


# ── Values by kind ────────────────────────────────────────────────────────────────────────────────


def text_lists(values: pl.Series, table: RawTable) -> pl.Series:
    """Lists of texts; of texts that hold lists, the words between spaces."""
    if isinstance(values.dtype, pl.Array):
        values = values.arr.to_list()
    if not isinstance(values.dtype, pl.List):
        values = values.cast(pl.String).str.split(" ")
    if values.dtype.inner.is_nested():  # type: ignore[attr-defined]
        raise InputError(
            table.where, f"column {values.name!r} holds lists of lists", "leave it out with --ignore", [values.name]
        )
    return values.cast(pl.List(pl.String))


def parse_numbers(raw: RawColumn, kind: str, table: RawTable) -> NDArray[np.float64]:
    """Numbers or seconds, NaN where missing; any other text is refused."""
    values, name = raw.values, raw.values.name
    if kind == "timestamp":
        cleaned = null_usual_words(values) if isinstance(values.dtype, pl.String) else values
        times = RawTable(cleaned.to_frame(), where=table.where)
        form = time_form([times], name, remedy=f"use --kinds {name}=categorical")
        check_zones(times, name, form)
        parsed, what = to_seconds(cleaned, form), "a time"
    else:
        parsed, what = numbers(values, raw.type), "a number"
    broken = unreadable(values, parsed, raw.type)
    if broken.any():
        row = int(broken.arg_max() or 0)
        raise InputError(
            table.line(row),
            f"{values[row]!r} in column {name!r} is not {what}",
            f"fix it, use --missing {shlex.quote(str(values[row]))} if it stands for none, or use "
            f"--kinds {shlex.quote(name)}=categorical",
            [name],
        )
    array = parsed.fill_null(np.nan).to_numpy()
    return np.where(np.isinf(array), np.nan, array) if np.isinf(array).any() else array


# ── Scope ─────────────────────────────────────────────────────────────────────────────────────────


def first_rows(log: Log, n_items: int) -> NDArray[np.int64]:
    """The first raw row of each item, by code; row 0 for items that were left out."""
    rows = np.zeros(n_items, np.int64)
    rows[log.item[::-1]] = log.row[::-1]
    return rows


def set_scope(
    feature: FeatureValues, log: Log, first: NDArray[np.int64], table: RawTable, options: PrepareOptions
) -> None:
    """Set the scope of an event column from the options or its values; a feature of the item is then stored by item."""
    scope = options.scopes.get(feature.source)
    values = _comparable(feature)[log.row]
    if feature.kind == "multi":
        if scope is None and not constant_by(log.item, values):
            raise InputError(
                table.where,
                f"column {feature.source!r} holds lists that differ between events of an item",
                f"leave it out with --ignore {feature.source}, or take each item's first with --scopes "
                f"{feature.source}=item",
                [feature.source],
            )
        feature.scope = "item"
    else:
        feature.scope = scope or _infer_scope(values, feature.role, log)
    if feature.scope == "item":
        feature.level = "item"
        if scope is not None:
            first = _first_with_value(feature, log, first)
            feature.differing = int((values != _comparable(feature)[first][log.item]).sum())
        feature.take(first)
    elif feature.scope == "session" and scope is not None:
        feature.differing = int((values != _of_first_event(values, log)).sum())


def _infer_scope(values: Comparable, role: str, log: Log) -> Scope:
    """Session if each session has one value; item if each item has one and items occur repeatedly; else event."""
    if len(log.item) > len(log) and (values == _of_first_event(values, log)).all():
        return "session"
    seen_again = len(log.item) > np.count_nonzero(np.bincount(log.item))
    return "item" if role == "feature" and seen_again and constant_by(log.item, values) else "event"


def _of_first_event(values: Comparable, log: Log) -> Comparable:
    """The value of each event's first event in the session, (N,)."""
    return np.repeat(values[log.offsets[:-1]], log.lengths)


def _comparable(feature: FeatureValues) -> Comparable:
    """A whole number for each of a feature's values, equal for equal values."""
    if feature.lists is not None:
        return factorize(feature.lists.list.join("\x1f"))[0]
    values = feature.codes if feature.numbers is None else comparable(feature.numbers)
    assert values is not None
    return values


def _first_with_value(feature: FeatureValues, log: Log, first: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first row of each item that has a value; `first` for items without any."""
    if feature.lists is not None:
        present = feature.lists.is_not_null().to_numpy()
    elif feature.numbers is not None:
        present = ~np.isnan(feature.numbers)
    else:
        present = np.not_equal(_comparable(feature), MISSING)
    events = np.flatnonzero(present[log.row])[::-1]
    rows = first.copy()
    rows[log.item[events]] = log.row[events]
    return rows
