"""A table to sort, filter and choose from; the logic is in Python, so that it can be tested without a browser."""

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
    """One cell: its text, and its sort key (None sorts last in both directions)."""

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
    """Rows of `Cell` under `Heading`, sorted by ``sort_by``; only rows that contain every word of ``filter_text``.

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
    filter_text = tr.Unicode("")
    choose = tr.Enum(["", "one", "many"], "").tag(sync=True)
    """selection by radio button (one) or tick (many); empty for none"""
    row_keys: tr.List[str] = tr.List(trait=tr.Unicode()).tag(sync=True)
    """keys of the rows shown"""
    selected: tr.List[str] = tr.List(trait=tr.Unicode()).tag(sync=True)
    """keys of the chosen rows in the order of choosing; a row that is filtered away stays chosen"""

    def fill(self, headings: Sequence[Heading], rows: Sequence[Sequence[Cell]], keys: Sequence[str] = ()) -> None:
        """Show `rows`, sorted by ``sort_by``, else in the given order."""
        self._cells = list(zip(keys or map(str, range(len(rows))), rows, strict=True))
        self.columns = [vars(h) for h in headings]
        present = {key for key, _ in self._cells}
        if any(key not in present for key in self.selected):
            self.selected = [key for key in self.selected if key in present]
        self._sort()

    @tr.observe("sort_by", "descending", "filter_text")
    def _sort(self, change: tr.Bunch | None = None) -> None:
        words = self.filter_text.lower().split()
        rows: list[tuple[str, Sequence[Cell]]] = [
            (key, row) for key, row in getattr(self, "_cells", []) if not words or _contains_words(row, words)
        ]
        columns = [h["key"] for h in self.columns]
        if self.sort_by in columns:
            at = columns.index(self.sort_by)
            filled = [row for row in rows if row[1][at].sort is not None]
            blank = [row for row in rows if row[1][at].sort is None]
            filled.sort(key=lambda r: r[1][at].sort, reverse=self.descending)  # type: ignore[arg-type, return-value]
            rows = filled + blank
        with self.hold_sync():
            self.row_keys = [key for key, _ in rows]
            self.rows = [[_cell_message(cell) for cell in row] for _, row in rows]


def _contains_words(row: Sequence[Cell], words: Sequence[str]) -> bool:
    text = " ".join(f"{cell.text} {cell.under}" for cell in row).lower()
    return all(word in text for word in words)


def _cell_message(cell: Cell) -> dict[str, object]:
    """The fields of a cell that the view needs; empty ones are left out, since a table may have a thousand rows."""
    marks = {"under": cell.under, "strong": cell.strong, "quiet": cell.quiet}
    return {"text": cell.text, **{name: mark for name, mark in marks.items() if mark}}
