"""Text files of records: fields between separators, RecBole's atomic files, one user per line. Fields stay texts."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from itertools import islice
from pathlib import Path

import polars as pl

from t4r_lab.base.errors import InputError, first_line
from t4r_lab.data.read.compression import open_bytes, polars_source
from t4r_lab.data.read.dialect import SPACES, Dialect, recognize
from t4r_lab.data.read.frames import REFUSALS
from t4r_lab.data.read.quotes import has_quotes, refuse_stray_quotes, settle_quotes

Kinds = dict[str, str]
ATOMIC = {"token": "categorical", "float": "continuous", "token_seq": "multi"}
"""Kinds by type in RecBole's header, ``name:type``; columns of ``float_seq`` are left out, except histories."""
HISTORY = ("_list", "_seq", "_sequence", "_history")
"""Endings of the names of history columns: ``X_list`` is the history of column X."""
LINE = "line"


def read_delimited(
    path: Path, head: list[str], columns: list[str], separator: str | None
) -> tuple[pl.DataFrame, Kinds, Dialect]:
    """Return the records as texts (null for empty fields), the kinds named by the header, and the dialect.

    Raises
    ------
    InputError
        naming the line that is no record, or the option that is missing to name the columns.
    """
    dialect = recognize(path, head, columns, separator)
    line, header = next(dialect.records(path), (0, []))
    if not header:
        raise InputError(path, "the first line has no names", "write them above, or give them with --columns")
    atomic = dialect.names is None and _is_atomic(header, dialect)
    names = [name.partition(":")[0] for name in header] if atomic else _fill_names(dialect.names or header)
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if any("\ufffd" in name for name in names) and (broken := not_utf8(path)) is not None:
        raise InputError(f"{path}, line {broken}", "not UTF-8", "save the file as UTF-8, or as Parquet")
    if twice is not None:
        raise InputError(path, f"two columns are named {twice!r}", "rename one")
    above = line - 1 + dialect.header
    try:
        if has_quotes(path, dialect):
            dialect = settle_quotes(path, dialect, read_lines(path)[LINE])
        frame = _read_quoted(path, dialect, names, above) if dialect.plain else _read_split(path, dialect, names, above)
    except pl.exceptions.NoDataError:
        raise InputError(path, "the file has a header but no rows", "give a file with events") from None
    except REFUSALS as error:
        raise _explain(path, dialect, len(names), error) from None
    if frame[:, 0].null_count():  # blank lines
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    if (count_and_line := _short_records(path, dialect, frame, above)) is not None:
        count, first = count_and_line
        words = "line has" if count == 1 else f"{count:,} lines have"
        short = f"{words} fewer fields than {len(names)}, the first is line {first}: what they lack counts as missing"
        dialect = replace(dialect, note="; ".join(filter(None, [dialect.note, short])))
    if frame.is_empty():
        raise InputError(path, "the file has a header but no rows", "give a file with events")
    _refuse_joined(path, dialect, frame)
    return (*_by_header(frame, header), dialect) if atomic else (frame, {}, dialect)


def _refuse_joined(path: Path, dialect: Dialect, frame: pl.DataFrame) -> None:
    """Refuse files joined to one, of which the later ones brought their header, with its byte order mark or without."""
    header = frame[:, 0].str.strip_prefix("\ufeff") == frame.columns[0]
    if header.any():
        rest = [pl.col(name) == name for name in frame.columns[1:]]
        header &= frame.select(pl.all_horizontal(pl.lit(True), *rest)).to_series()
    if header.any():
        row = int(header.arg_max() or 0)
        line = next(islice(dialect.records(path), row + dialect.header, None))[0]
        problem = "the header again, as if files were joined"
        raise InputError(f"{path}, line {line}", problem, "remove it, or give the files apart")


def _short_records(path: Path, dialect: Dialect, frame: pl.DataFrame, above: int) -> tuple[int, int] | None:
    """Number of lines with too few fields, and the first such line; None if there are none.

    Lines with quotes aren't looked at, as their separators may be part of a text, nor records of several lines.
    """
    if not frame[:, -1].null_count() or dialect.separator == SPACES:
        return None
    lines = read_lines(path, above)[LINE]
    if len(lines) - lines.null_count() != len(frame):
        return None
    short = lines.str.count_matches(dialect.separator, literal=True) < frame.width - 1
    if dialect.quote:
        short &= ~lines.str.contains(dialect.quote, literal=True)
    short = short.fill_null(False)  # blank lines
    return (int(short.sum()), above + int(short.arg_max() or 0) + 1) if short.any() else None


def _read_quoted(path: Path, dialect: Dialect, names: list[str], above: int) -> pl.DataFrame:
    frame = pl.read_csv(
        polars_source(path),
        separator=dialect.separator,
        quote_char=dialect.quote,
        infer_schema=False,
        null_values=[""],
        skip_lines=above - dialect.header,
        has_header=dialect.header,
        glob=False,
    )
    if len(frame.columns) != len(names):
        raise pl.exceptions.ComputeError(f"{len(frame.columns)} columns")
    frame.columns = names
    return frame


def _read_split(path: Path, dialect: Dialect, names: list[str], above: int) -> pl.DataFrame:
    """Read records with separators of several characters, and without quotes."""
    lines = read_lines(path, above)[LINE]
    fields = lines.str.extract_all(r"\S+") if dialect.separator == SPACES else lines.str.split(dialect.separator)
    if (fields.list.len() > len(names)).any():
        raise pl.exceptions.ComputeError("more fields than columns")
    return fields.to_frame(LINE).select(
        pl.col(LINE).list.get(i, null_on_oob=True).replace("", None).alias(name) for i, name in enumerate(names)
    )


def read_lines(source: Path | BytesIO, skip: int = 0) -> pl.DataFrame:
    """Read every line as one text, null if blank."""
    return pl.read_csv(
        polars_source(source) if isinstance(source, Path) else source,
        separator="\0",  # which no text holds
        has_header=False,
        new_columns=[LINE],
        quote_char=None,
        infer_schema=False,
        skip_lines=skip,
        glob=False,
    )


def _fill_names(names: Sequence[str]) -> list[str]:
    """The names, with one made for a column without any, such as the index that pandas writes."""
    return [name or f"column {number}" for number, name in enumerate(names, start=1)]


def _is_atomic(header: list[str], dialect: Dialect) -> bool:
    return dialect.quote is None or all(re.fullmatch(r"[^:]+:(token|float)(_seq)?", name) for name in header)


def _by_header(frame: pl.DataFrame, header: list[str]) -> tuple[pl.DataFrame, Kinds]:
    """Columns of an atomic file with the types of its header."""
    types = {name.partition(":")[0]: name.partition(":")[2] for name in header}
    histories = {name + ending for name in types for ending in HISTORY}
    numbers = [n for n, t in types.items() if t == "float_seq"]
    frame = frame.drop([n for n in numbers if n not in histories])
    kinds = {n: ATOMIC[t] for n, t in types.items() if t in ATOMIC}
    lists = [n for n, kind in kinds.items() if kind == "multi"]
    frame = frame.with_columns(
        pl.col(lists).str.split(" "),
        pl.col([n for n in numbers if n in histories]).str.split(" ").cast(pl.List(pl.Float64), strict=False),
    )
    return frame, kinds


def _explain(path: Path, dialect: Dialect, width: int, error: BaseException) -> InputError:
    """The refusal of a file that is no table, naming the first such line if a plain reader finds it."""
    if (line := not_utf8(path)) is not None:
        return InputError(f"{path}, line {line}", "not UTF-8", "save the file as UTF-8, or as Parquet")
    with open_bytes(path) as raw:
        if b"\r" in raw.readline().rstrip(b"\r\n"):
            return InputError(
                path, "its lines end in carriage returns alone", "save it with line ends of Unix or Windows"
            )
    problem: object = first_line(error)
    where = "names are given" if dialect.names is not None else "the header has"
    try:
        for line, row in dialect.records(path):
            if len(row) > width:
                expected = f"{where} {width}" if dialect.names is None else f"{width} {where}"
                return InputError(f"{path}, line {line}", f"{len(row)} fields where {expected}", "fix that line")
    except csv.Error as csv_error:
        problem = csv_error
    if dialect.quote is not None and dialect.plain:
        try:
            refuse_stray_quotes(path, dialect, within_fields=True)
        except InputError as refusal:
            return refusal
    return InputError(path, f"cannot be read as a table ({problem})", "fix it or save it as Parquet")


def not_utf8(path: Path) -> int | None:
    """Return the number of the first line that isn't UTF-8, from 1, or None."""
    with open_bytes(path) as raw:
        for number, content in enumerate(raw, start=1):
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return None


# ── One user per line────────────────────────────────────────────────────────────────────────────


def is_user_a_line(head: list[str]) -> bool:
    """True for lines of numbers between spaces, of different counts: a user and its items."""
    if any(c in line for line in head for c in "\t,;"):
        return False
    counts = [len(line.split()) for line in head if line.strip()]
    digits = all(token.lstrip("-").isdigit() for line in head for token in line.split())
    return digits and len(counts) > 1 and max(counts) > 2 and len(set(counts)) > 1


def read_user_a_line(path: Path) -> pl.DataFrame:
    """Read lines ``user item item …`` in time order as a row per event, without times."""
    try:
        lines = read_lines(path)
    except REFUSALS as error:
        if (line := not_utf8(path)) is not None:
            raise InputError(f"{path}, line {line}", "not UTF-8", "save the file as UTF-8") from None
        raise InputError(path, f"cannot be read as lines ({first_line(error)})", "save it as UTF-8") from None
    tokens = lines.select(pl.col(LINE).str.extract_all(r"\S+")).with_row_index().drop_nulls()
    tokens = tokens.filter(pl.col(LINE).list.len() > 0)
    bad = tokens.filter(pl.col(LINE).list.len() < 2)
    if len(bad):
        raise InputError(f"{path}, line {bad['index'][0] + 1}", "a user without items", "fix that line")
    return tokens.select(
        pl.col(LINE).list.first().alias("user_id"), pl.col(LINE).list.slice(1).alias("item_id")
    ).explode("item_id")
