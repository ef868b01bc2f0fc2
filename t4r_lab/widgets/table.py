"""A table whose headings sort; the sorting happens here, so that it can be tested without a browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import traitlets as tr

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, and by what it sorts (None sorts last either way)."""

    text: str
    sort: float | str | None = None
    under: str = ""
    strong: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Heading:
    """One column."""

    key: str
    label: str
    number: bool = False
    help: str = ""


class Table(anywidget.AnyWidget):
    """Rows of `Cell` under `Heading`, sorted by ``sort_by``.

    >>> table = Table()
    >>> table.fill([Heading("x", "x", number=True)], [[Cell("2", 2.0)], [Cell("–")], [Cell("10", 10.0)]])
    >>> table.sort_by, table.descending = "x", True
    >>> [row[0]["text"] for row in table.rows]
    ['10', '2', '–']
    """

    _esm = HERE / "table.js"

    columns: tr.List[Any] = tr.List().tag(sync=True)
    rows: tr.List[Any] = tr.List().tag(sync=True)
    sort_by = tr.Unicode("").tag(sync=True)
    descending = tr.Bool(True).tag(sync=True)
    caption = tr.Unicode("").tag(sync=True)

    def fill(self, headings: Sequence[Heading], rows: Sequence[Sequence[Cell]]) -> None:
        """Show `rows` in the present order; as they come where nothing is chosen to sort by."""
        self._cells = rows
        self.columns = [vars(h) for h in headings]
        self._sort()

    @tr.observe("sort_by", "descending")
    def _sort(self, change: Any = None) -> None:
        rows: list[Sequence[Cell]] = list(getattr(self, "_cells", []))
        keys = [h["key"] for h in self.columns]
        if self.sort_by in keys:
            at = keys.index(self.sort_by)
            known = [row for row in rows if row[at].sort is not None]
            unknown = [row for row in rows if row[at].sort is None]
            known.sort(key=lambda row: row[at].sort, reverse=self.descending)  # type: ignore[arg-type, return-value]
            rows = known + unknown
        self.rows = [[{k: v for k, v in vars(cell).items() if k != "sort"} for cell in row] for row in rows]
