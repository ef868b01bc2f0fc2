"""Prepare: raw events become a folder of sessions. Columns are worked on whole, in polars and numpy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import OnReport, Progress, silent
from t4r_lab.data.pipeline.encoding import Encoded, encode
from t4r_lab.data.pipeline.feature_columns import Columns, aligned, find_features
from t4r_lab.data.pipeline.profile import make_profile
from t4r_lab.data.pipeline.split import Split, split_sessions
from t4r_lab.data.pipeline.split_checks import split_figures
from t4r_lab.data.prepared.dataset import Dataset
from t4r_lab.data.prepared.folder import ENDINGS, VERSION, check_target, write_sessions, written_whole
from t4r_lab.data.prepared.vocabulary import FOLDER, SESSIONS
from t4r_lab.data.read.frames import to_polars
from t4r_lab.data.read.readers import Source, Table, read_events, read_file, stacked, without_missing
from t4r_lab.data.read.times import By, seconds, time_form
from t4r_lab.data.read.values import ColumnType, save_types, type_of
from t4r_lab.data.sessions.arrays import PARTS, Sessions, ranges
from t4r_lab.data.sessions.codes import factorize
from t4r_lab.data.sessions.column_roles import Roles, check_ids, check_names, find_roles
from t4r_lab.data.sessions.session_rows import by_schema, unrolled
from t4r_lab.data.sessions.sessionize import Log, find_sessions
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec.preparation import READING, PrepareOptions

__all__ = ["PrepareOptions", "prepare"]

STAGES = ("reading events", "finding sessions", "splitting", "encoding", "writing")


@dataclass(frozen=True)
class Events:
    """Raw events with their keys as codes, those of a given test part behind the others."""

    table: Table
    roles: Roles
    group: NDArray[np.int32]
    group_values: pl.Series
    item: NDArray[np.int32]
    item_values: pl.Series
    time: NDArray[np.float64] | None
    time_form: str | None
    """how the times were read, as `times.time_form` says"""
    own_rows: int
    last: NDArray[np.bool_] | None
    """rows of the given test part that alone are to be predicted; None: all"""


def prepare(
    events: Source | Sequence[str | Path],
    out: str | Path,
    options: PrepareOptions | None = None,
    *,
    test: Source | Sequence[str | Path] | None = None,
    items: Source | None = None,
    users: Source | None = None,
    on_report: OnReport = silent,
    may_replace: Callable[[str, str], None] = lambda there, new: None,
) -> Dataset:
    """Turn raw events into a prepared folder and open it; `t4r_lab.prepare` asks the record first.

    Parameters
    ----------
    events
        files or a data frame, one row per event, or per session with lists of events. RecBole's ``.inter``
        brings its ``.item`` and ``.user``.
    out
        folder to write; prepared data that stands there is replaced, anything else is refused.
    test
        events of a given test part; then only validation is split off `events`.
    items, users
        tables of attributes, joined by the item or user column.
    may_replace
        gets the digests of the prepared data in `out`, if there are any, and of the new ones, and raises
        where those must stay.

    Raises
    ------
    InputError
        for whatever the user can mend; nothing half-written is left behind.
    """
    options, out = by_schema(options or PrepareOptions()), Path(out)
    check_target(out)
    stage = iter(range(len(STAGES)))

    def report() -> None:
        number = next(stage)
        on_report(Progress(STAGES[number], number, len(STAGES), "stages"))

    report()
    side = [t and without_missing(t, options.missing) for t in _side_tables(events, items, users)]
    raw = _read(events, test, options, side)
    report()
    gap = None if options.gap_minutes is None else options.gap_minutes * 60
    log = find_sessions(raw.group, raw.item, raw.time, raw.own_rows, gap)
    left_out: dict[str, int] = {}
    if options.drop_repeats:
        repeats = log.repeats()
        left_out["repeats"] = int(repeats.sum())
        log = log.keep_events(~repeats)
    report()
    split = split_sessions(log, raw.time, options, test is not None, left_out, raw.last)
    report()
    columns = find_features(
        raw.table, split.log, raw.roles, options, raw.item_values, raw.group_values, side[0],
        None if raw.roles.session else side[1],
    )  # fmt: skip
    left_out |= {
        f"values of {f.source} that differ from its {f.scope}'s first": f.differing
        for f in columns.features
        if f.differing
    }
    with written_whole(out, split.kind, may_replace) as folder:
        schema, parts, item_table, tables = _encode(folder, raw, split, columns)
        report()
        checks, notes = split_figures(split, raw.time, _users(raw, options)), (*raw.table.notes, *columns.notes)
        form, types = raw.time_form, _types(raw, columns, options)
        del raw
        for name, sessions in parts.items():
            write_sessions(sessions, folder / f"{name}.{ENDINGS[VERSION]}")
        schema.save(folder / "schema.json")
        sessions_as = {
            "gap_minutes": options.gap_minutes, "drop_repeats": options.drop_repeats, "time_form": form,
            "reading": options.model_dump(include=set(READING), exclude_defaults=True),
        }  # fmt: skip
        (folder / FOLDER / SESSIONS).write_text(json.dumps(sessions_as) + "\n", encoding="utf-8")
        save_types(types, folder / FOLDER)
        profile = make_profile(schema, parts, item_table, split, columns, tables, options, checks)
        profile["reading"] = list(notes)
        profile["time_form"] = form
        (folder / "profile.json").write_text(json.dumps(profile, indent=1) + "\n", encoding="utf-8")
    on_report(Progress(STAGES[-1], len(STAGES), len(STAGES), "stages"))
    return Dataset.open(out)


# ── Reading ─────────────────────────────────────────────────────────────────────────────────────


def _side_tables(events: Any, items: Source | None, users: Source | None) -> tuple[Table | None, Table | None]:
    """Attribute tables, given or standing beside a RecBole file."""
    if isinstance(events, Sequence) and not isinstance(events, str) and len(events) == 1:
        events = events[0]
    found: list[Table | None] = []
    for source, ending in ((items, ".item"), (users, ".user")):
        if source is None and isinstance(events, (str, Path)) and ".inter" in Path(events).suffixes:
            beside = Path(re.sub(r"\.inter(?=(\.[a-z0-9]+)?$)", ending, str(events)))
            source = beside if beside.is_file() else None
        if source is None:
            found.append(None)
        elif isinstance(source, (str, Path)):
            found.append(read_file(Path(source)))
        else:
            found.append(Table(to_polars(source, f"{ending[1:]}s"), where=f"{ending[1:]}s"))
    return found[0], found[1]


def _read(events: Any, test: Any, options: PrepareOptions, side: Sequence[Table | None]) -> Events:
    """Events with checked keys and times."""
    table = _table(events, options)
    roles = find_roles(table, options, test is not None)
    check_names(options, table, [t for t in side if t is not None])
    tables = [table]
    if test is not None:
        tables.append(_table(test, options, given=True))
        same = {"item": roles.item, "session": roles.session, "time": roles.time, "user": roles.user}
        if options.gap_minutes is not None:
            same["session"] = None
        find_roles(tables[1], options.model_copy(update=same), True)
    for each in tables:
        check_ids(each, roles.item, "item")
        check_ids(each, roles.group, "session" if roles.session else "user")
    form, time = _times(tables, roles.time, options)
    whole = table if len(tables) == 1 else stacked(tables)
    if side[1] is not None and roles.session is not None:
        whole = _with_users(whole, side[1], roles)
    group, group_values = factorize(whole.frame[roles.group])
    item, item_values = factorize(whole.frame[roles.item])
    last = tables[-1].last
    if last is not None:
        last = np.concatenate([np.zeros(len(table.frame), bool), last])
    return Events(whole, roles, group, group_values, item, item_values, time, form, len(table.frame), last)


def _times(
    tables: Sequence[Table], name: str | None, options: PrepareOptions
) -> tuple[str | None, NDArray[np.float64] | None]:
    """How the times of all tables are read, and the seconds of their rows."""
    if name is None:
        return None, None
    form = time_form(tables, name, options.time_format, options.measures_time)
    by: By = "asked" if options.time_format else "found"
    found = [seconds(table, name, form, by).to_numpy() for table in tables]
    return form, found[0] if len(found) == 1 else np.concatenate(found)


def _table(events: Any, options: PrepareOptions, given: bool = False) -> Table:
    """A row per event, without the words for missing values; of a `given` test part too."""
    return unrolled(without_missing(read_events(events, options), options.missing), options, given)


def _users(raw: Events, options: PrepareOptions) -> NDArray[np.int32] | None:
    """(R,) code of each row's user; None where there is none, or where a session is all of a user."""
    if raw.roles.session is None:
        return None if options.gap_minutes is None else raw.group
    return None if raw.roles.user is None else factorize(raw.table.frame[raw.roles.user])[0]


def _with_users(table: Table, users: Table, roles: Roles) -> Table:
    """Events with the columns of their users, where sessions have ids of their own."""
    if roles.user is None:
        raise InputError(f"{table.where}: no user column to join {users.where} by; name it with --user")
    there = set(table.frame.columns)
    side = aligned(users, roles.user, table.frame[roles.user], "user")
    added = side.frame.select([c for c in side.frame.columns if c not in there])
    raw = table.raw | (side.raw & set(added.columns))
    return replace(
        table, frame=table.frame.hstack(added), kinds={**side.kinds, **table.kinds}, raw=raw,
        notes=(*table.notes, *side.notes),
    )  # fmt: skip


# ── Encoding ────────────────────────────────────────────────────────────────────────────────────


def _encode(
    folder: Path, raw: Events, split: Split, columns: Columns
) -> tuple[Schema, dict[str, Sessions], pl.DataFrame, dict[str, pl.DataFrame]]:
    """Writes ``items.parquet`` and the vocabularies; schema, sessions of each part, items, category tables."""
    log, trained = split.log, split.trained()
    count = np.bincount(log.item[trained], minlength=len(raw.item_values))
    present = np.flatnonzero(np.bincount(log.item, minlength=len(raw.item_values)))
    ordered = present[np.lexsort((present, -count[present]))]  # falling support, then by code
    ids = np.zeros(len(raw.item_values), np.int32)
    ids[ordered] = np.arange(1, len(ordered) + 1)
    encoded = _encode_features(raw, log, trained, columns, count, present)
    (folder / FOLDER).mkdir()
    tables = {e.column.name: e.table for e in encoded if e.table is not None}
    for name, table in tables.items():
        table.write_parquet(folder / FOLDER / f"{name}.parquet")
    items = _item_table(raw, columns, encoded, ordered, count)
    items.write_parquet(folder / "items.parquet")
    schema_columns = [
        Column(name="item_id", kind="categorical", role="item", source=raw.roles.item, size=len(ordered) + 1)
    ]
    schema_columns += [e.column for e in encoded]
    if raw.time is not None:
        schema_columns.append(Column(name="timestamp", kind="timestamp", role="time", source=raw.roles.time or ""))
    parts = _parts(raw, split, ids, encoded)
    return Schema(columns=(*schema_columns, *_key_columns(raw.roles))), parts, items, tables


def _types(raw: Events, columns: Columns, options: PrepareOptions) -> dict[str, ColumnType]:
    """How each raw column is read, by the user's own names."""
    keys = {name: type_of(raw.table.frame[name], options.missing) for name in raw.roles.names()}
    return keys | {feature.source: feature.type for feature in columns.features}


def _encode_features(
    raw: Events,
    log: Log,
    trained: NDArray[np.bool_],
    columns: Columns,
    count: NDArray[np.int64],
    present: NDArray[np.int64],
) -> list[Encoded]:
    """Each feature fitted by the training events of its rows."""
    row_weight = np.bincount(log.row[trained], minlength=len(raw.item))
    group = np.bincount(np.asarray(log.over_events(log.group))[trained], minlength=len(raw.group_values))
    in_items = np.zeros_like(count)
    in_items[present] = np.maximum(count[present], 1)  # attributes of an item are known before it is ever seen
    weights = {"row": row_weight, "item": in_items, "group": group}
    return [encode(feature, weights[feature.level]) for feature in columns.features]


def _item_table(
    raw: Events, columns: Columns, encoded: Sequence[Encoded], ordered: NDArray[np.int64], count: NDArray[np.int64]
) -> pl.DataFrame:
    """One row per item, by id."""
    titles = columns.titles
    content: dict[str, Any] = {
        "item_id": np.arange(1, len(ordered) + 1, dtype=np.int32),
        "item": raw.item_values.gather(ordered),
        "title": pl.Series([None] * len(ordered), dtype=pl.String)
        if titles is None
        else titles.gather(ordered).cast(pl.String),
        "count": count[ordered],
    }
    for e in encoded:
        if e.column.scope == "item":
            content[e.column.name] = e.stored.gather(ordered) if isinstance(e.stored, pl.Series) else e.stored[ordered]
    return pl.DataFrame(content)


def _parts(raw: Events, split: Split, ids: NDArray[np.int32], encoded: Sequence[Encoded]) -> dict[str, Sessions]:
    """The sessions of each part, with ids and stored values."""
    log, parts = split.log, {}
    names = raw.group_values.cast(pl.String)
    in_events = {e.column.name: np.asarray(e.stored)[log.row] for e in encoded if e.column.scope == "event"}
    in_sessions = {
        e.column.name: np.asarray(e.stored)[log.group if e.feature.level == "group" else log.row[log.offsets[:-1]]]
        for e in encoded
        if e.column.scope == "session"
    }
    values: dict[str, NDArray[Any]] = {"item_id": ids[log.item], **in_events}
    if raw.time is not None:
        values["timestamp"] = raw.time[log.row]
    for part in PARTS:
        session, start, stop, target = split.stretches(part)
        flat, offsets = ranges(start, stop)
        own = names.gather(log.group[session])
        if log.number is not None:
            own = own + "#" + pl.Series(log.number[session]).cast(pl.String)
        parts[part] = Sessions(
            {name: column[flat] for name, column in values.items()}, offsets, target,
            {name: column[session] for name, column in in_sessions.items()}, own.to_numpy(),
        )  # fmt: skip
    return parts


def _key_columns(roles: Roles) -> list[Column]:
    """Session and user columns by their source names, so that new events can be read alike."""
    columns = []
    if roles.session:
        columns.append(
            Column(name="session_id", kind="categorical", role="session", scope="session", source=roles.session)
        )
    if roles.user:
        columns.append(Column(name="user_id", kind="categorical", role="user", scope="session", source=roles.user))
    return columns
