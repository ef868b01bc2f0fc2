"""Prepare raw events: write them as a folder of sessions. Columns are processed whole, in polars and numpy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.reports import OnReport, Progress, silent
from t4r_lab.data.formats.format_readers import Source
from t4r_lab.data.pipeline.encoding import Encoded, encode
from t4r_lab.data.pipeline.feature_columns import Columns, find_features
from t4r_lab.data.pipeline.profile import make_profile
from t4r_lab.data.pipeline.raw_events import Events, read, side_tables, users_of
from t4r_lab.data.pipeline.split import Split, split_sessions
from t4r_lab.data.pipeline.split_checks import split_figures
from t4r_lab.data.prepared.folder import check_target, part_file, write_atomically, write_sessions
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.data.prepared.profile_content import Profile
from t4r_lab.data.prepared.vocabulary import FOLDER, SESSIONS
from t4r_lab.data.read.column_types import save_types, type_of
from t4r_lab.data.read.raw_table import RawTable, null_missing
from t4r_lab.data.read.values import ColumnType
from t4r_lab.data.sessions.arrays import PARTS, Arrays, Sessions, ranges
from t4r_lab.data.sessions.column_roles import Roles
from t4r_lab.data.sessions.session_rows import by_schema
from t4r_lab.data.sessions.sessionize import Log, find_sessions
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec.preparation import READING, PrepareOptions

__all__ = ["PrepareOptions", "prepare"]

STAGES = ("reading events", "finding sessions", "splitting", "encoding", "writing")


def prepare(
    events: Source | Sequence[str | Path],
    out: str | Path,
    options: PrepareOptions | None = None,
    *,
    test: Source | Sequence[str | Path] | None = None,
    items: Source | None = None,
    users: Source | None = None,
    on_report: OnReport = silent,
    may_replace: Callable[[str, str], None] = lambda old, new: None,
) -> Dataset:
    """Turn raw events into a prepared folder and open it; the parameters are those of `t4r_lab.prepare`, and one more.

    Parameters
    ----------
    may_replace
        gets the digests of the prepared data in `out`, if there are any, and of the new data, and raises
        if the old data must stay.

    Raises
    ------
    InputError
        for any mistake that the user can fix; nothing half-written is left behind.
    """
    options, out = by_schema(options or PrepareOptions()), Path(out)
    check_target(out)
    stages = _stages(on_report)
    next(stages)
    side = [t and null_missing(t, options.missing) for t in side_tables(events, items, users)]
    raw = read(events, test, options, side)
    next(stages)
    log, left_out = _log(raw, options)
    next(stages)
    split = split_sessions(log, raw.time, options, test is not None, left_out, raw.last)
    next(stages)
    columns = _columns(raw, split.log, options, *side)
    left_out |= _differing(columns)
    with write_atomically(out, split.kind, may_replace) as folder:
        content = _encode(folder, raw, split, columns)
        next(stages)
        checks, reading = split_figures(split, raw.time, users_of(raw, options)), _reading(raw, columns, options)
        del raw  # the largest object, no longer needed
        _write(folder, content, reading, options)
        profile = make_profile(
            content.schema, content.parts, content.items, split, columns, content.tables, options, checks
        )
        _write_profile(folder, profile, reading)
    next(stages)
    return Dataset.open(out)


def _stages(on_report: OnReport) -> Iterator[None]:
    """Report the beginning of the next stage at each step, and the end at the last."""
    for number, stage in enumerate(STAGES):
        on_report(Progress(stage, number, len(STAGES), "stages"))
        yield
    on_report(Progress(STAGES[-1], len(STAGES), len(STAGES), "stages"))
    yield


def _log(raw: Events, options: PrepareOptions) -> tuple[Log, dict[str, int]]:
    """The sessions of all events, and the number of events left out, by reason."""
    gap = None if options.gap_minutes is None else options.gap_minutes * 60
    log = find_sessions(raw.group, raw.item, raw.time, raw.rows_before_test, gap)
    if not options.drop_repeats:
        return log, {}
    repeats = log.repeats()
    return log.keep_events(~repeats), {"repeats": int(repeats.sum())}


def _columns(raw: Events, log: Log, options: PrepareOptions, items: RawTable | None, users: RawTable | None) -> Columns:
    """The columns that become features, including those of the item and user tables."""
    users = None if raw.roles.session else users  # with sessions, `read` has joined them to the events already
    return find_features(raw.table, log, raw.roles, options, raw.item_values, raw.group_values, items, users)


def _differing(columns: Columns) -> dict[str, int]:
    """The number of values left out, by reason: each item or session keeps one value per feature."""
    return {
        f"values of {f.source} that differ from its {f.scope}'s first": f.differing
        for f in columns.features
        if f.differing
    }


# ── Encoding ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Content:
    """The encoded content of a prepared folder."""

    schema: Schema
    parts: dict[str, Sessions]
    items: pl.DataFrame
    """a row per item, by id"""
    tables: dict[str, pl.DataFrame]
    """vocabulary of each categorical column"""


def _encode(folder: Path, raw: Events, split: Split, columns: Columns) -> Content:
    """Encode items and features; ``items.parquet`` and the vocabularies are written at once."""
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
    return Content(Schema(columns=(*schema_columns, *_key_columns(raw.roles))), parts, items, tables)


def _encode_features(
    raw: Events,
    log: Log,
    trained: NDArray[np.bool_],
    columns: Columns,
    count: NDArray[np.int64],
    present: NDArray[np.int64],
) -> list[Encoded]:
    """Encode each feature, fitted on the training events of its rows."""
    row_weight = np.bincount(log.row[trained], minlength=len(raw.item))
    group = np.bincount(np.asarray(log.over_events(log.group))[trained], minlength=len(raw.group_values))
    in_items = np.zeros_like(count)
    in_items[present] = np.maximum(count[present], 1)  # an item's attributes exist before its first event
    weights = {"row": row_weight, "item": in_items, "group": group}
    return [encode(feature, weights[feature.level]) for feature in columns.features]


def _item_table(
    raw: Events, columns: Columns, encoded: Sequence[Encoded], ordered: NDArray[np.int64], count: NDArray[np.int64]
) -> pl.DataFrame:
    """One row per item, by id."""
    titles = columns.titles
    content: dict[str, pl.Series | NDArray[Any]] = {
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
    values: Arrays = {"item_id": ids[log.item], **in_events}
    if raw.time is not None:
        values["timestamp"] = raw.time[log.row]
    for part in PARTS:
        session, start, stop, target = split.session_ranges(part)
        flat, offsets = ranges(start, stop)
        session_ids = names.gather(log.group[session])
        if log.number is not None:
            session_ids = session_ids + "#" + pl.Series(log.number[session]).cast(pl.String)
        parts[part] = Sessions(
            {name: column[flat] for name, column in values.items()},
            offsets,
            target,
            {name: column[session] for name, column in in_sessions.items()},
            session_ids.to_numpy(),
        )
    return parts


def _key_columns(roles: Roles) -> list[Column]:
    """Session and user columns by their source names, so that new events can be read in the same way."""
    columns = []
    if roles.session:
        columns.append(
            Column(name="session_id", kind="categorical", role="session", scope="session", source=roles.session)
        )
    if roles.user:
        columns.append(Column(name="user_id", kind="categorical", role="user", scope="session", source=roles.user))
    return columns


# ── Writing ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Reading:
    """The way raw columns were read, so that new events are read in the same way. Holds no data."""

    time_form: str | None
    types: dict[str, ColumnType]
    """by the user's names"""
    notes: tuple[str, ...]


def _reading(raw: Events, columns: Columns, options: PrepareOptions) -> Reading:
    types = {name: type_of(raw.table.frame[name], options.missing) for name in raw.roles.names()}
    types |= {feature.source: feature.type for feature in columns.features}
    return Reading(raw.time_form, types, (*raw.table.notes, *columns.notes))


def _write(folder: Path, content: Content, reading: Reading, options: PrepareOptions) -> None:
    """Write sessions, schema and reading options. Takes no raw events, so that their memory is free by now."""
    for name, sessions in content.parts.items():
        write_sessions(sessions, folder / part_file(name))
    content.schema.save(folder / "schema.json")
    sessions_as = {
        "gap_minutes": options.gap_minutes,
        "drop_repeats": options.drop_repeats,
        "time_form": reading.time_form,
        "reading": options.model_dump(include=set(READING), exclude_defaults=True),
    }
    (folder / FOLDER / SESSIONS).write_text(json.dumps(sessions_as) + "\n", encoding="utf-8")
    save_types(reading.types, folder / FOLDER)


def _write_profile(folder: Path, profile: Profile, reading: Reading) -> None:
    """Write the figures of the data with the notes on how they were read."""
    profile = {**profile, "reading": list(reading.notes), "time_form": reading.time_form}
    (folder / "profile.json").write_text(json.dumps(profile, indent=1) + "\n", encoding="utf-8")
