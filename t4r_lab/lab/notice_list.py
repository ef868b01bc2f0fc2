"""Notices about jobs, above all tabs until they are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as w

from t4r_lab.lab.parts.text import message
from t4r_lab.lab.state.notices import Notice

SHOWN = 3
"""Older ones go: the jobs themselves are there."""


class NoticeList(w.VBox):
    """The newest notices, each with a button that leads to its job and one that takes it away."""

    def __init__(self, show_job: Callable[[str], None]) -> None:
        """`show_job` gets the id of a job."""
        self._show_job = show_job
        self.notices: list[Notice] = []
        self._rows: dict[str, _Row] = {}
        super().__init__()
        self.add_class("t4r-notices")

    def add(self, notices: Sequence[Notice]) -> None:
        """Show further ones, the newest on top."""
        if notices:
            self.notices = [*reversed(notices), *self.notices][:SHOWN]
            self._show()

    def dismiss(self, notice: Notice) -> None:
        """Take one away."""
        self.notices = [each for each in self.notices if each.key != notice.key]
        self._show()

    def _show(self) -> None:
        before = self._rows
        self._rows = {n.key: before.get(n.key) or _Row(n, self._go, self.dismiss) for n in self.notices}
        self.children = list(self._rows.values())
        for key in before.keys() - self._rows.keys():
            before[key].close()

    def _go(self, notice: Notice) -> None:
        self.dismiss(notice)
        self._show_job(notice.job)


class _Row(w.HBox):
    def __init__(self, notice: Notice, go: Callable[[Notice], None], dismiss: Callable[[Notice], None]) -> None:
        words = w.HTML(message("note" if notice.kind == "finished" else "warning", notice.words))
        show = w.Button(description="Show", tooltip=f"show the job: {notice.words}")
        away = w.Button(description="Dismiss", tooltip=f"take away: {notice.words}")
        show.on_click(lambda _: go(notice))
        away.on_click(lambda _: dismiss(notice))
        super().__init__([words, show, away])
