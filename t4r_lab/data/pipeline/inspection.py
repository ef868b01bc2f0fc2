"""A preview of how `prepare` would read each raw column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.errors import InputError
from t4r_lab.data.pipeline.feature_columns import Columns, find_features
from t4r_lab.data.pipeline.feature_values import FeatureValues
from t4r_lab.data.read.column_types import odd_words
from t4r_lab.data.read.dialect import USUAL
from t4r_lab.data.read.raw_table import RawTable, null_missing
from t4r_lab.data.read.time_forms import time_form
from t4r_lab.data.read.times import seconds
from t4r_lab.data.sessions.codes import factorize
from t4r_lab.data.sessions.column_roles import Roles, check_ids, check_names, find, find_roles, kind_of, read_column
from t4r_lab.data.sessions.session_rows import by_schema, unroll
from t4r_lab.data.sessions.sessionize import Log, find_sessions
from t4r_lab.spec.preparation import PrepareOptions

KEYS = tuple(USUAL)
"""Roles that one column plays: session, item, time, user, title."""


@dataclass(frozen=True)
class Keys:
    """The columns of a table that make its sessions, and the sessions."""

    roles: Roles
    time: NDArray[np.float64] | None
    """(R,) seconds of each row; None without a time column"""
    time_form: str | None
    item_values: pl.Series
    group_values: pl.Series
    log: Log


def read_keys(table: RawTable, options: PrepareOptions) -> Keys:
    """Return ids, times and sessions of `table`, a row per event.

    Raises
    ------
    InputError
        as `prepare` does, for roles, ids and times.
    """
    roles = find_roles(table, options)
    check_ids(table, roles.item, "item")
    check_ids(table, roles.group, "session" if roles.session else "user")
    time = form = None
    if roles.time is not None:
        form = time_form([table], roles.time, options.time_format, options.measures_time)
        time = seconds(table, roles.time, form, "option" if options.time_format else "inferred").to_numpy()
    group, group_values = factorize(table.frame[roles.group])
    item, item_values = factorize(table.frame[roles.item])
    gap = None if options.gap_minutes is None else options.gap_minutes * 60
    log = find_sessions(group, item, time, len(table.frame), gap)
    return Keys(roles, time, form, item_values, group_values, log)


@dataclass(frozen=True)
class ColumnReading:
    """How one raw column would be read."""

    name: str
    role: str
    """one of `KEYS`, feature, label or ignore"""
    kind: str = ""
    """of features and labels: categorical, continuous, timestamp, or multi (several values)"""
    of: str = ""
    """scope of a feature: event, item or session; empty if it isn't known yet"""
    note: str = ""
    """why it is left out although no option says so, how many values differ where only one is kept, or which values
    make a nearly numeric column text"""


def inspect(table: RawTable, options: PrepareOptions) -> tuple[tuple[ColumnReading, ...], InputError | None]:
    """A reading of every column of `table`, in order, and the refusal that preparing it would raise, or None.

    The columns are read as `prepare` reads them; if that is refused, kinds are inferred from the values alone.
    """
    refusal: InputError | None = None
    try:
        options = by_schema(options)
        table = unroll(null_missing(table, options.missing), options)
        check_names(options, table, [])
        roles, columns = _read_as_prepared(table, options)
    except InputError as error:
        roles, columns, refusal = _roles_by_name(table, options), Columns(), error
    played = {name: role for role, name in roles.items()}
    features = {f.source: f for f in columns.features}
    readings = []
    taken = {*options.ignore, *options.targets, *(played.keys() - {roles.get("time")})}
    for name in table.frame.columns:
        if name in played:
            by_dates = played[name] == "time" and options.time is None and find(table, None, "time", taken) is None
            note = "taken as the time of the events: the only column of dates" if by_dates else ""
            readings.append(ColumnReading(name, played[name], note=note))
        elif name in options.ignore:
            readings.append(ColumnReading(name, "ignore"))
        elif name in columns.left_out:
            odd = columns.odd.get(name)
            why = columns.left_out[name] + (f"; {odd_words(odd)}" if odd else "")
            readings.append(ColumnReading(name, "ignore", note=f"left out: {why}"))
        else:
            role = "label" if name in options.targets else "feature"
            feature = features.get(name)
            kind = feature.kind if feature else _kind(name, table, options)
            readings.append(
                ColumnReading(
                    name,
                    role,
                    kind,
                    feature.scope if feature else options.scopes.get(name, ""),
                    _note(feature, columns),
                )
            )
    return tuple(readings), refusal


def _note(feature: FeatureValues | None, columns: Columns) -> str:
    if feature is None:
        return ""
    n, odd = feature.differing, columns.odd.get(feature.source)
    differ = [f"{n:,} event{'s differ' if n > 1 else ' differs'}; the first value counts"] if n else []
    return "; ".join(differ + ([odd_words(odd)] if odd else []))


def _read_as_prepared(table: RawTable, options: PrepareOptions) -> tuple[dict[str, str], Columns]:
    """The roles and features that `prepare` finds.

    Raises
    ------
    InputError
        as `prepare` does, for roles, ids, times and values.
    """
    keys = read_keys(table, options)
    roles = keys.roles
    columns = find_features(table, keys.log, roles, options, keys.item_values, keys.group_values, None, None)
    by_role = {role: getattr(roles, role) for role in ("session", "item", "time", "user")}
    title = find(table, options.title, "title", (*options.ignore, *options.targets, *roles.names()))
    return {role: name for role, name in {**by_role, "title": title}.items() if name is not None}, columns


def _roles_by_name(table: RawTable, options: PrepareOptions) -> dict[str, str]:
    """Roles by the options and usual names only, for tables that `prepare` would refuse."""
    roles = {role: name for role in KEYS if (name := getattr(options, role)) in table.frame.columns}
    taken = {*roles.values(), *options.ignore, *options.targets}
    for role in KEYS:
        try:
            column = find(table, None, role, taken) if role not in roles else None
        except InputError:  # several could be meant
            continue
        if column is not None:
            roles[role] = column
    return roles


def _kind(name: str, table: RawTable, options: PrepareOptions) -> str:
    raw = read_column(name, table, options)
    return kind_of(name, raw, raw.values.n_unique() if raw.values.dtype.is_integer() else 0, table, options)
