"""A part of a form that opens and closes."""

from __future__ import annotations

import ipywidgets as w
import traitlets as tr

from t4r_lab.lab.parts.text import escape


class Section(w.VBox):
    """A part of a form that opens and closes by a button, with a summary beside its name."""

    opened = tr.Bool(False)
    summary = tr.Unicode("")

    def __init__(self, name: str, opened: bool = False, above: w.Widget | None = None) -> None:
        self.name = name
        self.fields = w.VBox()
        self._button = w.Button(layout={"width": "auto"}, tooltip=f"open or close {name}")
        self._summary = w.HTML()
        head = w.HBox([self._button, self._summary])
        head.add_class("t4r-section-head")
        self.body = w.VBox([above, self.fields] if above else [self.fields])
        self.body.add_class("t4r-section-body")
        self._button.add_class("t4r-section-button")
        self._button.on_click(lambda _: self.set_trait("opened", not self.opened))
        super().__init__([head, self.body], opened=opened)
        self.add_class("t4r-section")
        self._show()

    @tr.observe("opened", "summary")
    def _show(self, change: tr.Bunch | None = None) -> None:
        self._button.description = f"{'▾' if self.opened else '▸'} {self.name}"
        self._summary.value = escape(self.summary)
        self.body.layout.display = "" if self.opened else "none"
