"""Notifications by the browser, which it shows while another tab or window is looked at."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets as tr

HERE = Path(__file__).parent


class BrowserNotices(anywidget.AnyWidget):
    """A button by which a person allows them; then each new one of `notices` (key and words) is shown once."""

    _esm = HERE / "browser_notices.js"
    notices = tr.List(tr.List(tr.Unicode())).tag(sync=True)
