"""CSV, TSV and RecBole's atomic files: fields between separators."""

from __future__ import annotations

from pathlib import Path

from t4r_lab.data.read.delimited import read_delimited
from t4r_lab.data.read.file_format import Format
from t4r_lab.data.read.raw_table import RawTable, table_of_texts
from t4r_lab.spec.preparation import PrepareOptions


def read(path: Path, head: list[str], how: PrepareOptions) -> RawTable:
    """Read a row per record; the separator is inferred from the first lines."""
    frame, kinds, dialect = read_delimited(path, head, how.columns, how.separator)
    return table_of_texts(path, frame, kinds, dialect)


FORMAT = Format("text with fields", 1_000, lambda path, head, how: True, read, named=False)
