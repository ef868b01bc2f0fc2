"""Which raw column plays which part: roles found by usual names, kinds inferred, values checked."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from t4r_lab.data.readers import Table
from t4r_lab.errors import InputError, did_you_mean
from t4r_lab.spec.prepare import PrepareOptions

USUAL = {
    "session": ("session_id", "sessionid", "session", "visit_id"),
    "item": ("item_id", "itemid", "item", "product_id", "productid", "product", "article_id", "movie_id", "sku"),
    "time": ("timestamp", "time", "event_time", "datetime", "date", "ts", "eventdate"),
    "user": ("user_id", "userid", "user", "visitor_id", "visitorid", "customer_id"),
    "title": ("title", "item_title", "movie_title", "product_name", "product_title", "name"),
}
"""Usual names of each role, in lower case, the likeliest first."""
MANY_VALUES = 1000
"""Whole numbers with more different values than this are quantities, not categories."""
MILLISECONDS = 1e11
"""Times above this are milliseconds: as seconds they would lie after the year 5000."""


@dataclass(frozen=True)
class Roles:
    """The raw names of the columns with a role; None where there is none."""

    item: str
    session: str | None
    time: str | None
    user: str | None


def find_roles(table: Table, options: PrepareOptions) -> Roles:
    """Columns by the options, else by their usual names.

    Raises
    ------
    InputError
        for a column that is asked for and missing, or needed and not found.
    """
    found = {role: find(table, getattr(options, role), role) for role in ("item", "session", "time", "user")}
    if found["item"] is None:
        raise InputError(f"{table.where}: no item column among {_list(table)}; name it with --item")
    if found["session"] is None and found["user"] is None:
        raise InputError(
            f"{table.where}: no session or user column among {_list(table)}; name one with --session or --user"
        )
    if options.session is None and options.gap_minutes is not None:
        found["session"] = None
    if options.gap_minutes is not None and found["user"] is None:
        raise InputError(
            f"{table.where}: --gap-minutes cuts a user's events, but there is no user column; name it with --user"
        )
    if found["time"] is None and (options.split == "time" or options.gap_minutes is not None):
        raise InputError(
            f"{table.where}: no time column among {_list(table)}; name it with --time, or use --split leave_one_out "
            "for events that are in order"
        )
    for name in [*options.targets, *(options.features or []), *options.ignore, *options.kinds]:
        if name not in table.frame.columns:
            raise InputError(f"{table.where}: column {name!r} is missing; {did_you_mean(name, table.frame.columns)}")
    return Roles(**found)  # type: ignore[arg-type]


def find(table: Table, asked: str | None, role: str) -> str | None:
    """The column asked for, or the one with the likeliest usual name."""
    columns = table.frame.columns
    if asked is not None:
        if asked not in columns:
            raise InputError(f"{table.where}: column {asked!r} (--{role}) is missing; {did_you_mean(asked, columns)}")
        return asked
    plain = {c.lower().replace(" ", "_"): c for c in columns}
    return next((plain[name] for name in USUAL[role] if name in plain), None)


def _list(table: Table) -> str:
    return ", ".join(table.frame.columns)


def check_items(table: Table, item: str) -> None:
    """Item ids must be whole numbers or text, and there on every row."""
    values = table.frame[item]
    if values.dtype.is_float():
        raise InputError(
            f"{table.where}: item column {item!r} holds decimal numbers or NaN; items are whole numbers or text"
        )
    if values.null_count():
        row = int(values.is_null().arg_max() or 0)
        raise InputError(f"{table.line(row)}: column {item!r} has no item; remove the row or fill it in")


def seconds(table: Table, name: str) -> pl.Series:
    """A time column as seconds since 1970, float64.

    Raises
    ------
    InputError
        for a missing, unreadable or negative time, naming the row.
    """
    raw = table.frame[name]
    values = _to_seconds(raw)
    bad = values.is_null() | values.is_nan()
    if bad.any():
        row = int(bad.arg_max() or 0)
        problem = "is missing" if raw[row] is None or raw.dtype.is_float() else f"{raw[row]!r} is not a time"
        raise InputError(f"{table.line(row)}: {name} {problem}; use seconds, or dates such as 2026-01-31 12:00")
    if (values < 0).any():
        row = int((values < 0).arg_max() or 0)
        raise InputError(f"{table.line(row)}: {name} {raw[row]} is negative; times count from 1970")
    return values


def _to_seconds(raw: pl.Series) -> pl.Series:
    if raw.dtype.is_temporal():
        return raw.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6
    if raw.dtype == pl.String:
        numbers = raw.cast(pl.Float64, strict=False)
        if numbers.null_count() == raw.null_count():
            return _to_seconds(numbers)
        first = next((v for v in raw if v), "")
        zoned = first.endswith("Z") or "+" in first[10:]
        text = raw.str.replace("T", " ").str.strip_suffix("Z")
        forms = (
            "%Y-%m-%d %H:%M:%S%.f",
            "%Y-%m-%d %H:%M",
            "%Y-%m-%d",
            "%Y/%m/%d %H:%M:%S",
            "%d.%m.%Y %H:%M:%S",
            "%Y%m%d",
        )
        best = raw.cast(pl.Float64, strict=False)
        for form in forms if not (zoned and "+" in first[10:]) else ("%Y-%m-%d %H:%M:%S%.f%z",):
            parsed = text.str.to_datetime(form, strict=False, time_unit="us").dt.epoch("us").cast(pl.Float64) / 1e6
            best = parsed if parsed.null_count() < best.null_count() else best
        return best
    values = raw.cast(pl.Float64)
    largest = values.max()
    return values / 1000 if isinstance(largest, float) and largest > MILLISECONDS else values


def kind_of(name: str, values: pl.Series, table: Table, options: PrepareOptions) -> str:
    """categorical, continuous, timestamp or multi: by option, header, or the values themselves."""
    if name in options.kinds:
        return options.kinds[name]
    if name in table.kinds:
        return table.kinds[name]
    if isinstance(values.dtype, pl.List):
        return "multi"
    if values.dtype.is_temporal():
        return "timestamp"
    if values.dtype.is_float() or values.dtype.is_decimal():
        return "continuous"
    if values.dtype.is_integer() and values.n_unique() > MANY_VALUES:
        return "continuous"
    return "categorical"
