"""Readers of raw tables, from files of every format and from data frames."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TypeAlias

import polars as pl

import t4r_lab.data.formats as formats
from t4r_lab.base.errors import InputError
from t4r_lab.data.read.compression import damage_refusal, is_parquet, open_bytes
from t4r_lab.data.read.file_format import Format
from t4r_lab.data.read.frames import Frame, to_polars
from t4r_lab.data.read.raw_table import RawTable, concatenate
from t4r_lab.spec.preparation import PrepareOptions

Source: TypeAlias = "str | Path | Frame"
PLAIN = PrepareOptions()
HEAD = 1 << 20
"""Bytes read to recognize a text file."""
OTHER_ENCODINGS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
"""Encodings that can't be read → the marks by which they begin; little-endian UTF-32 begins as UTF-16 does."""


def _formats() -> list[Format]:
    """The rows of all format modules in this folder, in the order in which they are tried."""
    names = [module.name for module in iter_modules(formats.__path__) if module.name.endswith("_format")]
    rows: list[Format] = [import_module(f"{formats.__name__}.{name}").FORMAT for name in names]
    return sorted(rows, key=lambda format: format.order)


FORMATS = _formats()


def read_events(source: Source | Sequence[str | Path], how: PrepareOptions = PLAIN) -> RawTable:
    """Read events from a file, several files of the same columns, or a data frame.

    Parameters
    ----------
    how: options for reading a file (`READING`).

    Raises
    ------
    InputError
        for a missing, empty or unreadable file, naming the line if possible.
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
        return tables[0] if len(tables) == 1 else concatenate(tables)
    frame = to_polars(source, "events")
    if frame.is_empty():
        raise InputError("events", "the data frame is empty", "give at least two sessions")
    return RawTable(frame)


def read_table(path: str | Path) -> pl.DataFrame:
    """Read a file of new sessions with a header, for `Vocabulary.encode`; `Vocabulary.read` also takes one without."""
    return read_file(Path(path)).frame


def read_file(path: Path, how: PrepareOptions = PLAIN) -> RawTable:
    """Read one file, its format recognized by its first bytes and lines."""
    try:
        if path.is_dir():
            raise InputError(path, "is a folder", "name the files in it")
        if not path.is_file():
            raise InputError(path, "no such file", "check the path")
        if path.stat().st_size == 0:
            raise InputError(path, "the file is empty", "give a file with events")
        head = [] if is_parquet(path) else _head(path)
        format = next(format for format in FORMATS if format.recognizes(path, head, how))
        format.check(path, how)
        return format.read(path, head, how)
    except OSError as error:
        raise damage_refusal(path, error) from None


def write_table(frame: object, path: str | Path) -> None:
    """Write a pandas frame as CSV, TSV or Parquet, by the ending; with None only check the path."""
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


def _head(path: Path) -> list[str]:
    """The first nonblank lines. A cut inside a character is no error: the whole file is read later."""
    with open_bytes(path) as file:
        start = file.read(HEAD)
    if encoding := next((name for name, marks in OTHER_ENCODINGS.items() if start.startswith(marks)), None):
        raise InputError(path, f"is text in {encoding}", "save it as UTF-8")
    if b"\0" in start:
        raise InputError(path, "not a text file", "give CSV, TSV, JSON lines, Parquet or RecBole's atomic files")
    lines = start.decode("utf-8-sig", errors="replace").split("\n")
    if len(start) == HEAD and len(lines) > 1:
        del lines[-1]  # cut off
    lines = [line.removesuffix("\r") for line in lines if line.strip()]
    if not lines:
        raise InputError(path, "the file is empty", "give a file with events")
    return lines[:50]
