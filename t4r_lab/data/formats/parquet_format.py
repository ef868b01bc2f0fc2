"""Parquet."""

from __future__ import annotations

from pathlib import Path

from t4r_lab.base.errors import InputError
from t4r_lab.data.read.compression import is_parquet
from t4r_lab.data.read.file_format import Format
from t4r_lab.data.read.frames import read_parquet, refusing, spread_structs
from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.spec.preparation import PrepareOptions


def read(path: Path, head: list[str], how: PrepareOptions) -> RawTable:
    """Read columns with their types; lists of structs become a list per field."""
    with refusing(str(path), "not a Parquet file that can be read", "write it again"):
        frame = read_parquet(path)
    if frame.is_empty():
        raise InputError(path, "the file has no rows", "give a file with events")
    return RawTable(spread_structs(frame), where=str(path))


FORMAT = Format("Parquet", 0, lambda path, head, how: is_parquet(path), read)
