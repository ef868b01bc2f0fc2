"""Raw tables of events: CSV, TSV, Parquet, RecBole's atomic files, one user a line."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from t4r_lab.data.frames import Frame, to_polars
from t4r_lab.documents import read_json
from t4r_lab.errors import InputError

Source: TypeAlias = "str | Path | Frame"
Kinds = dict[str, str]
ATOMIC = {"token": "categorical", "float": "continuous", "token_seq": "multi"}
"""Kinds of RecBole's header, ``name:type``; columns of ``float_seq`` are left out, but for histories."""
HISTORY = ("_list", "_seq", "_sequence", "_history")
"""Endings of a column that holds what came before the column of the same name without it."""
INFERRED_ROWS = 10_000
"""Rows by which the types of a text file's columns are told."""


@dataclass
class Table:
    """A raw table, the kinds that its header names, and what a row is called in messages."""

    frame: pl.DataFrame
    kinds: Kinds = field(default_factory=dict)
    where: str = "events"
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


def read_events(source: Source | Sequence[str | Path], layout: str = "auto", texts: Collection[str] = ()) -> Table:
    """Events from a file, several files of one kind, or a frame.

    Parameters
    ----------
    layout: ``auto``, ``table`` or ``lines`` (a user and its items a line).
    texts: columns of ids and categories: where some values are whole numbers and others aren't, all are text.

    Raises
    ------
    InputError
        for a missing, empty or unreadable file, naming the line where one can be named.
    """
    if isinstance(source, (str, Path)):
        return read_file(Path(source), layout, texts)
    if isinstance(source, Sequence):
        tables = [read_file(Path(path), layout, texts) for path in source]
        if not tables:
            raise InputError("events: no file is given; name at least one")
        for table in tables[1:]:
            if set(table.frame.columns) != set(tables[0].frame.columns):
                raise InputError(
                    f"{table.where}: its columns are not those of {tables[0].where}; give files of one kind"
                )
        if len(tables) == 1:
            return tables[0]
        return Table(stack([t.frame for t in tables]), tables[0].kinds, tables[0].where, pieces=tables)
    try:
        frame = to_polars(source)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise InputError(f"events: {_first_line(error)}; give files, or a pandas or polars frame") from None
    if frame.is_empty():
        raise InputError("events: the data frame is empty; give at least two sessions")
    return Table(frame)


def stack(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Frames on top of each other by the columns of the first; unlike types meet as numbers, else as text."""
    first, *rest = frames
    casts: dict[str, pl.DataType] = {}
    for name in first.columns:
        types = [f.schema[name] for f in frames if name in f.columns]
        if any(t != types[0] for t in types) and not all(t.is_numeric() for t in types):
            casts[name] = pl.String()
    aligned = [f.select([c for c in first.columns if c in f.columns]).cast(
        {n: t for n, t in casts.items() if n in f.columns}) for f in (first, *rest)]  # fmt: skip
    return pl.concat(aligned, how="diagonal_relaxed")


def read_table(path: str | Path) -> pl.DataFrame:
    """A table of new sessions."""
    return read_file(Path(path)).frame


def read_file(path: Path, layout: str = "auto", texts: Collection[str] = ()) -> Table:
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
        return _delimited(path, head, texts)
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
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: not a Parquet file ({_first_line(error)}); write it again") from None
    if frame.is_empty():
        raise InputError(f"{path}: the file has no rows; give a file with events")
    return Table(frame, where=str(path))


def _head(path: Path) -> list[str]:
    """The first lines. A cut inside a character is no error: the whole file is read later."""
    with path.open("rb") as file:
        start = file.read(1 << 20)
    if b"\0" in start:
        raise InputError(f"{path}: not a text file; give CSV, TSV, Parquet or RecBole's atomic files")
    lines = start.decode("utf-8-sig", errors="replace").splitlines()[:50]
    if not any(line.strip() for line in lines):
        raise InputError(f"{path}: the file is empty; give a file with events")
    return lines


def _is_lines(head: list[str]) -> bool:
    """Numbers with spaces between, not the same count on every line: a user and its items."""
    if any(c in line for line in head for c in "\t,;"):
        return False
    counts = [len(line.split()) for line in head if line.strip()]
    digits = all(token.lstrip("-").isdigit() for line in head for token in line.split())
    return digits and len(counts) > 1 and max(counts) > 2 and len(set(counts)) > 1


def _delimited(path: Path, head: list[str], texts: Collection[str]) -> Table:
    separator = max("\t,;|", key=head[0].count) if any(c in head[0] for c in "\t,;|") else ","
    quote = None if path.suffix in (".inter", ".item", ".user") else '"'
    header = next(csv.reader([head[0]], delimiter=separator, quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE))
    atomic = quote is None or all(re.fullmatch(r"[^:]+:(token|float)(_seq)?", name) for name in header)
    names = [name.partition(":")[0] for name in header] if atomic else header
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: two columns are named {twice!r}; rename one")
    as_text = _leading_zeros(header, head, separator)
    for _ in range(len(header) + 1):
        try:
            frame = pl.read_csv(
                path, separator=separator, infer_schema_length=INFERRED_ROWS, quote_char=quote,
                schema_overrides=dict.fromkeys(as_text, pl.String),
            )  # fmt: skip
            break
        except pl.exceptions.NoDataError:
            raise InputError(f"{path}: the file is empty; give a file with events") from None
        except pl.exceptions.PolarsError as error:
            column, refusal = _explain(path, separator, header, quote, error, as_text)
            if column is None or names[header.index(column)] not in texts:
                raise refusal from None
            as_text.add(column)
    frame = _without_blank_end(frame)
    if frame.is_empty():
        raise InputError(f"{path}: the file has a header but no rows; give a file with events")
    frame = frame.with_columns(pl.col(pl.Int128).cast(pl.String))  # ids of more than 18 digits
    kinds: Kinds = {}
    if atomic:
        types = {name.partition(":")[0]: name.partition(":")[2] for name in header}
        frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
        histories = {name + ending for name in names for ending in HISTORY}
        frame = frame.drop([n for n, t in types.items() if t == "float_seq" and n not in histories])
        numbers = [n for n, t in types.items() if t == "float_seq" and n in histories]
        frame = frame.with_columns(pl.col(numbers).cast(pl.String).str.split(" ").cast(pl.List(pl.Float64)))
        kinds = {n: ATOMIC[t] for n, t in types.items() if t in ATOMIC}
        frame = frame.with_columns(pl.col(n).cast(pl.String).str.split(" ") for n, k in kinds.items() if k == "multi")
    return Table(frame, kinds, str(path), (path, separator, quote))


def _without_blank_end(frame: pl.DataFrame) -> pl.DataFrame:
    """Without empty lines at the end of the file, which are rows of nulls."""
    while len(frame) and all(value is None for value in frame.row(-1)):
        frame = frame.head(-1)
    return frame


def _leading_zeros(header: list[str], head: list[str], separator: str) -> set[str]:
    """Columns with values such as 007, which would lose their zeros as numbers."""
    rows = [line.split(separator) for line in head[1:]]
    return {
        name for i, name in enumerate(header) if any(len(row) > i and re.fullmatch(r"0\d+", row[i]) for row in rows)
    }


def _records(path: Path, separator: str, quote: str | None) -> Iterator[tuple[int, list[str]]]:
    """Records with the number of their first line."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        quoting: Any = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
        reader, line = csv.reader(file, delimiter=separator, quoting=quoting), 1
        for row in reader:
            yield line, row
            line = reader.line_num + 1


def _explain(
    path: Path, separator: str, header: list[str], quote: str | None, error: Exception, as_text: Collection[str]
) -> tuple[str | None, InputError]:
    """Where the file stops being a table, found by reading it plainly; with the column if it is a value's type."""
    with path.open("rb") as raw:
        for number, content in enumerate(raw, start=1):
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                return None, InputError(f"{path}, line {number}: not UTF-8; save the file as UTF-8, or as Parquet")
    numeric = [name not in as_text for name in header]
    try:
        for index, (line, row) in enumerate(_records(path, separator, quote)):
            if len(row) > len(header):
                return None, InputError(
                    f"{path}, line {line}: {len(row)} fields where the header has {len(header)}; mend that line"
                )
            for i, value in enumerate(row):
                if index and numeric[i] and value and not _is_number(value):
                    if index > INFERRED_ROWS:
                        return header[i], InputError(
                            f"{path}, line {line}: {value!r} in column {header[i]!r} is not a number like those above; "
                            f"mend that line, or use --kinds {header[i].partition(':')[0]}=categorical"
                        )
                    numeric[i] = False
    except csv.Error as problem:
        return None, InputError(f"{path}: cannot be read as a table ({problem}); mend it or save it as Parquet")
    return None, InputError(f"{path}: cannot be read as a table ({_first_line(error)}); mend it or save it as Parquet")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# ── One user a line, attributes ─────────────────────────────────────────────────────────────────


def _lines(path: Path) -> Table:
    """``user item item …`` a line, in time order: one row per event, without a time."""
    try:
        lines = pl.read_csv(
            path, separator="\x01", has_header=False, new_columns=["line"], quote_char=None, infer_schema=False
        )
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
    numbers = events.select(pl.all().cast(pl.Int64, strict=False))
    whole = {n for n in events.columns if not numbers[n].null_count() and not events[n].str.contains(r"^0\d").any()}
    events = events.with_columns(numbers[n] for n in whole)
    return Table(events, {"user_id": "categorical", "item_id": "categorical"}, str(path))


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
