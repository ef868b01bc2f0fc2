"""A table to sort, filter and choose from; the logic is in Python, so that it can be tested without a browser."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
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


Row = tuple[str, Sequence[Cell]]
"""Key and cells."""


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
    wide = tr.Bool(False).tag(sync=True)
    """true where it scrolls sideways rather than leaving columns out"""
    row_keys: tr.List[str] = tr.List(trait=tr.Unicode()).tag(sync=True)
    """keys of the rows shown"""
    selected: tr.List[str] = tr.List(trait=tr.Unicode()).tag(sync=True)
    """keys of the chosen rows in the order of choosing; a row that is filtered away stays chosen"""
    only: tr.Instance[Collection[str] | None] = tr.Instance(frozenset, allow_none=True)
    """keys of the rows that may be shown; None for all"""
    group_by = tr.Unicode("")
    """key of the column whose equal cells group the rows, the groups in the order of their first rows; empty for none"""
    groups: tr.List[dict[str, object]] = tr.List().tag(sync=True)
    """the groups: index of their first row, text and what is said of them"""

    def fill(
        self,
        headings: Sequence[Heading],
        rows: Sequence[Sequence[Cell]],
        keys: Sequence[str] = (),
        summary: Callable[[Sequence[Sequence[Cell]]], str] = lambda rows: str(len(rows)),
    ) -> None:
        """Show `rows`, sorted by ``sort_by``, else in the given order; `summary` says what a group of them is."""
        self._summary = summary
        self._cells = list(zip(keys or map(str, range(len(rows))), rows, strict=True))
        self.columns = [vars(h) for h in headings]
        present = {key for key, _ in self._cells}
        if any(key not in present for key in self.selected):
            self.selected = [key for key in self.selected if key in present]
        self._sort()

    @tr.observe("sort_by", "descending", "filter_text", "only", "group_by")
    def _sort(self, change: tr.Bunch | None = None) -> None:
        words, only = self.filter_text.lower().split(), self.only
        rows = [
            (key, row)
            for key, row in getattr(self, "_cells", [])
            if (only is None or key in only) and (not words or _contains_words(row, words))
        ]
        columns = [h["key"] for h in self.columns]
        if self.sort_by in columns:
            at = columns.index(self.sort_by)
            filled = [row for row in rows if row[1][at].sort is not None]
            blank = [row for row in rows if row[1][at].sort is None]
            filled.sort(key=lambda row: _order(row[1][at]), reverse=self.descending)
            rows = filled + blank
        groups: list[dict[str, object]] = []
        if self.group_by in columns:
            rows, groups = self._grouped(rows, columns.index(self.group_by))
        with self.hold_sync():
            self.row_keys = [key for key, _ in rows]
            self.rows = [[_cell_message(cell) for cell in row] for _, row in rows]
            self.groups = groups

    def _grouped(self, rows: list[Row], at: int) -> tuple[list[Row], list[dict[str, object]]]:
        by_text: dict[str, list[Row]] = {}
        for key, row in rows:
            by_text.setdefault(row[at].text, []).append((key, row))
        groups: list[dict[str, object]] = []
        ordered: list[Row] = []
        for text, members in by_text.items():
            groups.append({"at": len(ordered), "text": text, "under": self._summary([row for _, row in members])})
            ordered += members
        return ordered, groups


def _order(cell: Cell) -> tuple[bool, float | str]:
    """Sort key; numbers come before texts, where a column has both."""
    assert cell.sort is not None
    return isinstance(cell.sort, str), cell.sort


def _contains_words(row: Sequence[Cell], words: Sequence[str]) -> bool:
    text = " ".join(f"{cell.text} {cell.under}" for cell in row).lower()
    return all(word in text for word in words)


def _cell_message(cell: Cell) -> dict[str, object]:
    """The fields of a cell that the view needs; empty ones are left out, since a table may have a thousand rows."""
    marks = {"under": cell.under, "strong": cell.strong, "quiet": cell.quiet}
    return {"text": cell.text, **{name: mark for name, mark in marks.items() if mark}}
