"""Times of a known form, converted to seconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

import polars as pl

from t4r_lab.base.errors import InputError, first_line
from t4r_lab.data.read.raw_table import RawTable

FIRST_YEAR, LAST_YEAR = 1990, 2100
"""Plausible years of events, unless the user states the form of the times."""
EARLIEST = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp()
LATEST = datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp()
LAST_DATE = datetime.max.replace(tzinfo=UTC).timestamp()
"""The end of the year 9999, behind which there are no dates."""
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
FIRST_DAY = 25_569
"""1970-01-01 as a spreadsheet's number of days."""
TICKS_OF_1970 = 62_135_596_800
"""Seconds from year 1, from which .NET counts, to 1970; a tick is 100 ns."""
SLASHED = r"^(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?:\D|$)"
"""A date whose year comes last: the day may be first, or the month."""
By = Literal["inferred", "option", "training"]
"""Source of the form of times: the values themselves, the user's option, or the training data."""
UTC_ZONE = r"(?i)\d\s*(?:Z|UTC|GMT|[+-]00(?::?00)?)$"
"""The end of a time in UTC, as which times without a zone are read."""
ANY_ZONE = r"(?i)\d\s*(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
ISO = r"^\d{4}\D|^\d{8}[T ]"
MORE_TEXTS = ("%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d %I:%M %p", "%Y-%m-%d %H:%M:%S%.f %z", "%Y-%m-%d %H:%M %z")
"""Formats that polars doesn't recognize by itself."""
WITH_DATE = (
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%y-%m-%d", "%y/%m/%d"),
    *("%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%d/%b/%Y", "%B %d %Y", "%B %d, %Y"),
    *("%a, %d %B %Y", "%a %d %B %Y", "%a %b %d %Y"),
)
WITH_TIME = ("", " %H:%M", " %H:%M:%S", ", %H:%M", ", %H:%M:%S", " %I:%M %p", " %H:%M:%S %z")
SUGGESTED = (
    *(date + time for date in WITH_DATE for time in WITH_TIME),
    *("%d/%b/%Y:%H:%M:%S %z", "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %z %Y", "%Y.%m.%d %H.%M", "%Y.%m.%d %H.%M.%S"),
)
"""Further usual formats, which a message suggests where all of a column has one, but which are never inferred."""


def seconds(table: RawTable, name: str, form: str, by: By = "inferred") -> pl.Series:
    """Return a time column as seconds since 1970, float64, without nulls.

    Parameters
    ----------
    by: source of the form. If it was inferred, implausible years are refused.

    Raises
    ------
    InputError
        for a missing, unreadable, negative or implausible time, or one without a zone among others, naming the row.
    """
    check_type(table, name)
    raw = table.frame[name]
    check_zones(table, name, form)
    values = to_seconds(raw, form)
    bad = values.is_null() | ~values.is_finite()
    if bad.any():
        row = int(_exceptions(raw, bad).arg_max() or 0)
        problem = (
            "is missing" if plain_values(raw)[row] is None else f"{short(raw[row])} {_time_problem(raw[row], form, by)}"
        )
        more = ", or say how to read it with --time-format" if by == "inferred" else ""
        if by == "inferred" and (formats := _suggestions(raw)):
            more = f", or say --time-format {' or '.join(repr(format) for format in formats)}"
        raise InputError(
            table.line(row),
            f"{name} {problem}",
            f"remove the row, use seconds, or dates such as 2026-01-31 12:00{more}",
            [name],
        )
    if len(values) and (values < 0).any():
        row = int((values < 0).arg_max() or 0)
        problem = f"{name} {short(raw[row])} is before 1970, from which times count"
        raise InputError(table.line(row), problem, "fix it or remove the row", [name])
    if form != "order":
        _check_years(table, name, values, form, by)
    return values


def _check_years(table: RawTable, name: str, values: pl.Series, form: str, by: By) -> None:
    """Refuse a year that dates don't reach, and an implausible one unless the user states the form."""
    outside = ~values.is_between(EARLIEST, LATEST, closed="left") if by == "inferred" else values > LAST_DATE
    if outside.any():
        row = int(outside.arg_max() or 0)
        problem = f"{name} {short(table.frame[name][row])} would be in the year {year_of(values[row])}, read as {form}"
        settled = by == "inferred" and values[row] <= LAST_DATE
        remedy = f"if it is right, say --time-format {form}" if settled else "say the right unit with --time-format"
        raise InputError(table.line(row), problem, f"fix it or remove the row, or, {remedy}", [name])


def check_zones(table: RawTable, name: str, form: str) -> None:
    """Refuse dates of which some name another zone than UTC and others none: read as UTC, those could be hours off."""
    if form not in ("dates", "day-first", "month-first") or not isinstance(table.frame[name].dtype, pl.String):
        return
    texts = table.frame[name].str.strip_chars()
    timed = texts.str.contains(r"\d:\d").fill_null(False)
    zoned = timed & texts.str.contains(ANY_ZONE)
    shifted, bare = zoned & ~texts.str.contains(UTC_ZONE), timed & ~zoned
    if shifted.any() and bare.any():
        row, example = int(bare.arg_max() or 0), texts.filter(shifted)[0]
        problem = f"{name} {short(texts[row])} names no zone, but {short(example)} does"
        raise InputError(table.line(row), problem, "write all times with their zone, or none", [name])


def _exceptions(raw: pl.Series, bad: pl.Series) -> pl.Series:
    """The unreadable values to name in a message: if most texts are numbers, those that are not."""
    if not isinstance(raw.dtype, pl.String):
        return bad
    words = bad & raw.cast(pl.Float64, strict=False).is_null()
    return words if words.any() and 2 * words.sum() < len(raw) else bad


def _suggestions(raw: pl.Series) -> list[str]:
    """The usual formats that all texts have, which would be plausible times."""
    if not isinstance(raw.dtype, pl.String):
        return []
    texts = raw.drop_nulls()

    def fits(format: str, some: pl.Series) -> bool:
        times = _by_format(some, format)
        return not times.null_count() and bool(times.is_between(EARLIEST, LATEST, closed="left").all())

    return [f for f in SUGGESTED if len(texts) and fits(f, texts.head(1)) and fits(f, texts)]


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
    plain = plain_values(raw)
    if plain.dtype.is_temporal():
        return plain.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6
    if "%" in form:
        return _by_format(_digits(plain, form) if raw.dtype.is_numeric() else raw.cast(pl.String), form)
    if plain.dtype.is_numeric() and form in UNITS:
        return _in_seconds(plain, form)
    if plain.dtype.is_numeric() and form == "ticks":
        return plain / 1e7 - TICKS_OF_1970
    if plain.dtype.is_numeric() and form in ("order", "spreadsheet"):
        return plain if form == "order" else ((plain - FIRST_DAY) * 86_400).round(3)
    if isinstance(plain.dtype, pl.String) and form in ("dates", "day-first", "month-first"):
        return _by_text(plain, form)
    return pl.Series(raw.name, [None], dtype=pl.Float64).new_from_index(0, len(raw))


def plain_values(raw: pl.Series) -> pl.Series:
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


def check_type(table: RawTable, name: str, remedy: str = "") -> None:
    """Refuse a column whose dtype can't hold times."""
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


def year_of(second: float) -> str:
    """The year of a second since 1970, counted in mean years where the calendar ends.

    >>> year_of(0.0), year_of(1.77e9), year_of(2e13)
    ('1970', '2026', '635744')
    """
    return str(1970 + int(second // 31_556_952)) if second < 1e16 else "beyond all calendars"


def short(value: object) -> str:
    """A value as a message shows it: whole numbers without a point, of long texts the beginning."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    return repr(value[:60]) if isinstance(value, str) else str(value)


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
