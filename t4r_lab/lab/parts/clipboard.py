"""Text to copy: access to the clipboard, which ipywidgets lacks."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets as tr

HERE = Path(__file__).parent


class CopyText(anywidget.AnyWidget):
    """A block of text with a Copy button."""

    _esm = HERE / "copy.js"
    label = tr.Unicode("").tag(sync=True)
    text = tr.Unicode("").tag(sync=True)
