"""A user and its items a line, as SASRec and its successors write them."""

from __future__ import annotations

from pathlib import Path

from t4r_lab.data.read.delimited import is_user_a_line, read_user_a_line
from t4r_lab.data.read.file_format import Format
from t4r_lab.data.read.raw_table import Table, of_texts
from t4r_lab.spec.preparation import PrepareOptions


def recognizes(path: Path, head: list[str], how: PrepareOptions) -> bool:
    """Where the user says so, or lines of numbers differ in their count and nobody names columns."""
    named = bool(how.columns or how.separator)
    return how.layout == "lines" or (how.layout == "auto" and is_user_a_line(head) and not named)


def read(path: Path, head: list[str], how: PrepareOptions) -> Table:
    """A row per event, in order, without a time."""
    frame = read_user_a_line(path)
    return of_texts(path, frame, dict.fromkeys(frame.columns, "categorical"))


FORMAT = Format("a file with a user and its items a line", 2, recognizes, read)
