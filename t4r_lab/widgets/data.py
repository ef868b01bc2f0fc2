"""Data panel: choose prepared data, or prepare a file; what it holds at a glance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as w
import traitlets as tr

from t4r_lab.spec.knobs import walk
from t4r_lab.spec.prepare import PrepareOptions
from t4r_lab.widgets.fields import LABEL_WIDTH, Field
from t4r_lab.widgets.forms import Section
from t4r_lab.widgets.profile import profile
from t4r_lab.widgets.text import message
from t4r_lab.widgets.views import DataSummary

EMPTY = "No prepared data yet. Give the path of a file of events below, or wait for the built-in data."
OFFERED = (
    "session", "item", "time", "user", "title", "gap_minutes", "min_item_support", "min_session_length", "drop_repeats",
    "targets", "ignore", "split", "valid_days", "test_days", "valid_share", "test_share",
)  # fmt: skip
"""Options in the form; the rest stand on the command line and in Python."""


class DataPanel(w.VBox):
    """State: the prepared folders there are, the one in use, what is being done, what went wrong."""

    paths = tr.List(trait=tr.Instance(Path))
    summary = tr.Instance(DataSummary, allow_none=True)
    doing = tr.Unicode("")
    error = tr.Unicode("")

    def __init__(
        self, on_choose: Callable[[Path], None], on_prepare: Callable[[str, str, dict[str, Any]], None]
    ) -> None:
        self._on_choose, self._on_prepare, self._quiet = on_choose, on_prepare, False
        style: dict[str, Any] = {"style": {"description_width": LABEL_WIDTH}, "layout": {"width": "auto"}}
        self.choice = w.Dropdown(description="dataset", options=[], tooltip="prepared data under the home", **style)
        self.source = w.Text(
            description="events", placeholder="path of a CSV, TSV, Parquet or RecBole file", continuous_update=False,
            tooltip="path of a file with one row per event", **style,
        )  # fmt: skip
        self.name = w.Text(
            description="name", placeholder="name of the prepared data", tooltip="its folder under data/", **style
        )
        self.options: dict[str, Any] = {}
        self.fields = {k.path: Field(k, self._edit) for k in walk(PrepareOptions()) if k.path in OFFERED}
        self.prepare = w.Button(description="Prepare", tooltip="turn the file into sessions")
        self.prepare.on_click(
            lambda _: self._on_prepare(self.source.value.strip(), self.name.value.strip(), dict(self.options))
        )
        self.section = Section("Prepare a file of events", opened=False)
        self.section.fields.children = [self.source, self.name, *self.fields.values(), self.prepare]
        self._message, self._profile = w.HTML(), w.HTML()
        super().__init__([self._message, self.choice, self._profile, self.section])
        self.add_class("t4r-panel")
        self.choice.observe(self._chosen, "value")
        self._show()

    def _edit(self, path: str, value: Any) -> None:
        if value in (None, "", []):
            self.options.pop(path, None)
        else:
            self.options[path] = value

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
        self.prepare.disabled = bool(self.doing)
        self._profile.value = profile(self.summary) if self.summary else ""
        state = message("loading", self.doing) if self.doing else "" if self.summary else message("empty", EMPTY)
        self._message.value = message("error", self.error) if self.error else state
