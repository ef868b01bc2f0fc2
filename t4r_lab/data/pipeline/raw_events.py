"""Raw events with checked keys and times, before they are encoded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.errors import InputError
from t4r_lab.data.formats.format_readers import Source, read_events, read_file
from t4r_lab.data.pipeline.feature_columns import align
from t4r_lab.data.read.frames import to_polars
from t4r_lab.data.read.raw_table import RawTable, concatenate, null_missing
from t4r_lab.data.read.time_forms import time_form
from t4r_lab.data.read.times import By, seconds
from t4r_lab.data.read.values import alike_note
from t4r_lab.data.sessions.codes import factorize
from t4r_lab.data.sessions.column_roles import Roles, check_ids, check_names, find_roles, with_whole_ids
from t4r_lab.data.sessions.session_rows import unroll
from t4r_lab.spec.preparation import PrepareOptions


@dataclass(frozen=True)
class Events:
    """Raw events with their keys as codes; rows of a given test part come last."""

    table: RawTable
    roles: Roles
    group: NDArray[np.int32]
    group_values: pl.Series
    item: NDArray[np.int32]
    item_values: pl.Series
    time: NDArray[np.float64] | None
    time_form: str | None
    """form of the times, as `times.time_form` returns it"""
    rows_before_test: int
    """rows of the main file, which come before those of a given test part"""
    last: NDArray[np.bool_] | None
    """(R,) True for the rows of the test part that are to be predicted; None: all"""


def side_tables(
    events: Source | Sequence[str | Path], items: Source | None, users: Source | None
) -> tuple[RawTable | None, RawTable | None]:
    """Attribute tables of items and users: the ones passed, or the files beside a RecBole file."""
    if isinstance(events, Sequence) and not isinstance(events, str) and len(events) == 1:
        events = events[0]
    tables: list[RawTable | None] = []
    for source, ending in ((items, ".item"), (users, ".user")):
        if source is None and isinstance(events, (str, Path)) and ".inter" in Path(events).suffixes:
            beside = Path(re.sub(r"\.inter(?=(\.[a-z0-9]+)?$)", ending, str(events)))
            source = beside if beside.is_file() else None
        if source is None:
            tables.append(None)
        elif isinstance(source, (str, Path)):
            tables.append(read_file(Path(source)))
        else:
            tables.append(RawTable(to_polars(source, f"{ending[1:]}s"), where=f"{ending[1:]}s"))
    return tables[0], tables[1]


def read(
    events: Source | Sequence[str | Path],
    test: Source | Sequence[str | Path] | None,
    options: PrepareOptions,
    side: Sequence[RawTable | None],
) -> Events:
    """Read events and check their keys and times."""
    table = _table(events, options)
    roles = find_roles(table, options, test is not None)
    check_names(options, table, [t for t in side if t is not None])
    tables = [table]
    if test is not None:
        tables.append(_table(test, options, is_test=True))
        same = {"item": roles.item, "session": roles.session, "time": roles.time, "user": roles.user}
        if options.gap_minutes is not None:
            same["session"] = None
        find_roles(tables[1], options.model_copy(update=same), True)
        tables[1] = _with_missing_said(tables[1], table, options)
    tables = [replace(each, frame=with_whole_ids(each.frame, (roles.item, roles.group))) for each in tables]
    table = tables[0]
    for each in tables:
        check_ids(each, roles.item, "item")
        check_ids(each, roles.group, "session" if roles.session else "user")
    form, time = _times(tables, roles.time, options)
    whole = table if len(tables) == 1 else concatenate(tables)
    if side[1] is not None and roles.session is not None:
        whole = _join_users(whole, side[1], roles)
    group, group_values = factorize(whole.frame[roles.group])
    item, item_values = factorize(whole.frame[roles.item])
    notes = [*alike_note(item_values, roles.item), *alike_note(group_values, roles.group)]
    whole = replace(whole, notes=(*whole.notes, *notes))
    last = tables[-1].last
    if last is not None:
        last = np.concatenate([np.zeros(len(table.frame), bool), last])
    return Events(whole, roles, group, group_values, item, item_values, time, form, len(table.frame), last)


def _times(
    tables: Sequence[RawTable], name: str | None, options: PrepareOptions
) -> tuple[str | None, NDArray[np.float64] | None]:
    """The form of the times of all tables, and the seconds of their rows, (R,)."""
    if name is None:
        return None, None
    form = time_form(tables, name, options.time_format, options.measures_time)
    by: By = "option" if options.time_format else "inferred"
    times = [seconds(table, name, form, by).to_numpy() for table in tables]
    return form, times[0] if len(times) == 1 else np.concatenate(times)


def _table(events: Source | Sequence[str | Path], options: PrepareOptions, is_test: bool = False) -> RawTable:
    """A row per event, missing values as nulls; `is_test` is True for a separate test part."""
    return unroll(null_missing(read_events(events, options), options.missing), options, is_test)


def _with_missing_said(test: RawTable, table: RawTable, options: PrepareOptions) -> RawTable:
    """The test part with a note on the columns of the main file that it lacks.

    Raises
    ------
    InputError
        if it lacks a label.
    """
    columns = table.frame.columns if options.features is None else [*options.features, *options.targets]
    lacking = [c for c in columns if c in table.frame.columns and c not in (*test.frame.columns, *options.ignore)]
    if label := next((c for c in options.targets if c in lacking), None):
        remedy = "add it, or take it out of --targets"
        raise InputError(test.where, f"label column {label!r} is missing", remedy, [label])
    if not lacking:
        return test
    note = f"{test.where}: values of {', '.join(lacking)} count as missing, as the file has no such column"
    return replace(test, notes=(*test.notes, note))


def users_of(raw: Events, options: PrepareOptions) -> NDArray[np.int32] | None:
    """User code of each row, (R,); None without users, or if each user is one session."""
    if raw.roles.session is None:
        return None if options.gap_minutes is None else raw.group
    return None if raw.roles.user is None else factorize(raw.table.frame[raw.roles.user])[0]


def _join_users(table: RawTable, users: RawTable, roles: Roles) -> RawTable:
    """Join the columns of the users to events whose sessions have their own ids."""
    if roles.user is None:
        raise InputError(table.where, f"no user column to join {users.where} by", "name it with --user")
    columns = set(table.frame.columns)
    side = align(users, roles.user, table.frame[roles.user], "user")
    added = side.frame.select([c for c in side.frame.columns if c not in columns])
    raw = table.raw | (side.raw & set(added.columns))
    return replace(
        table,
        frame=table.frame.hstack(added),
        kinds={**side.kinds, **table.kinds},
        raw=raw,
        notes=(*table.notes, *side.notes),
    )
