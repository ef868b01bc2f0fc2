"""A filter typed as words, whose finished terms are chips that can be taken away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets as tr

HERE = Path(__file__).parent


class FilterBar(anywidget.AnyWidget):
    """The `text` being typed and the `terms` kept as chips; Enter asks `on_enter` to make a chip of the text."""

    _esm = HERE / "filter_bar.js"

    text = tr.Unicode("").tag(sync=True)
    terms: tr.List[str] = tr.List(trait=tr.Unicode()).tag(sync=True)
    label = tr.Unicode("filter").tag(sync=True)
    placeholder = tr.Unicode("").tag(sync=True)
    help = tr.Unicode("").tag(sync=True)
    suggestions: tr.List[str] = tr.List(trait=tr.Unicode()).tag(sync=True)
    """beginnings of terms, offered while typing"""
    note = tr.Unicode("").tag(sync=True)
    """how many rows are left, or what is wrong with the text"""
    refused = tr.Bool(False).tag(sync=True)
    """true if the note is an error"""

    def on_enter(self, answer: Callable[[], None]) -> None:
        """Call `answer` when Enter is pressed."""

        def heard(widget: object, content: Any, buffers: object) -> None:
            if content == "enter":
                answer()

        self.on_msg(heard)
