"""The notebook's colors, which only the browser knows, for plots made in Python."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets as tr

HERE = Path(__file__).parent
LIGHT = {"dark": "", "text": "rgba(0, 0, 0, 0.87)", "quiet": "rgba(0, 0, 0, 0.54)", "grid": "#e0e0e0", "font": ""}


class Theme(anywidget.AnyWidget):
    """JupyterLab's colors as the browser has them; an invisible widget."""

    _esm = HERE / "theme.js"
    colors = tr.Dict(value_trait=tr.Unicode(), key_trait=tr.Unicode(), default_value=LIGHT).tag(sync=True)
    """text, quiet, grid and font by CSS; dark is empty or ``yes``"""
