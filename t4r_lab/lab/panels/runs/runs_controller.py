"""Reads the recorded runs, and shows the page of a ticked run or the comparison of several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.lab.panels.runs.actions import RunActionsController
from t4r_lab.lab.panels.runs.comparison import ComparisonController
from t4r_lab.lab.panels.runs.removal_bar import RemovalController
from t4r_lab.lab.panels.runs.run_columns import FIRST
from t4r_lab.lab.panels.runs.run_page import RunPageController
from t4r_lab.lab.panels.runs.runs_panel import RunsPanel
from t4r_lab.lab.parts.text import error_text
from t4r_lab.lab.parts.theme import Theme
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.kept_columns import keep_columns, kept_columns
from t4r_lab.lab.state.views import RunSummary
from t4r_lab.spec import RunSpec


class RunsController:
    """The recorded runs of `home`, read on a thread.

    `on_clone` takes the spec of a run into Architecture, `on_job` shows a job by its id, `on_open` shows the panel,
    `on_read` gets the runs, or why they can't be read.
    """

    def __init__(
        self,
        home: Path,
        background: Background,
        theme: Theme,
        on_clone: Callable[[RunSpec, str], None],
        on_job: Callable[[str], None],
        on_open: Callable[[], None],
        on_read: Callable[[list[RunSummary] | InputError], None],
    ) -> None:
        self.home, self.background = home, background
        self._on_open, self._on_read = on_open, on_read
        self._read_again = False
        self.acting = RunActionsController(home, background, on_clone, self.read, on_job)
        self.comparing = ComparisonController(home, background, theme)
        self.page = RunPageController(home, background, self.open, self.read)
        self.removing = RemovalController(home, background, lambda: self.view.selected, self.read)
        beneath = [self.removing.view, self.acting.view, self.page.head, self.comparing.view, self.page.body]
        self.view = RunsPanel(self.read, beneath)
        self.view.arrange(*(kept_columns(home) or (FIRST, "")))
        self.view.columns.observe(self._keep_columns, ["chosen", "grouped"])
        self.view.observe(self._selection_changed, ["metric", "runs"])
        self.view.table.observe(self._selection_changed, "selected")

    def open(self, run_id: str) -> None:
        """Open the page of a recorded run."""
        self.view.table.selected = [run_id]
        self._on_open()

    def read(self) -> None:
        """Read the record again; a reading under way is followed by another."""
        from t4r_lab.lab.state import source

        with self.background.lock:
            self._read_again = True
            if self.view.reading:
                return
            self._read_again, self.view.reading = False, True
        self.background.run(lambda: source.runs(self.home), self._show, self._failed)

    def _show(self, runs: list[RunSummary]) -> None:
        self.view.error, self.view.runs = "", runs
        self._end_reading(runs)

    def _failed(self, error: InputError) -> None:
        self.view.error = error_text(error)
        self._end_reading(error)

    def _end_reading(self, result: list[RunSummary] | InputError) -> None:
        self.view.loading, self.view.reading = False, False
        self._on_read(result)
        if self._read_again:
            self.read()

    def _selection_changed(self, change: tr.Bunch) -> None:
        runs = self.view.selected
        run = runs[0] if len(runs) == 1 else None
        self.removing.view.ticked = len(runs)
        self.acting.choose(run)
        self.page.choose(run)
        compared = runs if run is None or run.finished else []  # one that trains has nothing to compare yet
        self.comparing.compare([run.run_id for run in compared], self.view.metric)

    def _keep_columns(self, change: tr.Bunch) -> None:
        keep_columns(self.home, self.view.columns.chosen, self.view.columns.grouped)
