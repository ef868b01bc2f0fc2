"""Feature columns: which are kept, as what kind, and what each depends on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.errors import InputError
from t4r_lab.data.read.raw_table import Table
from t4r_lab.data.read.times import time_form, to_seconds
from t4r_lab.data.read.values import ColumnType, Odd, null_usual_words, numbers, texts, type_of, unreadable
from t4r_lab.data.sessions.codes import MISSING, Codes, comparable, constant_by, factorize
from t4r_lab.data.sessions.column_roles import Names, Raw, Roles, find, kind_of, read_column
from t4r_lab.data.sessions.sessionize import Log
from t4r_lab.schema.columns import Scope
from t4r_lab.spec.preparation import PrepareOptions

TEXT_SHARE, TEXT_VALUES = 0.9, 100
"""A text column with more distinct values than both, as a share of its rows and in number, is no category."""
Level = Literal["row", "item", "group"]


@dataclass
class Feature:
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


@dataclass
class Columns:
    """The selected columns: features, titles by item code, and the reasons why others were left out."""

    features: list[Feature] = field(default_factory=list)
    titles: pl.Series | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    odd: dict[str, Odd] = field(default_factory=dict)
    """raw name of a text column → the values that make it text"""

    notes: tuple[str, ...] = ()
    """notes on the tables of items and users, for the user"""
    names: Names = field(default_factory=Names)

    def add(self, feature: Feature) -> None:
        """Append a feature; its name becomes unique among the columns."""
        feature.name = self.names.give(feature.source)
        self.features.append(feature)


def find_features(
    table: Table,
    log: Log,
    roles: Roles,
    options: PrepareOptions,
    item_values: pl.Series,
    group_values: pl.Series,
    items: Table | None,
    users: Table | None,
) -> Columns:
    """Return every column that is kept, with its kind and scope.

    Event columns that depend on the item or the session alone get that scope, unless the options set one.
    Tables of items and users are brought into the order of `item_values` and `group_values`.
    """
    columns, first = Columns(), _first_rows(log, len(item_values))
    title_option = options.title if options.title in table.frame.columns else None
    title = find(table, title_option, "title", (*options.ignore, *options.targets, *roles.names()))
    if title is not None:
        columns.titles = table.frame[title].gather(first)
    side = {c for t in (items, users) if t is not None for c in t.frame.columns}
    taken = {*roles.names(), title}
    names = [c for c in table.frame.columns if c not in taken]
    for name in _selected(names, options):
        if (feature := _feature(name, table, columns, options, "row")) is not None:
            _set_scope(feature, log, first, table, options)
            columns.add(feature)
        elif name in side:
            columns.left_out.pop(name, None)  # the side table has it too
    if users is not None:
        side_table = align(users, roles.user, group_values, "user")
        columns.notes += side_table.notes
        _add_side(columns, side_table, "group", options)
    if items is not None:
        side_table = align(items, roles.item, item_values, "item")
        columns.notes += side_table.notes
        title = find(side_table, options.title if options.title in side_table.frame.columns else None, "title")
        if title is not None:
            texts = side_table.frame[title]
            columns.titles = texts.list.join(" ") if isinstance(texts.dtype, pl.List) else texts
            side_table.frame = side_table.frame.drop(title)
        _add_side(columns, side_table, "item", options)
    _check_scopes(columns, options, table.where)
    return columns


def _check_scopes(columns: Columns, options: PrepareOptions, where: str) -> None:
    """Refuse scopes of the options that their columns can't have."""
    features = {f.source: f for f in columns.features}
    for name, scope in options.scopes.items():
        feature = features.get(name)
        if feature is None:
            raise InputError(where, f"column {name!r} is no feature or label", "take it out of --scopes", [name])
        if feature.role == "target" and scope == "item":
            raise InputError(
                where, f"the label column {name!r} can't depend on the item", "use event or session", [name]
            )
        if feature.scope != scope:  # lists, and columns of other tables
            why = (
                "holds lists, which are kept by item" if feature.kind == "multi" else f"comes with its {feature.level}"
            )
            raise InputError(
                where, f"column {name!r} {why}", f"use --scopes {name}={feature.scope}, or leave it out", [name]
            )


def _selected(names: Sequence[str], options: PrepareOptions) -> list[str]:
    ignored, selected = {*options.ignore}, {*(options.features or ()), *options.targets}
    kept = [n for n in names if n not in ignored]
    return kept if options.features is None else [n for n in kept if n in selected]


def _first_rows(log: Log, n_items: int) -> NDArray[np.int64]:
    """The first raw row of each item, by code; row 0 for items that were left out."""
    rows = np.zeros(n_items, np.int64)
    rows[log.item[::-1]] = log.row[::-1]
    return rows


def align(table: Table, like: str | None, values: pl.Series, role: str) -> Table:
    """Return the table with a row for each of `values`, in their order, without its key column."""
    key = like if like in table.frame.columns else find(table, None, role)
    if key is None:
        raise InputError(
            table.where, f"no {role} column among {', '.join(table.frame.columns)}", f"name it {like or role!r}"
        )
    frame = table.frame
    if frame[key].dtype != values.dtype:  # compare as texts of the events' type
        type = type_of(values)
        frame, values = frame.with_columns(texts(frame[key], type)), texts(values, type)
    frame, notes = _last_rows(frame, key, role, table)
    joined = values.alias(key).to_frame().join(frame, on=key, how="left", maintain_order="left")
    if (
        len(joined)
        and joined.select(pl.all_horizontal(pl.exclude(key).is_null().all())).item()
        and len(joined.columns) > 1
    ):
        raise InputError(table.where, f"none of its {role}s is among the events", f"check the column {key!r}", [key])
    return replace(table, frame=joined.drop(key), text=None, pieces=(), notes=notes)


def _last_rows(frame: pl.DataFrame, key: str, role: str, table: Table) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The last row of each key, and the table's notes with the number of rows that differ from it."""
    last = frame.unique(key, keep="last", maintain_order=True)
    more = len(frame.unique()) - len(last) if len(last) < len(frame) else 0
    if not more:
        return last, table.notes
    rows = "a row says" if more == 1 else f"{more:,} rows say"
    note = f"{table.where}: {rows} something else than the last row of the same {role}, which counts"
    return last, (*table.notes, note)


def _add_side(columns: Columns, table: Table, level: Level, options: PrepareOptions) -> None:
    taken = {f.source for f in columns.features}
    for name in _selected([c for c in table.frame.columns if c not in taken], options):
        if (feature := _feature(name, table, columns, options, level)) is not None:
            feature.scope = "item" if level == "item" else "session"
            columns.add(feature)


def _feature(name: str, table: Table, columns: Columns, options: PrepareOptions, level: Level) -> Feature | None:
    """The column's values by its kind, or None with the reason in ``columns.left_out``."""
    raw, target = read_column(name, table, options), name in options.targets
    values, coded = raw.values, None
    named = target or name in (options.features or ()) or name in options.kinds or name in options.scopes
    if values.null_count() == len(values) and not named:
        columns.left_out[name] = "holds nothing"
        return None
    if values.dtype.is_integer():
        coded = factorize(values)
    kind = kind_of(name, raw, len(coded[1]) if coded else 0, table, options)
    role: Literal["feature", "target"] = "target" if target else "feature"
    feature = Feature(name, kind, role, level, raw.type)
    if raw.odd:
        columns.odd[name] = raw.odd
    if isinstance(getattr(values.dtype, "inner", None), pl.Struct):
        columns.left_out[name] = f"holds {str(values.dtype)[:60]}"
        return None
    if kind == "multi":
        feature.lists = _lists(values, table)
    elif kind in ("timestamp", "continuous"):
        feature.numbers = _numbers(raw, kind, table)
        feature.type = ColumnType("time" if kind == "timestamp" else "number", raw.type.missing)
    else:
        if values.dtype.is_nested() or isinstance(values.dtype, (pl.Binary, pl.Object)):
            columns.left_out[name] = f"holds {values.dtype}"
            return None
        written = values if raw.type.kind == "text" else texts(values, raw.type)
        feature.codes, feature.values = coded or factorize(written)
        different, rows = len(feature.values), len(values) - values.null_count()
        text = isinstance(values.dtype, pl.String) and different > max(TEXT_SHARE * rows, TEXT_VALUES)
        if text and not named:
            columns.left_out[name] = "another value on nearly every row"
            return None
    return feature


def _lists(values: pl.Series, table: Table) -> pl.Series:
    if isinstance(values.dtype, pl.Array):
        values = values.arr.to_list()
    if not isinstance(values.dtype, pl.List):
        values = values.cast(pl.String).str.split(" ")
    if values.dtype.inner.is_nested():  # type: ignore[attr-defined]
        raise InputError(
            table.where, f"column {values.name!r} holds lists of lists", "leave it out with --ignore", [values.name]
        )
    return values.cast(pl.List(pl.String))


def _numbers(raw: Raw, kind: str, table: Table) -> NDArray[np.float64]:
    """Numbers or seconds, NaN where missing; any other text is refused."""
    values, name = raw.values, raw.values.name
    if kind == "timestamp":
        cleaned = null_usual_words(values) if isinstance(values.dtype, pl.String) else values
        form = time_form([Table(cleaned.to_frame(), where=table.where)], name, remedy=f"use --kinds {name}=categorical")
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


def _set_scope(feature: Feature, log: Log, first: NDArray[np.int64], table: Table, options: PrepareOptions) -> None:
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


def _infer_scope(values: NDArray[Any], role: str, log: Log) -> Scope:
    """Session if each session has one value; item if each item has one and items occur repeatedly; else event."""
    if len(log.item) > len(log) and (values == _of_first_event(values, log)).all():
        return "session"
    seen_again = len(log.item) > np.count_nonzero(np.bincount(log.item))
    return "item" if role == "feature" and seen_again and constant_by(log.item, values) else "event"


def _of_first_event(values: NDArray[Any], log: Log) -> NDArray[Any]:
    """The value of each event's first event in the session, (N,)."""
    return np.repeat(values[log.offsets[:-1]], log.lengths)


def _comparable(feature: Feature) -> NDArray[Any]:
    """A whole number for each of a feature's values, equal for equal values."""
    if feature.lists is not None:
        return factorize(feature.lists.list.join("\x1f"))[0]
    values = feature.codes if feature.numbers is None else comparable(feature.numbers)
    assert values is not None
    return values


def _first_with_value(feature: Feature, log: Log, first: NDArray[np.int64]) -> NDArray[np.int64]:
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
