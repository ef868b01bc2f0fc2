"""The columns of a table as a list: chosen, put in order, and the one whose values group the rows."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets as tr

HERE = Path(__file__).parent


class ColumnList(anywidget.AnyWidget):
    """State: the keys of the `chosen` columns in their order, and the one that `grouped` rows share."""

    _esm = HERE / "column_list.js"

    offered: tr.List[dict[str, str]] = tr.List().tag(sync=True)
    """key, label and group (a title in the list) of every column"""
    first: tr.List[str] = tr.List(trait=tr.Unicode()).tag(sync=True)
    """the keys that *As at first* brings back; the first of them is always shown"""
    chosen: tr.List[str] = tr.List(trait=tr.Unicode()).tag(sync=True)
    grouped = tr.Unicode("").tag(sync=True)
    """key of the column that groups the rows; empty for none"""
