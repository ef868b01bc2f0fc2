"""Raw tables of events: CSV, TSV, Parquet, RecBole's atomic files, one user a line."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.data.frames import Frame, read_parquet, to_polars
from t4r_lab.data.values import settled
from t4r_lab.documents import read_json
from t4r_lab.errors import InputError

Source: TypeAlias = "str | Path | Frame"
Kinds = dict[str, str]
ATOMIC = {"token": "categorical", "float": "continuous", "token_seq": "multi"}
"""Kinds of RecBole's header, ``name:type``; columns of ``float_seq`` are left out, but for histories."""
HISTORY = ("_list", "_seq", "_sequence", "_history")
"""Endings of a column that holds what came before the column of the same name without it."""


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
    text: tuple[Path, str, str | None] | None = None
    """path, separator and quote, where the table is one text file with a header"""
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
        number = next((line for line, _ in islice(_records(*self.text), row + 1, None)), row + 2)
        return f"{self.where}, line {number}"


def read_events(source: Source | Sequence[str | Path], layout: str = "auto") -> Table:
    """Events from a file, several files of one kind, or a frame.

    Parameters
    ----------
    layout: ``auto``, ``table`` or ``lines`` (a user and its items a line).

    Raises
    ------
    InputError
        for a missing, empty or unreadable file, naming the line where one can be named.
    """
    if isinstance(source, (str, Path)):
        return read_file(Path(source), layout)
    if isinstance(source, Sequence):
        tables = [read_file(Path(path), layout) for path in source]
        if not tables:
            raise InputError("events: no file is given; name at least one")
        for table in tables[1:]:
            if set(table.frame.columns) != set(tables[0].frame.columns):
                raise InputError(
                    f"{table.where}: its columns are not those of {tables[0].where}; give files of one kind"
                )
        return tables[0] if len(tables) == 1 else stacked(tables)
    try:
        frame = to_polars(source)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise InputError(f"events: {_first_line(error)}; give files, or a pandas or polars frame") from None
    if frame.is_empty():
        raise InputError("events: the data frame is empty; give at least two sessions")
    return Table(frame)


def stacked(tables: Sequence[Table]) -> Table:
    """Tables on top of each other by the columns of the first; unlike types meet as numbers, else as text.

    A whole number read from text is that text again, so that no id or category depends on what another file holds.
    """
    first, *rest = (t.frame for t in tables)
    raw = frozenset().union(*(t.raw for t in tables))
    casts: dict[str, pl.DataType] = {}
    for name in first.columns:
        types = [f.schema[name] for f in (first, *rest) if name in f.columns]
        if any(t != types[0] for t in types) and not all(t.is_numeric() for t in types):
            casts[name] = pl.String()
    aligned = [f.select([c for c in first.columns if c in f.columns]).cast(
        {n: t for n, t in casts.items() if n in f.columns}) for f in (first, *rest)]  # fmt: skip
    frame = settled(pl.concat(aligned, how="diagonal_relaxed"), raw & casts.keys())
    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    return Table(frame, tables[0].kinds, tables[0].where, raw, pieces=tables, notes=notes)


def without_missing(table: Table, words: Collection[str]) -> Table:
    """The table with nothing where one of `words` stands, in any column."""
    return replace(table, frame=settled(table.frame, table.raw, words)) if words else table


def read_table(path: str | Path) -> pl.DataFrame:
    """A table of new sessions."""
    return read_file(Path(path)).frame


def read_file(path: Path, layout: str = "auto") -> Table:
    """One file by its ending and its first lines."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the files in it")
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty; give a file with events")
        if path.suffix == ".parquet":
            return _parquet(path)
        if path.suffix == ".json":
            return _attributes(path)
        head = _head(path)
        if layout == "lines" or (layout == "auto" and _is_lines(head)):
            return _lines(path)
        return _delimited(path, head)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or _first_line(error)}); check the file") from None


def write_table(frame: object, path: str | Path) -> None:
    """Write a pandas frame as CSV, TSV or Parquet by the ending; with None only check that it could be."""
    path = Path(path)
    if path.suffix not in (".csv", ".tsv", ".parquet"):
        raise InputError(f"{path}: unknown ending {path.suffix!r}; use .csv, .tsv or .parquet")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")
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
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None
    finally:
        temporary.unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


# ── Parquet, text ───────────────────────────────────────────────────────────────────────────────


def _parquet(path: Path) -> Table:
    try:
        frame = read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: not a Parquet file ({_first_line(error)}); write it again") from None
    if frame.is_empty():
        raise InputError(f"{path}: the file has no rows; give a file with events")
    return Table(frame, where=str(path))


def _head(path: Path) -> list[str]:
    """The first lines that aren't blank. A cut inside a character is no error: the whole file is read later."""
    with path.open("rb") as file:
        start = file.read(1 << 20)
    if b"\0" in start:
        raise InputError(f"{path}: not a text file; give CSV, TSV, Parquet or RecBole's atomic files")
    text = start.decode("utf-8-sig", errors="replace")
    lines = [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
    if not lines:
        raise InputError(f"{path}: the file is empty; give a file with events")
    return lines[:50]


def _is_lines(head: list[str]) -> bool:
    """Numbers with spaces between, not the same count on every line: a user and its items."""
    if any(c in line for line in head for c in "\t,;"):
        return False
    counts = [len(line.split()) for line in head if line.strip()]
    digits = all(token.lstrip("-").isdigit() for line in head for token in line.split())
    return digits and len(counts) > 1 and max(counts) > 2 and len(set(counts)) > 1


def _delimited(path: Path, head: list[str]) -> Table:
    """Every field as text, and whole numbers where that loses nothing."""
    separator = max("\t,;|", key=head[0].count) if any(c in head[0] for c in "\t,;|") else ","
    quote = None if path.suffix in (".inter", ".item", ".user") else '"'
    header, blank = _header(path, separator, quote)
    atomic = quote is None or all(re.fullmatch(r"[^:]+:(token|float)(_seq)?", name) for name in header)
    names = [name.partition(":")[0] for name in header] if atomic else header
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"{path}: two columns are named {twice!r}; rename one")
    try:
        frame = pl.read_csv(
            path, separator=separator, quote_char=quote, infer_schema=False, null_values=[""], skip_lines=blank,
            glob=False,
        )  # fmt: skip
    except pl.exceptions.NoDataError:
        raise InputError(f"{path}: the file is empty; give a file with events") from None
    except pl.exceptions.PolarsError as error:
        raise _explain(path, separator, header, quote, error) from None
    frame = _without_blanks(frame)
    if frame.is_empty():
        raise InputError(f"{path}: the file has a header but no rows; give a file with events")
    frame.columns = names
    kinds: Kinds = {}
    if atomic:
        types = {name.partition(":")[0]: name.partition(":")[2] for name in header}
        histories = {name + ending for name in names for ending in HISTORY}
        frame = frame.drop([n for n, t in types.items() if t == "float_seq" and n not in histories])
        numbers = [n for n, t in types.items() if t == "float_seq" and n in histories]
        frame = frame.with_columns(pl.col(numbers).str.split(" ").cast(pl.List(pl.Float64)))
        kinds = {n: ATOMIC[t] for n, t in types.items() if t in ATOMIC}
        frame = frame.with_columns(pl.col(n).str.split(" ") for n, k in kinds.items() if k == "multi")
    raw = frozenset(frame.columns)
    return Table(settled(frame, raw), kinds, str(path), raw, (path, separator, quote))


def _header(path: Path, separator: str, quote: str | None) -> tuple[list[str], int]:
    """Names of the columns, and the number of blank lines above them."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        blank = 0
        while not (line := file.readline()).strip():
            blank += 1
        quoting: Any = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
        try:
            return next(csv.reader(chain([line], file), delimiter=separator, quoting=quoting)), blank
        except csv.Error as error:
            raise InputError(f"{path}, line {blank + 1}: is no header ({error}); mend that line") from None


def _without_blanks(frame: pl.DataFrame) -> pl.DataFrame:
    """Without empty lines, which are rows of nulls."""
    if not frame[:, 0].null_count():
        return frame
    return frame.filter(~pl.all_horizontal(pl.all().is_null()))


def _records(path: Path, separator: str, quote: str | None) -> Iterator[tuple[int, list[str]]]:
    """Header and records with the number of their first line, without blank ones."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        quoting: Any = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
        reader, line = csv.reader(file, delimiter=separator, quoting=quoting), 1
        for row in reader:
            if any(row):
                yield line, row
            line = reader.line_num + 1


def _explain(path: Path, separator: str, header: list[str], quote: str | None, error: Exception) -> InputError:
    """Where the file stops being a table, found by reading it plainly."""
    with path.open("rb") as raw:
        for number, content in enumerate(raw, start=1):
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                return InputError(f"{path}, line {number}: not UTF-8; save the file as UTF-8, or as Parquet")
    problem: object = _first_line(error)
    try:
        for line, row in _records(path, separator, quote):
            if len(row) > len(header):
                return InputError(
                    f"{path}, line {line}: {len(row)} fields where the header has {len(header)}; mend that line"
                )
    except csv.Error as found:
        problem = found
    return InputError(f"{path}: cannot be read as a table ({problem}); mend it or save it as Parquet")


# ── One user a line, attributes ─────────────────────────────────────────────────────────────────


def _lines(path: Path) -> Table:
    """``user item item …`` a line, in time order: one row per event, without a time."""
    try:
        lines = pl.read_csv(
            path, separator="\x01", has_header=False, new_columns=["line"], quote_char=None, infer_schema=False,
            glob=False,
        )  # fmt: skip
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: cannot be read as lines ({_first_line(error)}); save it as UTF-8") from None
    tokens = lines.select(pl.col("line").str.extract_all(r"\S+")).with_row_index().drop_nulls()
    tokens = tokens.filter(pl.col("line").list.len() > 0)
    bad = tokens.filter(pl.col("line").list.len() < 2)
    if len(bad):
        raise InputError(f"{path}, line {bad['index'][0] + 1}: a user without items; mend that line")
    events = tokens.select(
        pl.col("line").list.first().alias("user_id"), pl.col("line").list.slice(1).alias("item_id")
    ).explode("item_id")
    kinds = {"user_id": "categorical", "item_id": "categorical"}
    return Table(settled(events, kinds), kinds, str(path), frozenset(kinds))


def _attributes(path: Path) -> Table:
    """JSON of item → list of attribute values."""
    try:
        content = read_json(path.read_text(encoding="utf-8"), str(path))
        rows = [(str(item), [str(v) for v in values]) for item, values in content.items()]
        if any(isinstance(values, str) for values in content.values()):
            raise TypeError
    except InputError:
        raise
    except (ValueError, AttributeError, TypeError):
        raise InputError(f"{path}: expected JSON of item → list of attributes; see docs/data.md") from None
    frame = pl.DataFrame(rows, schema={"item_id": pl.String, "attributes": pl.List(pl.String)}, orient="row")
    return Table(frame, {"attributes": "multi"}, str(path))
