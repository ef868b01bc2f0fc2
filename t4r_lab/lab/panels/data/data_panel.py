"""Data panel: choose prepared data, or prepare a file; the profile of the chosen data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.reports import Progress
from t4r_lab.lab.panels.data.prepare_form import PrepareForm, bar
from t4r_lab.lab.panels.data.profile_page import profile
from t4r_lab.lab.parts.fields import LABEL_WIDTH
from t4r_lab.lab.parts.section import Section
from t4r_lab.lab.parts.text import message
from t4r_lab.lab.state.views import DataSummary

EMPTY = "No prepared data yet. Prepare a data frame or a file of events below."


class DataPanel(w.VBox):
    """State: the prepared folders, the one in use, the operation under way, the error."""

    paths = tr.List(trait=tr.Instance(Path))
    summary = tr.Instance(DataSummary, allow_none=True)
    doing = tr.Unicode("")
    progress = tr.Instance(Progress, allow_none=True)
    error = tr.Unicode("")

    def __init__(self, on_choose: Callable[[Path], None], form: PrepareForm) -> None:
        self._on_choose, self._quiet = on_choose, False
        self.choice = w.Dropdown(
            description="dataset",
            options=[],
            tooltip="prepared data under the home",
            style={"description_width": LABEL_WIDTH},
            layout={"width": "28rem", "max_width": "100%"},
        )
        self.form = form
        self.section = Section("Prepare raw events")
        self.section.summary = "a data frame of this notebook, CSV, TSV, JSON lines, Parquet, RecBole"
        self.section.fields.children = [self.form]
        self._message, self._profile = w.HTML(), w.HTML()
        top = w.HBox([self.choice, self._message])  # side by side, so that a message moves nothing below
        top.add_class("t4r-data-head")
        super().__init__([top, self._profile, self.section])
        self.add_class("t4r-panel")
        self.choice.observe(self._chosen, "value")
        self._show()

    def _chosen(self, change: tr.Bunch) -> None:
        if not self._quiet and change["new"] is not None:
            self._on_choose(Path(change["new"]))

    @tr.observe("paths", "summary", "doing", "progress", "error")
    def _show(self, change: tr.Bunch | None = None) -> None:
        self._quiet = True
        try:
            options = [(path.name, str(path)) for path in self.paths]
            if (
                self.summary and self.summary.path not in self.paths
            ):  # outside the home, such as the data of a cloned run
                options.append((str(self.summary.path), str(self.summary.path)))
            if list(self.choice.options) != options:
                self.choice.options = options
            here = str(self.summary.path) if self.summary else None
            if not self.doing and here in dict(options).values():  # the folder being opened stays chosen
                self.choice.value = here
            elif not self.doing and here is None:
                self.choice.value = None  # so that any can be chosen
        finally:
            self._quiet = False
        self.choice.layout.display = "" if self.choice.options else "none"
        self.form.taken = [path.name for path in self.paths]
        self._profile.value = profile(self.summary) if self.summary else ""
        (self._profile.add_class if self.doing else self._profile.remove_class)("t4r-stale")
        if self.error:
            self._message.value = message("error", self.error)
        elif self.doing:
            self._message.value = message("loading", self.doing) + bar(self.progress)
        else:
            self._message.value = "" if self.summary else message("empty", EMPTY)
