"""Values of columns, read by their type: one number or one text for each, whatever the other rows hold.

The type of each column is saved beside the vocabulary (`column_types.save_types`) and used to read new sessions:
`texts` and `numbers` depend on the value and the type alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import polars as pl

Kind = Literal["integer", "number", "single", "boolean", "time", "text"]
"""integer: whole numbers; number: decimals; single: decimals of 32 bits; time: dates and datetimes."""
USUAL_MISSING = frozenset(
    [
        *("-", "--", "–", "—", "?", ".", r"\n"),
        *("n/a", "#n/a", "na", "<na>", "n.a.", "nan", "-nan", "nat"),
        *("null", "(null)", "none", "nil", "missing"),
        *("inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"),
    ]
)
"""Words for a missing value in columns of numbers, in lower case; in columns of text they are text (NA is Namibia)."""
TRUTH = (("false", "true"), ("False", "True"), ("FALSE", "TRUE"))


@dataclass(frozen=True)
class ColumnType:
    """The type by which the values of a column are read.

    `missing` are the user's words for a missing value. `truth` are the words for false and true in boolean columns.
    """

    kind: Kind
    missing: tuple[str, ...] = ()
    truth: tuple[str, str] = TRUTH[0]


# ── Missing values ────────────────────────────────────────────────────────────────────────────────


def null_words(values: pl.Series, missing: Collection[str]) -> pl.Series:
    """Return the values with nulls for the words in `missing`, and for numbers equal to such a word."""
    if not missing or values.dtype.is_nested():
        return values
    if isinstance(values.dtype, (pl.Categorical, pl.Enum)):
        values = values.cast(pl.String)
    if values.dtype.is_numeric():
        words = pl.Series(sorted(missing)).cast(pl.Float64, strict=False).drop_nulls()
        is_word = values.cast(pl.Float64).is_in(words.implode())
    elif isinstance(values.dtype, pl.String):
        is_word = values.is_in(list(missing))
    else:
        return values
    return values.set(is_word.fill_null(False), None) if is_word.any() else values


def null_usual_words(values: pl.Series) -> pl.Series:
    """Return texts with nulls for the usual words for a missing value."""
    return values.set(is_missing_word(values), None)


def is_missing_word(values: pl.Series) -> pl.Series:
    """True for the usual words for a missing value."""
    return values.str.strip_chars().str.to_lowercase().is_in(list(USUAL_MISSING)).fill_null(False)


def alike_note(values: pl.Series, name: str) -> tuple[str, ...]:
    """Return a note if different texts look alike: they differ by spaces around them or invisible characters only.

    >>> alike_note(pl.Series(["a", "b", "a "]), "item_id")
    ("1 value of item_id looks like another one, but for spaces or invisible characters: 'a ' is not 'a'",)
    """
    if not isinstance(values.dtype, pl.String):
        return ()
    texts = values.drop_nulls().unique(maintain_order=True)
    seen = texts.str.normalize("NFC").str.replace_all(r"\p{Cf}", "").str.strip_chars()
    again = ~seen.is_first_distinct()
    if not again.any():
        return ()
    n, row = int(again.sum()), int(again.arg_max() or 0)
    looks, first = "value of {} looks" if n == 1 else "values of {} look", texts.filter(seen == seen[row])[0]
    like = "another one" if n == 1 else "other ones"
    return (
        f"{n:,} {looks.format(name)} like {like}, but for spaces or invisible characters: {texts[row][:40]!r} is not "
        f"{first[:40]!r}",
    )


# ── Reading by a type ─────────────────────────────────────────────────────────────────────────────


def numbers(values: pl.Series, type: ColumnType) -> pl.Series:
    """Return values as float64, null if missing, infinite or no number; durations and times of day in seconds.

    >>> numbers(pl.Series([" 2.5", "—", "free", "9"]), ColumnType("number", ("9",))).to_list()
    [2.5, None, None, None]
    """
    values = null_words(values, type.missing)
    if isinstance(values.dtype, (pl.Categorical, pl.Enum)):
        values = values.cast(pl.String)
    if isinstance(values.dtype, pl.String):
        values = values.str.strip_chars()
        if type.kind == "boolean":
            values = _as_truth(values)
    elif isinstance(values.dtype, pl.Duration):
        return values.dt.total_nanoseconds() / 1e9
    elif isinstance(values.dtype, pl.Time):
        return values.cast(pl.Int64) / 1e9
    elif not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        return pl.Series(values.name, [None], dtype=pl.Float64).new_from_index(0, len(values))
    floats = values.cast(pl.Float64, strict=False)
    return floats.set(~floats.is_finite().fill_null(True), None)


def unreadable(values: pl.Series, parsed: pl.Series, type: ColumnType) -> pl.Series:
    """True where `parsed` is null although the value is present and no word for a missing one."""
    values = null_words(values, type.missing)
    lost = parsed.is_null() & values.is_not_null()
    if values.dtype.is_float():
        return lost & values.is_finite()
    if isinstance(values.dtype, (pl.String, pl.Categorical, pl.Enum)) and lost.any():
        lost &= ~is_missing_word(values.cast(pl.String))
    return lost


def texts(values: pl.Series, type: ColumnType) -> pl.Series:
    """Return the unique text of each value, as in the vocabulary; null if missing.

    A value that doesn't fit the type keeps its text, which matches no value of the vocabulary.

    >>> texts(pl.Series([38.0, None, 1.5]), ColumnType("integer")).to_list()
    ['38', None, '1.5']
    >>> texts(pl.Series([38, 39]), ColumnType("number")).to_list()
    ['38.0', '39.0']
    >>> texts(pl.Series(["42", "042", "NA"]), ColumnType("integer")).to_list()
    ['42', '042', None]
    """
    values = null_words(values, type.missing)
    if isinstance(values.dtype, (pl.Categorical, pl.Enum)):
        values = values.cast(pl.String)
    if values.dtype.is_float() or values.dtype.is_decimal():
        values = _without_negative_zero(
            values.cast(pl.Float32 if values.dtype == pl.Float32 else pl.Float64).fill_nan(None)
        )
    read = _READ[type.kind](values, type)
    written = values.cast(pl.String) if not isinstance(values.dtype, pl.String) else values
    if isinstance(values.dtype, pl.String) and type.kind in ("integer", "number", "single"):
        written = null_usual_words(written)
    return written if read is None else read.zip_with(read.is_not_null(), written)


def _integer_texts(values: pl.Series, type: ColumnType) -> pl.Series | None:
    """Whole numbers without a point; ``.0`` is dropped, which a missing value adds to a column of whole numbers."""
    if isinstance(values.dtype, pl.String):
        return values.str.extract(r"^\s*(0|-?[1-9][0-9]*)(?:\.0+)?\s*$")
    if values.dtype.is_float():
        whole = values.cast(pl.Int64, strict=False)
        return whole.set((whole.cast(pl.Float64) != values.cast(pl.Float64)).fill_null(False), None).cast(pl.String)
    if values.dtype == pl.Boolean:
        return values.cast(pl.Int8).cast(pl.String)
    return None


def _number_texts(values: pl.Series, type: ColumnType) -> pl.Series | None:
    if not (isinstance(values.dtype, pl.String) or values.dtype.is_numeric()):
        return None
    floats = numbers(values, type)
    return _without_negative_zero(floats).cast(pl.Float32 if type.kind == "single" else pl.Float64).cast(pl.String)


def _boolean_texts(values: pl.Series, type: ColumnType) -> pl.Series | None:
    if isinstance(values.dtype, pl.String):
        values = _as_truth(values.str.strip_chars())
    elif values.dtype.is_numeric():
        numeric = values.cast(pl.Float64)
        values = (numeric == 1.0).set(~numeric.is_in([0.0, 1.0]).fill_null(False), None)
    if values.dtype != pl.Boolean:
        return None
    return values.replace_strict([False, True], list(type.truth), default=None, return_dtype=pl.String)


def _time_texts(values: pl.Series, type: ColumnType) -> pl.Series | None:
    """Datetimes as texts, equal for all units."""
    return values.dt.cast_time_unit("us").cast(pl.String) if isinstance(values.dtype, pl.Datetime) else None


_READ: dict[str, Callable[[pl.Series, ColumnType], pl.Series | None]] = {
    "integer": _integer_texts,
    "number": _number_texts,
    "single": _number_texts,
    "boolean": _boolean_texts,
    "time": _time_texts,
    "text": lambda values, type: None,
}


def _without_negative_zero(values: pl.Series) -> pl.Series:
    """Replace -0 by 0."""
    return values.set((values == 0.0).fill_null(False), 0.0)


def _as_truth(texts: pl.Series) -> pl.Series:
    return texts.str.to_lowercase().replace_strict(list(TRUTH[0]), [False, True], default=None, return_dtype=pl.Boolean)
