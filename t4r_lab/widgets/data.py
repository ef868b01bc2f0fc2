"""Data panel: choose prepared data, or prepare a file; what it holds at a glance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as w
import traitlets as tr

from t4r_lab.widgets.fields import LABEL_WIDTH
from t4r_lab.widgets.forms import Section
from t4r_lab.widgets.prepare import PrepareForm
from t4r_lab.widgets.profile import profile
from t4r_lab.widgets.text import message
from t4r_lab.widgets.views import DataSummary

EMPTY = "No prepared data yet. Prepare a data frame or a file of events below, or wait for the built-in data."


class DataPanel(w.VBox):
    """State: the prepared folders there are, the one in use, what is being done, what went wrong."""

    paths = tr.List(trait=tr.Instance(Path))
    summary = tr.Instance(DataSummary, allow_none=True)
    doing = tr.Unicode("")
    error = tr.Unicode("")

    def __init__(self, on_choose: Callable[[Path], None], form: PrepareForm) -> None:
        self._on_choose, self._quiet = on_choose, False
        self.choice = w.Dropdown(
            description="dataset", options=[], tooltip="prepared data under the home",
            style={"description_width": LABEL_WIDTH}, layout={"width": "28rem", "max_width": "100%"},
        )  # fmt: skip
        self.form = form
        self.section = Section("Prepare raw events")
        self.section.summary = "a data frame of this notebook, CSV, TSV, Parquet, RecBole"
        self.section.fields.children = [self.form]
        self._message, self._profile = w.HTML(), w.HTML()
        super().__init__([self._message, self.choice, self._profile, self.section])
        self.add_class("t4r-panel")
        self.choice.observe(self._chosen, "value")
        self._show()

    def _chosen(self, change: Any) -> None:
        if not self._quiet and change["new"] is not None:
            self._on_choose(Path(change["new"]))

    @tr.observe("paths", "summary", "doing", "error")
    def _show(self, change: Any = None) -> None:
        self._quiet = True
        try:
            options = [(path.name, str(path)) for path in self.paths]
            if list(self.choice.options) != options:
                self.choice.options = options
            here = str(self.summary.path) if self.summary else None
            if here in dict(options).values():
                self.choice.value = here
        finally:
            self._quiet = False
        self.choice.layout.display = "" if self.paths else "none"
        self.form.taken = [path.name for path in self.paths]
        self._profile.value = profile(self.summary) if self.summary else ""
        state = message("loading", self.doing) if self.doing else "" if self.summary else message("empty", EMPTY)
        self._message.value = message("error", self.error) if self.error else state
