"""Raw tables of events, of files of every form and of data frames."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError
from t4r_lab.data.read.compression import damaged, is_parquet, opened
from t4r_lab.data.read.delimited import Kinds, is_user_a_line, read_delimited, read_user_a_line
from t4r_lab.data.read.dialect import Dialect
from t4r_lab.data.read.frames import Frame, read_parquet, refusing, spread, to_polars
from t4r_lab.data.read.json_lines import is_json, is_objects, read_objects
from t4r_lab.data.read.values import settled
from t4r_lab.spec.preparation import PrepareOptions

Source: TypeAlias = "str | Path | Frame"
PLAIN = PrepareOptions()
HEAD = 1 << 20
"""Bytes by which a text file is recognized."""


@dataclass
class Table:
    """A raw table, the kinds that its header names, and what a row is called in messages.

    Columns named in `raw` come from a text that says nothing of types: they hold whole numbers where nothing is lost
    by that, else the texts as written, which may be numbers too (`values.decide`). All others have their types.
    """

    frame: pl.DataFrame
    kinds: Kinds = field(default_factory=dict)
    where: str = "events"
    raw: frozenset[str] = frozenset()
    text: tuple[Path, Dialect] | None = None
    """path and dialect, where the table is one text file"""
    pieces: Sequence[Table] = ()
    """the files it was put together from"""
    notes: tuple[str, ...] = ()
    """how it was read, where that was recognized and not asked for"""
    came: tuple[Table, NDArray[np.integer[Any]]] | None = None
    """the table whose rows became several of this one, and the row of each"""
    last: NDArray[np.bool_] | None = None
    """rows that alone are to be predicted, where a row of the file is a history with its target"""

    def line(self, row: int) -> str:
        """Row number `row`, from 0, as a person finds it."""
        if self.came is not None:
            return self.came[0].line(int(self.came[1][row]))
        for piece in self.pieces:
            if row < len(piece.frame):
                return piece.line(row)
            row -= len(piece.frame)
        if self.text is None:
            return f"{self.where}, row {row}"
        path, dialect = self.text
        row += dialect.header
        number = next((line for line, _ in islice(dialect.records(path), row, None)), row + 1)
        return f"{self.where}, line {number}"


def read_events(source: Source | Sequence[str | Path], how: PrepareOptions = PLAIN) -> Table:
    """Events from a file, several files of one kind, or a frame.

    Parameters
    ----------
    how: how a file is taken apart (`READING`).

    Raises
    ------
    InputError
        for a missing, empty or unreadable file, naming the line where one can be named.
    """
    if isinstance(source, (str, Path)):
        return read_file(Path(source), how)
    if isinstance(source, Sequence):
        tables = [read_file(Path(path), how) for path in source]
        if not tables:
            raise InputError("events", "no file is given", "name at least one")
        for table in tables[1:]:
            if set(table.frame.columns) != set(tables[0].frame.columns):
                raise InputError(
                    table.where, f"its columns are not those of {tables[0].where}", "give files of one kind"
                )
        return tables[0] if len(tables) == 1 else stacked(tables)
    frame = to_polars(source, "events")
    if frame.is_empty():
        raise InputError("events", "the data frame is empty", "give at least two sessions")
    return Table(frame)


def stacked(tables: Sequence[Table]) -> Table:
    """Tables on top of each other by the columns of the first; unlike types meet as numbers, else as text.

    A whole number read from text is that text again, so that no id or category depends on what another file holds.
    """
    raw = frozenset().union(*(t.raw for t in tables))
    schemas = [dict(t.frame.schema) for t in tables]
    unlike: set[str] = set()
    for name in schemas[0]:
        types = [schema[name] for schema in schemas if name in schema]
        if any(t != types[0] for t in types) and not all(t.is_numeric() for t in types):
            unlike.add(name)
    aligned = [
        table.frame.select(
            pl.col(name).cast(pl.String) if name in unlike else name for name in schemas[0] if name in schema
        )
        for table, schema in zip(tables, schemas, strict=True)
    ]
    frame = settled(pl.concat(aligned, how="diagonal_relaxed"), raw & unlike)
    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    return Table(frame, tables[0].kinds, tables[0].where, raw, pieces=tables, notes=notes)


def without_missing(table: Table, words: Collection[str]) -> Table:
    """The table with nothing where one of `words` stands, in any column."""
    return replace(table, frame=settled(table.frame, table.raw, words)) if words else table


def read_table(path: str | Path) -> pl.DataFrame:
    """A file of new sessions with names above its columns, for `Vocabulary.encode`; `Vocabulary.read` takes any."""
    return read_file(Path(path)).frame


def read_file(path: Path, how: PrepareOptions = PLAIN) -> Table:
    """One file by its first bytes and lines."""
    try:
        if path.is_dir():
            raise InputError(path, "is a folder", "name the files in it")
        if not path.is_file():
            raise InputError(path, "no such file", "check the path")
        if path.stat().st_size == 0:
            raise InputError(path, "the file is empty", "give a file with events")
        if is_parquet(path):
            _check_unnamed(path, "Parquet", how)
            return _parquet(path)
        head = _head(path)
        if is_json(path, head):
            _check_unnamed(path, "JSON", how)
            return _json(path, head)
        named = bool(how.columns or how.separator)
        if how.layout == "lines" or (how.layout == "auto" and is_user_a_line(head) and not named):
            _check_unnamed(path, "a file with a user and its items a line", how)
            return _lines(path)
        return _delimited(path, head, how)
    except OSError as error:
        raise damaged(path, error) from None


def _check_unnamed(path: Path, what: str, how: PrepareOptions) -> None:
    for option in ("columns", "separator"):
        if getattr(how, option):
            raise InputError(path, f"is {what}, which tells its columns by itself", f"leave out --{option}")


def write_table(frame: object, path: str | Path) -> None:
    """Write a pandas frame as CSV, TSV or Parquet by the ending; with None only check that it could be."""
    path = Path(path)
    if path.suffix not in (".csv", ".tsv", ".parquet"):
        raise InputError(path, f"unknown ending {path.suffix!r}", "use .csv, .tsv or .parquet")
    if not path.absolute().parent.is_dir():
        raise InputError(path, f"the folder {path.parent} does not exist", "make it first")
    if frame is None:
        return
    temporary = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == ".parquet":
            pl.from_pandas(frame).write_parquet(temporary)
        else:
            pl.from_pandas(frame).write_csv(temporary, separator="\t" if path.suffix == ".tsv" else ",")
        temporary.replace(path)
    except OSError as error:
        raise InputError(path, f"cannot be written ({error.strerror})", "choose another --out") from None
    finally:
        temporary.unlink(missing_ok=True)


# ── Parquet, text ───────────────────────────────────────────────────────────────────────────────


def _parquet(path: Path) -> Table:
    with refusing(f"{path}: not a Parquet file that can be read", "write it again"):
        frame = read_parquet(path)
    if frame.is_empty():
        raise InputError(path, "the file has no rows", "give a file with events")
    return Table(spread(frame), where=str(path))


def _head(path: Path) -> list[str]:
    """The first lines that aren't blank. A cut inside a character is no error: the whole file is read later."""
    with opened(path) as file:
        start = file.read(HEAD)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(path, "is text in UTF-16", "save it as UTF-8")
    if b"\0" in start:
        raise InputError(path, "not a text file", "give CSV, TSV, JSON lines, Parquet or RecBole's atomic files")
    lines = start.decode("utf-8-sig", errors="replace").split("\n")
    if len(start) == HEAD and len(lines) > 1:
        del lines[-1]  # cut off
    lines = [line.removesuffix("\r") for line in lines if line.strip()]
    if not lines:
        raise InputError(path, "the file is empty", "give a file with events")
    return lines[:50]


def _delimited(path: Path, head: list[str], how: PrepareOptions) -> Table:
    frame, kinds, dialect = read_delimited(path, head, how.columns, how.separator)
    return _of_texts(path, frame, kinds, dialect)


def _lines(path: Path) -> Table:
    frame = read_user_a_line(path)
    return _of_texts(path, frame, dict.fromkeys(frame.columns, "categorical"))


def _of_texts(path: Path, frame: pl.DataFrame, kinds: Kinds, dialect: Dialect | None = None) -> Table:
    """Every field as text, and whole numbers where that loses nothing."""
    raw, notes = frozenset(frame.columns), (dialect.note,) if dialect and dialect.note else ()
    return Table(settled(frame, raw), kinds, str(path), raw, text=(path, dialect) if dialect else None, notes=notes)


def _json(path: Path, head: list[str]) -> Table:
    """Objects, an event or a session each; else item → list of attribute values."""
    if is_objects(path, head):
        return Table(spread(read_objects(path, head)), where=str(path))
    try:
        with opened(path) as file:
            content = read_json(file.read().decode("utf-8-sig"), str(path))
        rows = [(str(item), [str(v) for v in values]) for item, values in content.items()]
        if any(isinstance(values, str) for values in content.values()):
            raise TypeError
    except InputError:
        raise
    except (ValueError, AttributeError, TypeError):
        raise InputError(
            path,
            "is JSON of neither an object a line nor item → list of attributes",
            'write an object a line, such as {"session_id": 1, "item_id": 7, "timestamp": 1700000000}',
        ) from None
    frame = pl.DataFrame(rows, schema={"item_id": pl.String, "attributes": pl.List(pl.String)}, orient="row")
    return Table(frame, {"attributes": "multi"}, str(path))
