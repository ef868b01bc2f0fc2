"""The form of a column of times, inferred from all of its values."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl

from t4r_lab.base.errors import InputError
from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.data.read.times import (
    EARLIEST,
    LATEST,
    SLASHED,
    UNITS,
    check_type,
    plain_values,
    short,
    to_seconds,
    year_of,
)

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
    "ticks",
    "minutes",
    "hours",
    "days",
)
"""Other possible forms of numbers, suggested in messages but never inferred."""
NEAR_ZERO = 1000
"""Numbers that begin below this count from an unknown start."""
WRITE_SECONDS = "give seconds since 1970"
"""Remedy for times of new sessions, for which there is no option."""


def time_form(
    tables: Sequence[RawTable], name: str, chosen: str | None = None, measured: Collection[str] = (), remedy: str = ""
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
        check_type(table, name, remedy)
    if chosen is not None:
        return chosen
    where, columns = tables[0].where, [plain_values(table.frame[name]) for table in tables]
    texts = [c for c in columns if isinstance(c.dtype, pl.String)]
    numbers = [c for c in columns if c.dtype.is_numeric()]
    if texts or not numbers:
        return _text_form(where, name, pl.concat(texts).drop_nulls(), remedy) if texts else "dates"
    values = pl.concat(numbers).drop_nulls()
    form = _number_form(where, name, values.filter(values.is_finite()), remedy)
    if form == "order" and measured:
        raise _unknown_unit(where, name, values, measured)
    return form


def _unknown_unit(where: str, name: str, values: pl.Series, measured: Collection[str]) -> InputError:
    """The error for options that measure time where the unit of the numbers isn't known."""
    flags = " and ".join(f"--{option.replace('_', '-')}" for option in measured)
    return InputError(
        where,
        f"{name} has numbers from {short(values.min())} to {short(values.max())}, whose unit "
        f"isn't known, but {flags} measures time",
        "say --time-format seconds (or days, …), or write dates",
        [name],
    )


def form_like(table: RawTable, name: str, trained: str | None) -> str:
    """Return the form of the times of new events, given that of the training events.

    Numbers and texts with day or month first have the form of training; other dates need none.
    """
    plain = plain_values(table.frame[name])
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
            f"{name} would reach the year {year_of(latest)}, read as training's were, in {trained}",
            f"give {trained}, or dates such as 2026-01-31 12:00",
            [name],
        )
    return trained


# ── Numbers ───────────────────────────────────────────────────────────────────────────────────────


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
    rival = {"seconds": "%Y%m%d%H", "nanoseconds": "ticks"}.get(form or "")  # of as many digits
    if form is not None and rival not in meant:
        return form
    if form is None and not meant and low < NEAR_ZERO and high < EARLIEST:
        return "order"
    unit = form or "seconds"
    year = year_of(to_seconds(chosen, unit)[0])
    year_words = "would be a day in 1970" if year == "1970" else f"would be in the year {year}"
    forms = " or ".join(dict.fromkeys([*meant, unit]))
    problem = f"{name}, for example {short(middle)}, {year_words} as {unit} since 1970"
    alternative = f", and in {year_of(to_seconds(chosen, meant[0])[0])} as {meant[0]}" if meant else ""
    remedy = remedy or f"say --time-format {forms}, or order if only their order counts"
    raise InputError(where, f"{problem}{alternative}", f"write dates such as 2026-01-31, or {remedy}", [name])


def _fits(values: pl.Series, form: str) -> bool:
    return all(_plausible(to_seconds(part, form)) for part in (values.head(1000), values))  # most fail at once


def _plausible(values: pl.Series) -> bool:
    """True if there are no nulls and all years are plausible."""
    return not values.null_count() and bool(values.is_between(EARLIEST, LATEST, closed="left").all())


# ── Texts ─────────────────────────────────────────────────────────────────────────────────────────


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
            f"{name}: it is ambiguous which number of {slashed[0]!r} is the month, as none in the column is above 12",
            f"{remedy or 'say --time-format day-first or month-first'}, or write dates as 2026-01-31",
            [name],
        )
    return "day-first" if len(day) else "month-first"
