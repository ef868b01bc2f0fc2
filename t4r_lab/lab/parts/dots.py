"""Plots whose dots are trials to choose by a click."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets as tr


class Dots(anywidget.AnyWidget):
    """`html` with elements that have ``data-trial``; a click on one puts its number into `chosen`, which is marked."""

    _esm = Path(__file__).parent / "dots.js"

    html = tr.Unicode("").tag(sync=True)
    chosen = tr.Unicode("").tag(sync=True)
