"""Feature columns: which are kept, as what kind, and what each depends on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.errors import InputError
from t4r_lab.data.pipeline.feature_values import FeatureValues, Level, first_rows, parse_numbers, set_scope, text_lists
from t4r_lab.data.read.column_types import Odd, type_of
from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.data.read.values import ColumnType, alike_note, texts
from t4r_lab.data.sessions.codes import factorize
from t4r_lab.data.sessions.column_roles import Names, Roles, find, kind_of, read_column
from t4r_lab.data.sessions.sessionize import Log
from t4r_lab.spec.preparation import PrepareOptions

TEXT_SHARE, TEXT_VALUES = 0.9, 100
"""A text column with more distinct values than both, as a share of its rows and in number, is no category."""


@dataclass
class Columns:
    """The selected columns: features, titles by item code, and the reasons why others were left out."""

    features: list[FeatureValues] = field(default_factory=list)
    titles: pl.Series | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    odd: dict[str, Odd] = field(default_factory=dict)
    """raw name of a text column → the values that make it text"""

    notes: tuple[str, ...] = ()
    """notes on the tables of items and users, for the user"""
    names: Names = field(default_factory=Names)

    def add(self, feature: FeatureValues) -> None:
        """Append a feature; its name becomes unique among the columns."""
        feature.name = self.names.give(feature.source)
        self.features.append(feature)


def find_features(
    table: RawTable,
    log: Log,
    roles: Roles,
    options: PrepareOptions,
    item_values: pl.Series,
    group_values: pl.Series,
    items: RawTable | None,
    users: RawTable | None,
) -> Columns:
    """Return every column that is kept, with its kind and scope.

    Event columns that depend on the item or the session alone get that scope, unless the options set one.
    Tables of items and users are brought into the order of `item_values` and `group_values`.
    """
    columns = Columns()
    side = {c for t in (items, users) if t is not None for c in t.frame.columns}
    _add_events(columns, table, log, roles, options, first_rows(log, len(item_values)), side)
    if users is not None:
        _add_side(columns, align(users, roles.user, group_values, "user"), "group", options)
    if items is not None:
        side_table = align(items, roles.item, item_values, "item")
        title = find(side_table, _title_option(side_table, options), "title")
        if title is not None:
            titles = side_table.frame[title]
            columns.titles = titles.list.join(" ") if isinstance(titles.dtype, pl.List) else titles
            side_table.frame = side_table.frame.drop(title)
        _add_side(columns, side_table, "item", options)
    _check_scopes(columns, options, table.where)
    return columns


def _add_events(
    columns: Columns,
    table: RawTable,
    log: Log,
    roles: Roles,
    options: PrepareOptions,
    first: NDArray[np.int64],
    side: Collection[str],
) -> None:
    """Add the columns of the events, and the titles if they are among them; `first` is the first row of each item.

    A column that is left out is no loss if a table of items or users has it too: `side` are their columns.
    """
    taken = (*options.ignore, *options.targets, *roles.names())
    title = find(table, _title_option(table, options), "title", taken)
    if title is not None:
        columns.titles = table.frame[title].gather(first)
    keys = {*roles.names(), title}
    for name in _selected([c for c in table.frame.columns if c not in keys], options):
        if (feature := _feature(name, table, columns, options, "row")) is not None:
            set_scope(feature, log, first, table, options)
            columns.add(feature)
        elif name in side:
            columns.left_out.pop(name, None)


def _title_option(table: RawTable, options: PrepareOptions) -> str | None:
    """The title column of the options, if the table has it."""
    return options.title if options.title in table.frame.columns else None


def _check_scopes(columns: Columns, options: PrepareOptions, where: str) -> None:
    """Refuse scopes of the options that their columns can't have."""
    features = {f.source: f for f in columns.features}
    for name, scope in options.scopes.items():
        feature = features.get(name)
        if feature is None:
            raise InputError(
                where, f"column {name!r} is neither a feature nor a label", "take it out of --scopes", [name]
            )
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


def _feature(
    name: str, table: RawTable, columns: Columns, options: PrepareOptions, level: Level
) -> FeatureValues | None:
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
    feature = FeatureValues(name, kind, role, level, raw.type)
    if raw.odd:
        columns.odd[name] = raw.odd
    if isinstance(getattr(values.dtype, "inner", None), pl.Struct):
        columns.left_out[name] = f"holds {str(values.dtype)[:60]}"
        return None
    if kind == "multi":
        feature.lists = text_lists(values, table)
    elif kind in ("timestamp", "continuous"):
        feature.numbers = parse_numbers(raw, kind, table)
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
        if target:
            _check_classes(feature.values, name, table)
        columns.notes += alike_note(feature.values, name)
    return feature


def _check_classes(values: pl.Series, name: str, table: RawTable) -> None:
    """Refuse classes of a label that are written in several ways: ``True``, ``true`` and 1."""
    if not isinstance(values.dtype, pl.String):
        return
    plain = values.str.strip_chars().str.to_lowercase().replace({"true": "1", "false": "0"})
    again = (~plain.is_first_distinct() & plain.is_not_null()).arg_max() or 0
    if again:
        first, second = values.filter(plain == plain[again]).head(2)
        problem = f"classes {first!r} and {second!r} of the label column {name!r} differ only in writing"
        raise InputError(table.where, problem, "write them alike", [name])


# ── Tables of items and users ─────────────────────────────────────────────────────────────────────


def align(table: RawTable, like: str | None, values: pl.Series, role: str) -> RawTable:
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


def _last_rows(frame: pl.DataFrame, key: str, role: str, table: RawTable) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The last row of each key, and the table's notes with the number of rows that differ from it."""
    last = frame.unique(key, keep="last", maintain_order=True)
    more = len(frame.unique()) - len(last) if len(last) < len(frame) else 0
    if not more:
        return last, table.notes
    rows = "a row says" if more == 1 else f"{more:,} rows say"
    note = f"{table.where}: {rows} something else than the last row of the same {role}, which counts"
    return last, (*table.notes, note)


def _add_side(columns: Columns, table: RawTable, level: Level, options: PrepareOptions) -> None:
    """Add the columns of a table of items or users, and its notes."""
    columns.notes += table.notes
    taken = {f.source for f in columns.features}
    for name in _selected([c for c in table.frame.columns if c not in taken], options):
        if (feature := _feature(name, table, columns, options, level)) is not None:
            feature.scope = "item" if level == "item" else "session"
            columns.add(feature)
