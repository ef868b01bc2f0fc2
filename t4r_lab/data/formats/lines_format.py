"""A user and its items per line, as in the data of SASRec and its successors."""

from __future__ import annotations

from pathlib import Path

from t4r_lab.data.read.delimited import is_user_a_line, read_user_a_line
from t4r_lab.data.read.file_format import Format
from t4r_lab.data.read.raw_table import RawTable, table_of_texts
from t4r_lab.spec.preparation import PrepareOptions


def recognizes(path: Path, head: list[str], how: PrepareOptions) -> bool:
    """True if an option says so, or lines have different counts of numbers and no option names columns."""
    named = bool(how.columns or how.separator)
    return how.layout == "lines" or (how.layout == "auto" and is_user_a_line(head) and not named)


def read(path: Path, head: list[str], how: PrepareOptions) -> RawTable:
    """Read a row per event, in order, without times."""
    frame = read_user_a_line(path)
    return table_of_texts(path, frame, dict.fromkeys(frame.columns, "categorical"))


FORMAT = Format("a file with a user and its items a line", 2, recognizes, read)
