"""Quotes in text files: they enclose fields, or are text where no field begins with one; other uses are refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import polars as pl

from t4r_lab.base.errors import InputError
from t4r_lab.data.read.compression import open_bytes, open_text
from t4r_lab.data.read.dialect import Dialect

BLOCK = 1 << 20
"""Bytes read at once."""


def has_quotes(path: Path, dialect: Dialect) -> bool:
    """True if fields may be quoted, and the file holds a quote at all."""
    if not dialect.plain or dialect.quote is None:
        return False
    quote = dialect.quote.encode()
    with open_bytes(path) as file:
        return any(quote in block for block in iter(lambda: file.read(BLOCK), b""))


def settle_quotes(path: Path, dialect: Dialect, lines: pl.Series) -> Dialect:
    """Return the dialect, without a quote character if no field of `lines` begins with one, as in ``5" pipe``.

    Raises
    ------
    InputError
        for a text in quotes that isn't closed, or holds a quote that isn't doubled, since readers differ on it.
    """
    quote, separator = re.escape(dialect.quote or ""), re.escape(dialect.separator)
    lines = lines.filter(lines.str.contains(quote).fill_null(False))
    if not lines.str.contains(f"(?:^|{separator}){quote}").any():
        return replace(dialect, quote=None)
    field = f"(?:{quote}(?:[^{quote}]|{quote}{quote})*{quote}|(?:[^{quote}{separator}][^{separator}]*)?)"
    if not lines.str.contains(f"^{field}(?:{separator}{field})*\r?$").all():  # or a text has several lines
        refuse_stray_quotes(path, dialect)
    return dialect


def refuse_stray_quotes(path: Path, dialect: Dialect, within_fields: bool = False) -> None:
    """Refuse the first line with a quote that ends no field, begins none and isn't doubled.

    Quotes in the midst of fields that don't begin with one are text, unless `within_fields`.
    """
    quote, separator = re.escape(dialect.quote or ""), re.escape(dialect.separator)
    inner = f"(?:[^{quote}]|{quote}{quote})*+"
    plain = f"[^{quote}{separator}]*+" if within_fields else f"(?:[^{quote}{separator}][^{separator}]*+)?"
    field = f"(?:{quote}{inner}{quote}|{plain})"
    fields, begun = f"(?:{separator}{field})*", f"(?P<begun>{separator}{quote}{inner})?"
    outside = re.compile(f"(?:{field}{fields}{begun}|(?P<first>{quote}{inner}))$")
    inside = re.compile(f"{inner}(?:{quote}{fields}{begun}|(?P<goes_on>))$")
    first = 0  # line on which the text in quotes began, 0 outside of one
    with open_text(path, newline="\n") as file:
        for number, line in enumerate(file, start=1):
            match = (inside if first else outside).match(line.rstrip("\r\n"))
            if match is None:
                raise _refusal(path, first or number)
            if match.lastgroup != "goes_on":
                first = number if match.lastgroup else 0
    if first:
        raise _refusal(path, first)


def _refusal(path: Path, line: int) -> InputError:
    return InputError(
        f"{path}, line {line}",
        "a quote stands within a text, or isn't closed",
        'enclose the text in quotes and write each one in it twice, such as "5"" pipe", or save the file as Parquet',
    )
