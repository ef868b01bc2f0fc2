"""Types of columns: inferred from the whole column, and saved with prepared data.

A text file has no types, so its columns are read as text. A column of plain whole numbers is converted at once, since
that loses nothing; every other column stays text until its role is known. Ids and declared categories stay text. The
type of a feature is inferred from all of its values (`infer_type`): numeric if every other value is a word for a
missing one, else text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeAlias, get_args

import polars as pl

from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError
from t4r_lab.data.read.values import TRUTH, ColumnType, Kind, is_missing_word, null_words

Odd: TypeAlias = "tuple[tuple[str, int], ...]"
"""Values that kept a column from being numeric, each with its number of rows, the most frequent first."""
ADORNED = r"^\s*[$€£¥]?\s?[+-]?\d{1,3}(?:[., '\u00a0]?\d{3})*(?:[.,]\d+)?\s?[%$€£¥]?\s*$"
"""Numbers in human notation: decimal commas, separators of thousands, a currency or a percent sign."""
NEARLY_ALL, SOME = 0.9, 0.1
"""Shares of numbers in a column: nearly all, so that the rest may be a mistake; and enough for a numeric type if all
other values are missing."""
SHOWN = 5
"""Number of values that a note lists."""
TYPES = "types.json"
"""File of the types, beside the tables of categories."""


# ── Inference ─────────────────────────────────────────────────────────────────────────────────────


def exact_integers(raw: pl.Series) -> pl.Series | None:
    """Return texts as int64, or None if any would change: leading zeros, a plus, a point, beyond 64 bits.

    >>> exact_integers(pl.Series(["7", "-12", None])).to_list(), exact_integers(pl.Series(["7", "007"]))
    ([7, -12, None], None)
    """
    for part in (raw.head(1000), raw):  # most other columns show it in their first rows
        integers = part.cast(pl.Int64, strict=False)
        if integers.null_count() > part.null_count() or part.str.contains(r"^(?:0.|\+|-0)").any():
            return None
    return integers if len(raw) > raw.null_count() else None


def settle_types(frame: pl.DataFrame, raw: Collection[str], missing: Collection[str] = ()) -> pl.DataFrame:
    """Return the frame with nulls for words in `missing`, and texts of columns in `raw` as whole numbers if exact."""
    frame = frame if not missing else frame.with_columns(null_words(s, missing) for s in frame.iter_columns())
    texts = [s for s in frame.iter_columns() if s.name in raw and isinstance(s.dtype, pl.String)]
    return frame.with_columns(s for s in map(exact_integers, texts) if s is not None)


def infer_type(raw: pl.Series, missing: Collection[str] = ()) -> tuple[ColumnType, Odd]:
    """Infer the type of a column of texts from all of them; return also the values that kept it from being numeric.

    Whole numbers are ``integer``, decimals or a mixture ``number``; all other values must be words for a missing one.
    Leading zeros and whole numbers beyond 64 bits are names and no quantities: such a column is text.

    >>> infer_type(pl.Series(["1", "2.5", "n/a"]))[0].kind, infer_type(pl.Series(["042", "7"]))[0].kind
    ('number', 'text')
    >>> infer_type(pl.Series(["1.5"] * 18 + ["free", "free"]))
    (ColumnType(kind='text', missing=(), truth=('false', 'true')), (('free', 2),))
    """
    missing_words, n_present = tuple(sorted(missing)), len(raw) - raw.null_count()
    text, finite = ColumnType("text", missing_words), _is_number(raw)
    plain, rest = raw, raw.filter(~finite).drop_nulls()
    if n_present - len(rest) < NEARLY_ALL * n_present and len(_non_numbers(rest.head(1000))):
        type = _boolean_or_text(raw, missing_words) if len(rest) == n_present else text
        return type, _counts(_non_numbers(rest)) if type.kind == "text" and _all_adorned(rest) else ()
    if len(rest):
        stripped = rest.str.strip_chars()
        plain, rest = raw.filter(finite).append(stripped.filter(_is_number(stripped))), _non_numbers(rest)
    if len(plain) - plain.null_count() < SOME * n_present or not n_present:
        return text, ()
    names = _counts(rest)
    if not names:
        if exact_integers(plain) is not None:
            return ColumnType("integer", missing_words), ()
        names = _counts(plain.filter(plain.str.contains(r"^[+-]?0\d")))
        if not names and not _any_decimal(plain):
            names = _counts(plain.filter(plain.cast(pl.Int64, strict=False).is_null()))
        if not names:
            return ColumnType("number", missing_words), ()
    numeric = n_present - sum(n for _, n in names)
    return text, names if numeric >= NEARLY_ALL * n_present else ()


def _is_number(texts: pl.Series) -> pl.Series:
    return texts.cast(pl.Float64, strict=False).is_finite().fill_null(False)


def _non_numbers(texts: pl.Series) -> pl.Series:
    """The texts that are neither numbers nor words for a missing value."""
    texts = texts.str.strip_chars()
    return texts.filter(~_is_number(texts) & ~is_missing_word(texts))


def _all_adorned(rest: pl.Series) -> bool:
    """True if all texts that aren't numbers are numbers in human notation."""
    return all(_non_numbers(part).str.contains(ADORNED).all() for part in (rest.head(1000), rest))


def _any_decimal(plain: pl.Series) -> bool:
    return any(part.str.contains(r"[.eE]").any() for part in (plain.head(1000), plain))


def _counts(values: pl.Series) -> Odd:
    """Count the rows of each value, the most frequent first."""
    counted = values.drop_nulls().alias("value").value_counts(name="rows")
    return tuple(counted.sort("rows", "value", descending=[True, False]).iter_rows())


def _boolean_or_text(raw: pl.Series, missing_words: tuple[str, ...]) -> ColumnType:
    if int(raw.str.len_bytes().max() or 0) <= max(map(len, TRUTH[0])):  # type: ignore[arg-type]
        values = set(raw.drop_nulls().unique().str.strip_chars().to_list())
        for words in TRUTH:
            if values and values <= set(words):
                return ColumnType("boolean", missing_words, words)
    return ColumnType("text", missing_words)


def type_of(values: pl.Series, missing: Collection[str] = ()) -> ColumnType:
    """Return the type of a column by its dtype alone: numbers are numbers, texts are texts."""
    dtype = values.dtype
    kind: Kind = "text"
    if dtype.is_integer():
        kind = "integer"
    elif dtype.is_float() or dtype.is_decimal():
        kind = "single" if dtype == pl.Float32 else "number"
    elif dtype == pl.Boolean:
        kind = "boolean"
    elif dtype.is_temporal():
        kind = "time"
    return ColumnType(kind, tuple(sorted(missing)))


def odd_words(odd: Odd) -> str:
    """Return the reason why a column of nearly nothing but numbers is text, and the remedy.

    >>> odd_words((("free", 12), ("ask", 1))).partition(";")[0]
    "nearly all values are numbers, but not 'free' (12), 'ask' (1)"
    """
    listed = ", ".join(f"{value[:40]!r} ({n:,})" for value, n in odd[:SHOWN])
    more = f" and {len(odd) - SHOWN:,} more" if len(odd) > SHOWN else ""
    if all(re.match(ADORNED, value) and not re.fullmatch(r"[+-]?\d+", value.strip()) for value, _ in odd[:SHOWN]):
        return f"as numbers can't be read {listed}{more}; write digits with a point alone, such as 1234.5"
    return (
        f"nearly all values are numbers, but not {listed}{more}; if they mean a missing value, name them with --missing"
    )


# ── Saved with prepared data ──────────────────────────────────────────────────────────────────────


def save_types(types: Mapping[str, ColumnType], folder: Path) -> None:
    """Write the type of each column, by raw name."""
    missing = sorted({word for type in types.values() for word in type.missing})
    columns = {name: types[name].kind for name in sorted(types)}  # the same data, the same digest
    truth = {name: type.truth for name, type in sorted(types.items()) if type.truth != TRUTH[0]}
    content = {"missing": missing, "columns": columns, "truth": truth}
    (folder / TYPES).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_types(folder: Path) -> dict[str, ColumnType]:
    """Read the types that `save_types` wrote into the folder.

    Raises
    ------
    InputError
        if the file is missing or damaged.
    """
    path = folder / TYPES
    try:
        content = read_json(path.read_text(encoding="utf-8"), str(path))
        missing = tuple(map(str, content["missing"]))
        kinds, truth = dict(content["columns"]), dict(content["truth"])
        if not set(kinds.values()) <= set(get_args(Kind)):
            raise ValueError
        return {name: ColumnType(kind, missing, tuple(truth.get(name, TRUTH[0]))) for name, kind in kinds.items()}
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(path, "cannot be read", "prepare the data again") from None
