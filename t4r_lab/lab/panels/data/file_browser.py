"""A small browser of folders, to choose a file of events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.lab.parts.fields import LABEL_WIDTH
from t4r_lab.lab.parts.section import Section
from t4r_lab.lab.parts.text import error_text, escape, message
from t4r_lab.lab.state.event_files import MOST, entries


class FileBrowser(Section):
    """State: the `folder` shown, read when the section is opened. A file that is opened goes to `on_choose`."""

    folder = tr.Instance(Path)

    def __init__(self, roots: Sequence[Path], on_choose: Callable[[Path], None]) -> None:
        self._roots, self._on_choose = roots, on_choose
        self.list = w.Select(
            description="folders and files",
            options=[],
            rows=9,
            style={"description_width": LABEL_WIDTH},
            layout={"width": "auto"},
        )
        self.go = w.Button(description="Open", tooltip="go to the chosen folder, or read the chosen file")
        self._where = w.HTML()
        super().__init__("Browse files")
        self.summary = "the notebook's folder and the home"
        self.fields.children = [self._where, self.list, w.HBox([self.go])]
        self.folder = roots[0]
        self.go.on_click(lambda _: self._go())
        self.observe(self._read, ["folder", "opened"])

    def _go(self) -> None:
        if (entry := self.list.value) is None:
            return
        if entry.folder:
            self.folder = entry.path
        else:
            self._on_choose(entry.path)
            self.opened = False

    def _read(self, change: tr.Bunch) -> None:
        if not self.opened:
            return
        try:
            listed = entries(self.folder, self._roots)
        except InputError as error:
            self._where.value = message("error", error_text(error))
            return
        self.list.options = [(entry.words, entry) for entry in listed]
        self.list.value = None
        more = f"; the first {MOST} entries" if len(listed) >= MOST else "" if listed else "; the folder is empty"
        self._where.value = f'<div class="t4r-help">{escape(self.folder.resolve())}{more}</div>'
