"""The picture of the model as a control: blocks to choose, move and remove, and buttons to add to lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets as tr

HERE = Path(__file__).parent


class Canvas(anywidget.AnyWidget):
    """`svg` of a picture whose blocks have ``data-key``; `chosen` is the key of the chosen block.

    Click, Tab and arrow keys choose. Alt with an arrow, or dragging, moves a block within its list; Delete removes it;
    Ctrl+Z and Ctrl+Shift+Z undo and redo. `on_request` gets each of these as its name and arguments.
    """

    _esm = HERE / "canvas.js"

    svg = tr.Unicode("").tag(sync=True)
    chosen = tr.Unicode("").tag(sync=True)

    def __init__(self, on_request: Callable[[str, str, str], None]) -> None:
        super().__init__()
        self._on_request = on_request
        self.on_msg(self._received)

    def _received(self, widget: Canvas, content: Any, buffers: Any) -> None:
        """Pass on what the browser asks for: ``move`` (a key, the key whose place it takes), ``remove``, ``undo``, ``redo``."""
        self._on_request(str(content.get("what")), str(content.get("key", "")), str(content.get("to", "")))
