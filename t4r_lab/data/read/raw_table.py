"""A raw table: what every format is read into."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.data.read.delimited import Kinds
from t4r_lab.data.read.dialect import Dialect
from t4r_lab.data.read.values import settled


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
    origin: tuple[Table, NDArray[np.integer[Any]]] | None = None
    """the table whose rows became several of this one, and the row of each"""
    last: NDArray[np.bool_] | None = None
    """rows that alone are to be predicted, where a row of the file is a history with its target"""

    def line(self, row: int) -> str:
        """Row number `row`, from 0, as a person finds it."""
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


def of_texts(path: Path, frame: pl.DataFrame, kinds: Kinds, dialect: Dialect | None = None) -> Table:
    """Every field as text, and whole numbers where that loses nothing."""
    raw, notes = frozenset(frame.columns), (dialect.note,) if dialect and dialect.note else ()
    return Table(settled(frame, raw), kinds, str(path), raw, text=(path, dialect) if dialect else None, notes=notes)
