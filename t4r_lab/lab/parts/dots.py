"""Plots in which a click on a dot chooses a trial."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets as tr


class Dots(anywidget.AnyWidget):
    """`html` with elements that have ``data-trial``; a click sets `chosen` to its number and marks it."""

    _esm = Path(__file__).parent / "dots.js"

    html = tr.Unicode("").tag(sync=True)
    chosen = tr.Unicode("").tag(sync=True)
