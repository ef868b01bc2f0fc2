"""What a format of files is: how it is recognized and how it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from t4r_lab.base.errors import InputError
from t4r_lab.data.read.raw_table import Table
from t4r_lab.spec.preparation import PrepareOptions


@dataclass(frozen=True)
class Format:
    """A format of files.

    Parameters
    ----------
    name
        as a refusal calls a file of it: "is Parquet".
    order
        the lower, the sooner it is asked: special formats before general ones.
    recognizes
        whether a file is of it, by its path, its first lines (none of a binary file) and what the user says of it.
    read
        the file at a path, with its first lines, as a table.
    named
        whether such a file tells its columns by itself, so that naming them is refused.
    """

    name: str
    order: int
    recognizes: Callable[[Path, list[str], PrepareOptions], bool]
    read: Callable[[Path, list[str], PrepareOptions], Table]
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
