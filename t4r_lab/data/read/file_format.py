"""The row of a file format: recognition and reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from t4r_lab.base.errors import InputError
from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.spec.preparation import PrepareOptions


@dataclass(frozen=True)
class Format:
    """A format of files.

    Parameters
    ----------
    name
        for messages: "is Parquet".
    order
        formats are tried by rising order: special ones before general ones.
    recognizes
        (path, first lines, options) → True for a file of this format; a binary file has no lines.
    read
        (path, first lines, options) → table.
    named
        True if such files name their columns themselves, so that options for that are refused.
    """

    name: str
    order: int
    recognizes: Callable[[Path, list[str], PrepareOptions], bool]
    read: Callable[[Path, list[str], PrepareOptions], RawTable]
    named: bool = True

    def check(self, path: Path, how: PrepareOptions) -> None:
        """Refuse names or a separator for columns that name themselves.

        Raises
        ------
        InputError
        """
        for option in ("columns", "separator"):
            if self.named and getattr(how, option):
                raise InputError(path, f"is {self.name}, which tells its columns by itself", f"leave out --{option}")
