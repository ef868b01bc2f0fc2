"""The way through an empty home, in one line: data, model, train."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as w


class FirstSteps(w.HBox):
    """Three steps with what is chosen for each; shown until the home has a job or a run."""

    def __init__(self, go: Callable[[str], None], train: Callable[[], None]) -> None:
        """`go` opens the tab of a title; `train` starts a job with the draft."""
        self.data = w.Button(tooltip="choose or prepare other data")
        self.model = w.Button(tooltip="see and edit the model")
        self.train = w.Button(description="3 train", button_style="primary")
        self.data.on_click(lambda _: go("Data"))
        self.model.on_click(lambda _: go("Architecture"))
        self.train.on_click(lambda _: train())
        arrows = [w.HTML('<span aria-hidden="true">→</span>') for _ in range(2)]
        super().__init__([self.data, arrows[0], self.model, arrows[1], self.train])
        self.add_class("t4r-first-steps")
        self.layout.display = "none"

    def show(self, data: str, model: str, obstacle: str) -> None:
        """Name what is chosen; an `obstacle` disables the last step and is its help."""
        self.data.description = f"1 data: {data}" if data else "1 data"
        self.model.description = f"2 model: {model}"
        self.train.disabled = bool(obstacle)
        self.train.tooltip = obstacle or "start a job with this model on these data"
        self.layout.display = ""

    def hide(self) -> None:
        """Take the line away."""
        self.layout.display = "none"
