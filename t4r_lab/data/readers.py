"""Raw tables of events: CSV, TSV, Parquet, RecBole's atomic files, one user a line."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import polars as pl

from t4r_lab.data.vocabulary import Frame, to_polars
from t4r_lab.errors import InputError

Source: TypeAlias = "str | Path | Frame"
Kinds = dict[str, str]
ATOMIC = {"token": "categorical", "float": "continuous", "token_seq": "multi"}
"""Kinds of RecBole's header, ``name:type``; ``float_seq`` has no place here."""
ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".inter", ".item", ".user")


@dataclass
class Table:
    """A raw table, the kinds that its header names, and what a row is called in messages."""

    frame: pl.DataFrame
    kinds: Kinds = field(default_factory=dict)
    where: str = "events"
    first_line: int | None = None
    """line of the first row in the file, where it is one text file"""

    def line(self, row: int) -> str:
        """Row number `row`, from 0, as a person finds it."""
        return f"{self.where}, line {row + self.first_line}" if self.first_line else f"{self.where}, row {row}"


def read_events(source: Source | Sequence[str | Path], layout: str = "auto") -> Table:
    """Events from a file, several files of one kind, or a frame.

    Raises
    ------
    InputError
        for a missing, empty or unreadable file, naming the line where one can be named.
    """
    if isinstance(source, (str, Path)):
        return read_file(Path(source), layout)
    if isinstance(source, Sequence):
        tables = [read_file(Path(path), layout) for path in source]
        different = next((t for t in tables if t.frame.columns != tables[0].frame.columns), None)
        if different is not None:
            raise InputError(
                f"{different.where}: its columns are not those of {tables[0].where}; give files of one kind"
            )
        return Table(pl.concat([t.frame for t in tables], how="vertical_relaxed"), tables[0].kinds, "events")
    frame = to_polars(source)
    if frame.is_empty():
        raise InputError("events: the data frame is empty; give at least two sessions")
    return Table(frame)


def read_table(path: str | Path) -> pl.DataFrame:
    """A table of new sessions."""
    return read_file(Path(path)).frame


def read_file(path: Path, layout: str = "auto") -> Table:
    """One file by its ending and its first lines."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
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


def _parquet(path: Path) -> Table:
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: not a Parquet file ({str(error).splitlines()[0]}); write it again") from None
    if frame.is_empty():
        raise InputError(f"{path}: the file has no rows; give a file with events")
    return Table(frame, where=str(path))


def _head(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8") as file:
            return [line.rstrip("\n") for _, line in zip(range(20), file, strict=False)]
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8; save it as UTF-8 CSV, or as Parquet") from None


def _is_lines(head: list[str]) -> bool:
    """Numbers with single spaces between, not the same count on every line: a user and its items."""
    if any(c in line for line in head for c in "\t,;"):
        return False
    counts = [len(line.split()) for line in head if line.strip()]
    digits = all(token.lstrip("-").isdigit() for line in head for token in line.split())
    return digits and len(counts) > 1 and max(counts) > 2 and len(set(counts)) > 1


def _delimited(path: Path, head: list[str]) -> Table:
    separator = max("\t,;|", key=head[0].count) if any(c in head[0] for c in "\t,;|") else ","
    header = next(csv.reader([head[0]], delimiter=separator))
    atomic = path.suffix in (".inter", ".item", ".user") or all(":" in name for name in header)
    kinds: Kinds = {}
    try:
        frame = pl.read_csv(path, separator=separator, infer_schema_length=10_000, quote_char=None if atomic else '"')
    except pl.exceptions.NoDataError:
        raise InputError(f"{path}: the file is empty; give a file with events") from None
    except pl.exceptions.PolarsError as error:
        raise _explain(path, separator, len(header), header, error) from None
    if frame.is_empty():
        raise InputError(f"{path}: the file has a header but no rows; give a file with events")
    if atomic:
        names = [name.partition(":")[0] for name in header]
        kinds = {n: ATOMIC[t] for n, _, t in (name.partition(":") for name in header) if t in ATOMIC}
        frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
        frame = frame.with_columns(
            pl.col(n).cast(pl.String).str.split(" ") for n, kind in kinds.items() if kind == "multi"
        )
    return Table(frame, kinds, str(path), 2)


def _explain(path: Path, separator: str, fields: int, header: list[str], error: Exception) -> InputError:
    """The line at which the file stops being a table, found by reading it plainly."""
    types: dict[int, bool] = {}
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for number, row in enumerate(csv.reader(file, delimiter=separator), start=1):
            if len(row) > fields:
                return InputError(
                    f"{path}, line {number}: {len(row)} fields where the header has {fields}; mend that line"
                )
            if number == 1:
                continue
            for i, value in enumerate(row):
                numeric = _is_number(value)
                if number > 2 and types.get(i, numeric) and not numeric and value:
                    return InputError(
                        f"{path}, line {number}: {value!r} in column {header[i]!r} is not a number like those above; "
                        "mend that line"
                    )
                types[i] = types.get(i, True) and numeric
    return InputError(
        f"{path}: cannot be read as a table ({str(error).splitlines()[0]}); mend it or save it as Parquet"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text == ""
    return True


def _lines(path: Path) -> Table:
    """``user item item …`` a line, in time order: one row per event, without a time."""
    lines = pl.read_csv(
        path, separator="\x01", has_header=False, new_columns=["line"], quote_char=None, infer_schema=False
    )
    tokens = lines.select(pl.col("line").str.strip_chars().str.split(" "))
    bad = tokens.with_row_index().filter(pl.col("line").list.len() < 2)
    if len(bad):
        raise InputError(f"{path}, line {bad['index'][0] + 1}: a user without items; mend that line")
    events = tokens.select(
        pl.col("line").list.first().alias("user_id"), pl.col("line").list.slice(1).alias("item_id")
    ).explode("item_id")
    numeric = events.select(pl.all().cast(pl.Int64, strict=False))
    events = numeric if not sum(numeric.null_count().row(0)) else events
    return Table(events, {"user_id": "categorical", "item_id": "categorical"}, str(path))


def _attributes(path: Path) -> Table:
    """JSON of item → list of attribute values."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [(str(item), [str(v) for v in values]) for item, values in content.items()]
    except (ValueError, AttributeError, TypeError):
        raise InputError(f"{path}: expected JSON of item → list of attributes; see docs/data.md") from None
    frame = pl.DataFrame(rows, schema={"item_id": pl.String, "attributes": pl.List(pl.String)}, orient="row")
    return Table(frame, {"attributes": "multi"}, str(path))
