"""The raw table, into which every format is read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.base.errors import InputError
from t4r_lab.data.read.column_types import settle_types
from t4r_lab.data.read.delimited import Kinds
from t4r_lab.data.read.dialect import Dialect


@dataclass
class RawTable:
    """A raw table, the kinds named by its header, and the name of a row in messages.

    Columns named in `raw` come from text without types: they hold whole numbers if that loses nothing, else the texts
    as written, which may be numbers too (`values.infer_type`). All other columns have their types.
    """

    frame: pl.DataFrame
    kinds: Kinds = field(default_factory=dict)
    where: str = "events"
    raw: frozenset[str] = frozenset()
    text: tuple[Path, Dialect] | None = None
    """path and dialect, if the table is one text file"""
    pieces: Sequence[RawTable] = ()
    """tables of the files it was concatenated from"""
    notes: tuple[str, ...] = ()
    """notes on inferred reading options"""
    origin: tuple[RawTable, NDArray[np.integer]] | None = None
    """the table whose rows became several rows of this one, and the original row of each, (R,)"""
    last: NDArray[np.bool_] | None = None
    """(R,) True for the rows to predict, if a row of the file is a history with its target"""

    def line(self, row: int) -> str:
        """Name row number `row`, from 0, by file and line for the user."""
        if self.origin is not None:
            return self.origin[0].line(int(self.origin[1][row]))
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


def concatenate(tables: Sequence[RawTable]) -> RawTable:
    """Concatenate tables by the columns of the first; different types become numbers if all are numeric, else text.

    Whole numbers read from text become that text again, so that no id or category depends on another file.
    """
    raw = frozenset().union(*(t.raw for t in tables))
    schemas = [dict(t.frame.schema) for t in tables]
    unlike: set[str] = set()
    for name in schemas[0]:
        types = [schema[name] for schema in schemas if name in schema]
        nested = next((t for t in tables if name in t.frame.columns and t.frame[name].dtype.is_nested()), None)
        if nested is not None and not all(t.is_nested() for t in types):
            problem = f"column {name!r} holds {nested.frame[name].dtype}, and single values in the other files"
            raise InputError(nested.where, problem, "give files of one kind", [name])
        if any(t != types[0] for t in types) and not all(t.is_numeric() for t in types):
            unlike.add(name)
    aligned = [
        table.frame.select(
            pl.col(name).cast(pl.String) if name in unlike else name for name in schemas[0] if name in schema
        )
        for table, schema in zip(tables, schemas, strict=True)
    ]
    frame = settle_types(pl.concat(aligned, how="diagonal_relaxed"), raw & unlike)
    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    return RawTable(frame, tables[0].kinds, tables[0].where, raw, pieces=tables, notes=notes)


def null_missing(table: RawTable, words: Collection[str]) -> RawTable:
    """Return the table with nulls for `words` in every column."""
    return replace(table, frame=settle_types(table.frame, table.raw, words)) if words else table


def table_of_texts(path: Path, frame: pl.DataFrame, kinds: Kinds, dialect: Dialect | None = None) -> RawTable:
    """Return a table of texts, with whole numbers if that loses nothing."""
    raw, notes = frozenset(frame.columns), (dialect.note,) if dialect and dialect.note else ()
    return RawTable(
        settle_types(frame, raw), kinds, str(path), raw, text=(path, dialect) if dialect else None, notes=notes
    )
