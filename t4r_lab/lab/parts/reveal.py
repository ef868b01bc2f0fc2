"""Scrolling and focus, which only the browser has."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets as tr


class Reveal(anywidget.AnyWidget):
    """Brings the element with the CSS class `target` into view, and gives it the focus; an invisible widget."""

    _esm = Path(__file__).parent / "reveal.js"
    target = tr.Unicode("").tag(sync=True)
