"""Times: the form of a whole column is inferred, then it is converted to seconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Literal

import polars as pl

from t4r_lab.base.errors import InputError, first_line
from t4r_lab.data.read.raw_table import Table

FIRST_YEAR, LAST_YEAR = 1990, 2100
"""Plausible years of events, unless the user states the form of the times."""
EARLIEST = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp()
LATEST = datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp()
UNITS = {
    "seconds": 1.0,
    "milliseconds": 1e-3,
    "microseconds": 1e-6,
    "nanoseconds": 1e-9,
    "minutes": 60.0,
    "hours": 3600.0,
    "days": 86_400.0,
}
"""Seconds of each unit of numbers that count from 1970."""
INFERRED_UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
"""Units inferred from the size of numbers: a number that is plausible in one is implausible in all others."""
COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Dates written as one whole number, by its count of digits. None is plausible as a number of seconds or fractions."""
SUSPECTS = (
    "%Y%m%d%H",
    "%Y%m",
    "%Y",
    "%y%m%d",
    "%y%m%d%H%M%S",
    "%d%m%Y",
    "%m%d%Y",
    "spreadsheet",
    "minutes",
    "hours",
    "days",
)
"""Other possible forms of numbers, suggested in messages but never inferred."""
FIRST_DAY = 25_569
"""1970-01-01 as a spreadsheet's number of days."""
NEAR_ZERO = 1000
"""Numbers that begin below this count from an unknown start."""
SLASHED = r"^(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?:\D|$)"
"""A date whose year comes last: the day may be first, or the month."""
WRITE_SECONDS = "give seconds since 1970"
"""Remedy for times of new sessions, for which there is no option."""
By = Literal["inferred", "option", "training"]
"""Source of the form of times: the values themselves, the user's option, or the training data."""
ISO = r"^\d{4}\D|^\d{8}[T ]"
MORE_TEXTS = ("%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d %I:%M %p", "%Y-%m-%d %H:%M:%S%.f %z", "%Y-%m-%d %H:%M %z")
"""Formats that polars doesn't recognize by itself."""


def time_form(
    tables: Sequence[Table], name: str, chosen: str | None = None, measured: Collection[str] = (), remedy: str = ""
) -> str:
    """Return the form of the times of a column in all `tables`: `chosen`, else inferred from all values together.

    Parameters
    ----------
    measured: options that measure time; they are refused for numbers of unknown unit.
    remedy: the remedy for columns that have no option for their form.

    Returns
    -------
    One of `UNITS`, ``spreadsheet`` (its number of days), ``dates`` (typed, or texts with the year first),
    ``day-first``, ``month-first``, ``order`` (numbers from an unknown start), or a format of strptime.

    Raises
    ------
    InputError
        for values that can be read in several ways or in none, with the forms that would fit.
    """
    for table in tables:
        _check_type(table, name, remedy)
    if chosen is not None:
        return chosen
    where, columns = tables[0].where, [_plain(table.frame[name]) for table in tables]
    texts = [c for c in columns if isinstance(c.dtype, pl.String)]
    numbers = [c for c in columns if c.dtype.is_numeric()]
    if texts or not numbers:
        return _text_form(where, name, pl.concat(texts).drop_nulls(), remedy) if texts else "dates"
    values = pl.concat(numbers).drop_nulls()
    form = _number_form(where, name, values.filter(values.is_finite()), remedy)
    if form == "order" and measured:
        flags = " and ".join(f"--{option.replace('_', '-')}" for option in measured)
        raise InputError(
            where,
            f"{name} has numbers from {_short(values.min())} to {_short(values.max())}, whose unit "
            f"isn't known, but {flags} measures time",
            "say --time-format seconds (or days, …), or write dates",
            [name],
        )
    return form


def form_like(table: Table, name: str, trained: str | None) -> str:
    """Return the form of the times of new events, given that of the training events.

    Numbers and texts with day or month first have the form of training; other dates need none.
    """
    plain = _plain(table.frame[name])
    by_number = trained is not None and trained not in ("dates", "day-first", "month-first")
    if trained is None or plain.dtype.is_temporal() or plain.dtype.is_numeric() != by_number:
        if trained is not None and "%" in trained and isinstance(plain.dtype, pl.String):
            return trained
        return time_form([table], name, remedy=WRITE_SECONDS)
    if trained == "dates" and plain.str.contains(SLASHED).any():
        return time_form([table], name, remedy=WRITE_SECONDS)
    latest = to_seconds(plain, trained).max() if trained in UNITS else None
    if isinstance(latest, float) and latest >= LATEST:
        raise InputError(
            table.where,
            f"{name} would reach the year {_year(latest)}, read as training's were, in {trained}",
            f"give {trained}, or dates such as 2026-01-31 12:00",
            [name],
        )
    return trained


def seconds(table: Table, name: str, form: str, by: By = "inferred") -> pl.Series:
    """Return a time column as seconds since 1970, float64, without nulls.

    Parameters
    ----------
    by: source of the form. If it was inferred, implausible years are refused.

    Raises
    ------
    InputError
        for a missing, unreadable, negative or implausible time, naming the row.
    """
    _check_type(table, name)
    raw = table.frame[name]
    values = to_seconds(raw, form)
    bad = values.is_null() | ~values.is_finite()
    if bad.any():
        row = int(_exceptions(raw, bad).arg_max() or 0)
        problem = (
            "is missing" if _plain(raw)[row] is None else f"{_short(raw[row])} {_time_problem(raw[row], form, by)}"
        )
        more = ", or say how to read it with --time-format" if by == "inferred" else ""
        raise InputError(
            table.line(row), f"{name} {problem}", f"use seconds, or dates such as 2026-01-31 12:00{more}", [name]
        )
    if len(values) and (values < 0).any():
        row = int((values < 0).arg_max() or 0)
        raise InputError(table.line(row), f"{name} {_short(raw[row])} is negative", "times count from 1970", [name])
    outside = (values < EARLIEST) | (values >= LATEST)
    if by == "inferred" and form != "order" and outside.any():
        row = int(outside.arg_max() or 0)
        raise InputError(
            table.line(row),
            f"{name} {_short(raw[row])} would be in the year {_year(values[row])}",
            f"fix it or remove the row, or, if it is right, say --time-format {form}",
            [name],
        )
    return values


def _exceptions(raw: pl.Series, bad: pl.Series) -> pl.Series:
    """The unreadable values to name in a message: if most texts are numbers, those that are not."""
    if not isinstance(raw.dtype, pl.String):
        return bad
    words = bad & raw.cast(pl.Float64, strict=False).is_null()
    return words if words.any() and 2 * words.sum() < len(raw) else bad


def _time_problem(value: object, form: str, by: By) -> str:
    """The problem with an unreadable value, for a message."""
    if by == "inferred" and form == "dates" and re.fullmatch(r"[\d.]+", str(value).strip()):
        return "is a number, while others in the column are dates"
    return f"is not a time{_form_words(form, by)}"


def _form_words(form: str, by: By) -> str:
    """The reason why a value should have a form, for a message; empty if the form is obvious."""
    if by == "option":
        return f" as --time-format {form} has it"
    shown = "%" in form or form in ("day-first", "month-first")
    return f" as {'the others' if by == 'inferred' else 'those of training'} are ({form})" if shown else ""


def to_seconds(raw: pl.Series, form: str) -> pl.Series:
    """Return times as seconds since 1970, float64, null if unreadable. Times without a zone are UTC."""
    plain = _plain(raw)
    if plain.dtype.is_temporal():
        return plain.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6
    if "%" in form:
        return _by_format(_digits(plain, form) if raw.dtype.is_numeric() else raw.cast(pl.String), form)
    if plain.dtype.is_numeric() and form in UNITS:
        return _in_seconds(plain, form)
    if plain.dtype.is_numeric() and form in ("order", "spreadsheet"):
        return plain if form == "order" else ((plain - FIRST_DAY) * 86_400).round(3)
    if isinstance(plain.dtype, pl.String) and form in ("dates", "day-first", "month-first"):
        return _by_text(plain, form)
    return pl.Series(raw.name, [None], dtype=pl.Float64).new_from_index(0, len(raw))


def _plain(raw: pl.Series) -> pl.Series:
    """Numbers, and texts that are all numbers, as float64 with nulls for NaN; other texts and typed times unchanged."""
    if isinstance(raw.dtype, (pl.Categorical, pl.Enum)):
        raw = raw.cast(pl.String)
    if isinstance(raw.dtype, pl.String):
        raw = raw.str.strip_chars()
        raw = raw.set(raw == "", None)
        numbers = raw.cast(pl.Float64, strict=False)
        return raw if numbers.null_count() > raw.null_count() or raw.null_count() == len(raw) else numbers
    if raw.dtype == pl.Null:
        return raw.cast(pl.String)
    return raw.cast(pl.Float64).fill_nan(None) if raw.dtype.is_numeric() else raw


def _in_seconds(numbers: pl.Series, unit: str) -> pl.Series:
    size = UNITS[unit]
    return numbers * size if size >= 1 else numbers / round(1 / size)  # a division by a power of ten is exact


def _digits(numbers: pl.Series, format: str) -> pl.Series:
    """Whole numbers as text, with leading zeros restored."""
    width = format.count("%") * 2 + format.count("%Y") * 2
    return numbers.cast(pl.Int64, strict=False).cast(pl.String).str.zfill(width)


def _check_type(table: Table, name: str, remedy: str = "") -> None:
    dtype = table.frame[name].dtype
    if isinstance(dtype, (pl.Date, pl.Datetime, pl.String, pl.Categorical, pl.Enum, pl.Null)) or dtype.is_numeric():
        return
    words = {
        pl.Duration: "durations",
        pl.Time: "times of day without a date",
        pl.List: "lists that aren't all as long as those of the items",
    }
    held = next((phrase for kind, phrase in words.items() if isinstance(dtype, kind)), str(dtype))
    remedy = remedy or "use seconds, or dates such as 2026-01-31 12:00"
    raise InputError(table.where, f"{name} is not a time: it holds {held}", remedy, [name])


# ── Numbers ─────────────────────────────────────────────────────────────────────────────────────


def _number_form(where: str, name: str, values: pl.Series, remedy: str) -> str:
    """Infer the form of numbers from their median; `seconds` then checks all values."""
    if values.is_empty() or values.min() < 0:  # type: ignore[operator]
        return "seconds"  # `seconds` then names the row
    low, middle, high = (values.quantile(q, "nearest") for q in (0.0, 0.5, 1.0))
    assert low is not None and middle is not None and high is not None
    whole = bool((values == values.floor()).all())
    chosen = pl.Series([middle])
    compact = COMPACT.get(len(f"{middle:.0f}")) if whole else None
    if compact is not None and _plausible(to_seconds(chosen, compact)):
        return compact
    form = next((unit for unit in INFERRED_UNITS if _plausible(to_seconds(chosen, unit))), None)
    if form is None and not whole and _plausible(to_seconds(chosen, "spreadsheet")):
        form = "spreadsheet"
    meant = [s for s in SUSPECTS if (whole or "%" not in s) and s != form and _fits(values, s)]
    if form is not None and not (form == "seconds" and "%Y%m%d%H" in meant):
        return form
    if form is None and not meant and low < NEAR_ZERO and high < EARLIEST:
        return "order"
    year = _year(middle)
    year_words = "would be a day in 1970" if year == "1970" else f"would be in the year {year}"
    forms = " or ".join(dict.fromkeys([*meant, "seconds"]))
    problem = f"{name}, for example {_short(middle)}, {year_words} as seconds since 1970"
    alternative = f", and in {_year(to_seconds(chosen, meant[0])[0])} as {meant[0]}" if meant else ""
    remedy = remedy or f"say --time-format {forms}, or order if only their order counts"
    raise InputError(where, f"{problem}{alternative}", f"write dates such as 2026-01-31, or {remedy}", [name])


def _fits(values: pl.Series, form: str) -> bool:
    return all(_plausible(to_seconds(part, form)) for part in (values.head(1000), values))  # most fail at once


def _plausible(values: pl.Series) -> bool:
    """True if there are no nulls and all years are plausible."""
    return not values.null_count() and bool(values.is_between(EARLIEST, LATEST, closed="left").all())


def _year(second: float) -> str:
    """The year of a second since 1970, counted in mean years where the calendar ends.

    >>> _year(0.0), _year(1.77e9), _year(2e13)
    ('1970', '2026', '635744')
    """
    return str(1970 + int(second // 31_556_952)) if second < 1e16 else "beyond all calendars"


def _short(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    return repr(value[:60]) if isinstance(value, str) else str(value)


# ── Texts ───────────────────────────────────────────────────────────────────────────────────────


def _text_form(where: str, name: str, texts: pl.Series, remedy: str) -> str:
    """``dates``, ``day-first`` or ``month-first``; any number above 12 decides between the latter."""
    slashed = texts.filter(texts.str.contains(SLASHED))
    if slashed.is_empty():
        return "dates"
    first, second = (slashed.str.extract(SLASHED, group).cast(pl.Int32) for group in (1, 2))
    day, month = slashed.filter(first > 12), slashed.filter(second > 12)
    if len(day) and len(month):
        raise InputError(
            where,
            f"{name} has the day first in {day[0]!r} and the month first in {month[0]!r}",
            "write all dates as 2026-01-31",
            [name],
        )
    if not len(day) and not len(month):
        raise InputError(
            where,
            f"{name}: which number of {slashed[0]!r} is the month can't be told, as none of the column is above 12",
            f"{remedy or 'say --time-format day-first or month-first'}, or write dates as 2026-01-31",
            [name],
        )
    return "day-first" if len(day) else "month-first"


def _by_text(texts: pl.Series, form: str) -> pl.Series:
    """Parse texts in rounds: each round parses the texts of the same form as the first unread one."""
    texts = texts.str.replace(r"\s*(UTC|GMT)$", "Z")
    if form != "dates":
        turned = "$3-$2-$1" if form == "day-first" else "$3-$1-$2"
        texts = texts.str.replace(SLASHED.removesuffix(r"(?:\D|$)"), turned).str.replace(r"^(\S+),\s+", "$1 ")
    texts = texts.set(~texts.str.contains(ISO), None)
    times = pl.Series(texts.name, [None], dtype=pl.Float64).new_from_index(0, len(texts))
    for _ in range(8):
        unread = times.is_null() & texts.is_not_null()
        if not unread.any():
            break
        for format in (None, *MORE_TEXTS):
            read = _by_format(texts.filter(unread), format)
            if read.null_count() < len(read):
                break
        else:
            break
        times = times.scatter(unread.arg_true(), read)
    return times


def _by_format(texts: pl.Series, format: str | None) -> pl.Series:
    """Parse texts by a format of strptime, or by the one that polars recognizes; null if it doesn't fit."""
    if format is not None and ("%H" in format or "%I" in format) and "%M" not in format:
        texts, format = texts + ":00", format + ":%M"  # polars reads hours only with minutes
    try:
        read = texts.str.to_datetime(format, strict=False, time_unit="us", time_zone="UTC")
    except pl.exceptions.PolarsError as error:
        raise InputError(f"--time-format {format!r}", first_line(error), "use for example %Y-%m-%d") from None
    if format is not None and "%Z" in format:  # polars takes any name of a zone, and reads all as UTC
        read = read.set(~texts.str.contains(r"(?i)\b(?:UTC|GMT|Z)\b"), None)
    return read.dt.epoch("us").cast(pl.Float64) / 1e6
