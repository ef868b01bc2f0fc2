"""Tables with one session per row and its events as lists: NVTabular's, and files split into history and target."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import polars as pl

from t4r_lab.base.errors import InputError
from t4r_lab.data.read.delimited import HISTORY
from t4r_lab.data.read.dialect import USUAL
from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.data.sessions.column_roles import find, with_whole_ids
from t4r_lab.schema.columns import PADDING, Schema
from t4r_lab.spec.preparation import PrepareOptions

Pairs = dict[str, str]
"""Column of the target → column of its history."""
ROW, END = "\x1frow", "\x1fend"
"""Temporary columns while rows become events: the row number, and True for the row's last event."""


def by_schema(options: PrepareOptions) -> PrepareOptions:
    """Return the options, completed by a Merlin schema where they don't name columns themselves."""
    if options.merlin_schema is None:
        return options
    schema = Schema.load(options.merlin_schema)
    keys = {role: schema.by_role(role) for role in ("item", "session", "user")}
    roles = {role: column.source for role, column in keys.items() if column and getattr(options, role) is None}
    if options.gap_minutes is not None:
        roles.pop("session", None)
    features = [c for c in schema.features[1:] if c.source not in (*options.targets, *options.ignore)]
    targets = [c for c in schema.targets if c.source not in options.ignore]
    return options.model_copy(
        update={
            **roles,
            "features": [c.source for c in features] if options.features is None else options.features,
            "targets": options.targets or [c.source for c in targets],
            "kinds": {c.source: c.kind for c in (*features, *targets)} | options.kinds,
        }
    )


def unroll(table: RawTable, options: PrepareOptions, is_test: bool = False) -> RawTable:
    """Return a row per event if the item column holds lists; any other table is returned as it is.

    Lists as long as the item's are columns of the events, all other columns are repeated. Each row stays a separate
    session: repeated ids are numbered. With a Merlin schema, item 0 is padding and left out. A history beside its
    target (``X_list``, ``X``) is one session that ends in the target; of rows with growing prefixes of the same
    session only the longest is kept, but in the test part (`is_test`) each row is a case.

    Raises
    ------
    InputError
        if no row has items, or a list that holds a value an event isn't as long as the items'.
    """
    item = find(table, options.item, "item", options.ignore)
    frame, notes = table.frame, table.notes
    if item is None:
        return table
    pairs = _pairs(frame, item, options)
    if not pairs and not isinstance(frame.schema[item], (pl.List, pl.Array)):
        return table
    arrays = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Array)]
    frame = frame.with_columns(pl.col(arrays).arr.to_list()).with_row_index(ROW)
    if pairs:
        frame = _join_histories(frame, table, pairs, options).rename({next(iter(pairs)): item})
        notes = (*notes, "; ".join(f"{history} and {x} are read as one session's" for x, history in pairs.items()))
        frame = frame if is_test else _longest(frame, item, _key(table, options))
    frame = with_whole_ids(frame, [item]).filter(pl.col(item).list.len() > 0)
    if frame.is_empty():
        raise InputError(table.where, f"column {item!r} has no items on any row", "give a file with events", [item])
    frame = _number_sessions(frame, table, options)
    events = _event_lists(frame, item)
    _check_lengths(frame, item, events, table, options)
    frame = frame.with_columns(_ends(frame[item].list.len()).alias(END)).explode(*events, END)
    if options.merlin_schema is not None:
        frame = frame.filter((pl.col(item).cast(pl.String) != str(PADDING)).fill_null(True))
    kinds = {name: kind for name, kind in table.kinds.items() if name not in events}
    origin, last = (table, frame[ROW].to_numpy()), frame[END].to_numpy() if is_test and pairs else None
    return replace(table, frame=frame.drop(ROW, END), kinds=kinds, notes=notes, origin=origin, last=last)


def _event_lists(frame: pl.DataFrame, item: str) -> list[str]:
    """The columns of lists that are as long as the item's on every row."""
    length, lists = frame[item].list.len(), [n for n, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    return [n for n in lists if (frame[n].list.len() == length).fill_null(False).all()]


def _check_lengths(
    frame: pl.DataFrame, item: str, events: Collection[str], table: RawTable, options: PrepareOptions
) -> None:
    """Refuse lists of labels, and of columns declared to hold one value an event, that aren't as long as the items'."""
    for name, dtype in frame.schema.items():
        single = name in options.targets or options.kinds.get(name, "multi") != "multi"
        if single and isinstance(dtype, pl.List) and name not in events:
            lengths, expected = frame[name].list.len().fill_null(0), frame[item].list.len()
            row = int((lengths != expected).arg_max() or 0)
            problem = f"column {name!r} has {lengths[row]} values beside {expected[row]} items"
            raise InputError(
                table.line(frame[ROW][row]),
                problem,
                "give one for each item, or one for each row without a list",
                [name],
            )


def _ends(length: pl.Series) -> pl.Series:
    """A list per row, as long as its session, True at the last event."""
    return (
        length.to_frame("n").select(pl.concat_list(pl.lit(False).repeat_by(pl.col("n") - 1), pl.lit(True))).to_series()
    )


def _number_sessions(frame: pl.DataFrame, table: RawTable, options: PrepareOptions) -> pl.DataFrame:
    """Give each row its own session id, unless an inactivity gap cuts users into sessions."""
    if options.gap_minutes is not None:
        return frame
    key = _key(table, options)
    if key is None:
        return frame.with_row_index(_free_name(frame))
    name = key if find(table, options.session, "session", _taken(options)) is not None else _free_name(frame)
    ids = frame[key]
    if not ids.drop_nulls().is_duplicated().any():
        return frame.with_columns(ids.alias(name))
    mark = "#"
    while ids.cast(pl.String).str.contains(mark, literal=True).any():  # else 7#1 could be an id already
        mark += "#"
    text, number = pl.col(key).cast(pl.String), pl.int_range(1, pl.len() + 1).over(key).cast(pl.String)
    numbered = pl.when(pl.col(key).is_duplicated()).then(pl.concat_str(text, pl.lit(mark), number)).otherwise(text)
    return frame.with_columns(numbered.alias(name))


def _taken(options: PrepareOptions) -> set[str]:
    """Columns that options reserve, so that no other role takes them, as in `find_roles`."""
    key_names = {n for n in (options.session, options.item, options.time, options.user, options.title) if n is not None}
    return key_names | {*options.ignore, *options.targets}


def _key(table: RawTable, options: PrepareOptions) -> str | None:
    """The session column, else the user column."""
    taken = _taken(options)
    return find(table, options.session, "session", taken) or find(table, options.user, "user", taken)


def _free_name(frame: pl.DataFrame) -> str:
    """A usual name of a session column that isn't in the frame."""
    return next(name for name in USUAL["session"] if name not in frame.columns)


# ── History and target ──────────────────────────────────────────────────────────────────────────


def _pairs(frame: pl.DataFrame, item: str, options: PrepareOptions) -> Pairs:
    """Targets with their histories, the item's first; empty if the item has no history."""
    types = dict(frame.schema)
    pairs = {name.removesuffix(ending): name for name in types for ending in HISTORY if name.endswith(ending)}
    pairs = {
        x: history
        for x, history in pairs.items()
        if x in types
        and not {x, history} & {*options.ignore}
        and not types[x].is_nested()
        and isinstance(types[history], (pl.List, pl.Array, pl.String))
    }
    base = next((x for x, history in pairs.items() if item in (x, history)), None)
    return {} if base is None else {base: pairs.pop(base)} | pairs


def _join_histories(frame: pl.DataFrame, table: RawTable, pairs: Pairs, options: PrepareOptions) -> pl.DataFrame:
    """Join each history and its target into one column of lists.

    A column without a history gets null before the target, unless its scope is the session; a column that holds
    the length of the history is left out, unless an option names it.
    """
    made = {x: _append(as_lists(frame[history]), frame[x]) for x, history in pairs.items()}
    before = next(iter(made.values())).list.len() - 1
    taken = _taken(options)
    keys = {find(table, getattr(options, role), role, taken) for role in ("session", "user", "time")}
    named = {*options.ignore, *options.targets, *(options.features or ()), *options.kinds, *options.scopes}
    for name, dtype in frame.schema.items():
        if name in (ROW, *pairs, *pairs.values(), *keys, *options.ignore) or isinstance(dtype, pl.List):
            continue
        if dtype.is_numeric() and name not in named and (frame[name] == before).fill_null(False).all():
            frame = frame.drop(name)
        elif options.scopes.get(name) != "session":
            nothing = pl.select(pl.lit(None, dtype).repeat_by(pl.lit(before))).to_series()
            made[name] = _append(nothing, frame[name])
    return frame.drop(pairs.values()).with_columns(series.alias(name) for name, series in made.items())


def as_lists(values: pl.Series) -> pl.Series:
    """Return lists as they are, and texts such as ``3 5`` and ``[3, 5]`` as lists of texts."""
    if isinstance(values.dtype, pl.String):
        return values.str.extract_all(r"[^\s,\[\]()'\"]+")
    return values


def _append(lists: pl.Series, last: pl.Series) -> pl.Series:
    """Append a value to each list; as texts if the two have different types."""
    inner = lists.dtype.inner  # type: ignore[attr-defined]
    if inner == pl.String and last.dtype.is_integer():
        numbers = lists.cast(pl.List(last.dtype), strict=False)
        lists = numbers if (numbers.cast(pl.List(pl.String)) == lists).all() else lists  # 007 stays a text
        inner = lists.dtype.inner  # type: ignore[attr-defined]
    if inner != last.dtype and not (inner.is_numeric() and last.dtype.is_numeric()):
        lists, last = lists.cast(pl.List(pl.String)), last.cast(pl.String)
    return pl.select(pl.concat_list(pl.lit(lists).fill_null([]), pl.lit(last))).to_series()


def _longest(frame: pl.DataFrame, item: str, key: str | None) -> pl.DataFrame:
    """Drop rows that are a prefix of another row's session, which trains on each of its events anyway.

    Rows of one session share an id; if ids differ on every row, the longer session is on an adjacent row.
    """
    items = pl.col(item).cast(pl.List(pl.String))
    whole, history = pl.col("whole"), pl.col("history")
    rows = frame.select(
        ROW,
        pl.lit(0).alias("key") if key is None else pl.col(key).alias("key"),
        _as_text(items).alias("whole"),
        _as_text(items.list.slice(0, items.list.len() - 1)).alias("history"),
    )
    if key is None or not frame[key].is_duplicated().any():
        begun = rows.select((whole == history.shift(-1)) | (whole == history.shift(1)))
    else:
        same = pl.col("key").eq_missing(pl.col("key").shift(-1))
        begun = rows.sort("key", "whole").select(ROW, begun=same & whole.shift(-1).str.starts_with(whole)).sort(ROW)
    return frame.filter(~begun.to_series(-1).fill_null(False))


def _as_text(lists: pl.Expr) -> pl.Expr:
    """Lists of texts as texts, each element followed by a character that no id contains."""
    return lists.list.join("\x1f") + "\x1f"


def rename_histories(frame: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Rename ``X_list`` to X, its name in training, in new sessions that have no target column X."""
    columns = {*frame.columns}
    renamed = {
        name + ending: name for name in names for ending in HISTORY if name not in columns and name + ending in columns
    }
    return frame.with_columns(as_lists(frame[name]) for name in renamed).rename(renamed)
