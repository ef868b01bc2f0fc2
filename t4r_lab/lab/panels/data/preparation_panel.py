"""Controller of the prepare form: reads, inspects and prepares events on threads."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import OnReport, Progress, Report
from t4r_lab.lab.panels.data.data_panel import DataPanel
from t4r_lab.lab.panels.data.prepare_form import PrepareForm, plain_name
from t4r_lab.lab.state import source
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.views import DataSummary, Preview, Raw
from t4r_lab.runs.prepare_data import Referred
from t4r_lab.spec.preparation import READING

if TYPE_CHECKING:
    from t4r_lab.data.read.raw_table import RawTable


def stages(view: DataPanel | PrepareForm, what: str, background: Background) -> OnReport:
    """Return a reporter that shows the progress of `what` in `view`."""

    def report(event: Report) -> None:
        if isinstance(event, Progress):
            with background.lock:
                view.doing, view.progress = f"{what}: {event.stage} …", event

    return report


def reading(options: Document) -> Document:
    """The options that control how a file is parsed."""
    return {name: options[name] for name in READING if name in options}


class PrepareController:
    """Reads the source chosen in `form`, and calls `on_prepared` with the summary of new prepared data."""

    def __init__(self, home: Path, background: Background, on_prepared: Callable[[DataSummary], None]) -> None:
        self.home, self.background, self._on_prepared = home, background, on_prepared
        self.form = PrepareForm(self.read, self.inspect, self.prepare, (Path.cwd(), home))
        self._table: RawTable | None = None
        """the raw events of the preview"""
        self._shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        if self._shell is not None:
            self._shell.events.register("post_run_cell", self.offer)
        self.offer()

    def offer(self, result: object = None) -> None:
        """Offer the data frames of the notebook; called after each of its cells."""
        with self.background.lock:
            self.form.frames = source.frames(source.namespace())

    def read(self, raw: Raw) -> None:
        """Show the columns and first rows of the chosen source."""
        form, options = self.form, dict(self.form.options)
        form.doing, form.progress, self._table = f"Reading {raw.name} …", None, None

        def work() -> tuple[RawTable, Preview]:
            table = source.read(raw, options)
            return table, source.preview(table, options)

        def done(result: tuple[RawTable, Preview]) -> None:
            if form.raw == raw and reading(form.options) == reading(
                options
            ):  # else another source was chosen meanwhile
                self._table, form.preview = result
                form.doing = ""

        def failed(error: InputError) -> None:
            if form.raw == raw and reading(form.options) == reading(options):
                self._failed(error)

        self.background.run(work, done, failed)

    def inspect(self, options: Document) -> None:
        """Inspect the columns again, by corrected options."""
        table, form = self._table, self.form
        if table is None:
            return

        def done(preview: Preview) -> None:
            if self._table is table and form.options == options:
                form.preview = preview

        self.background.run(lambda: source.preview(table, options), done, self._failed)

    def prepare(self, raw: Raw, name: str, options: Document, force: bool = False) -> None:
        """Prepare the events and open them; without `force`, ask before replacing data that runs refer to."""
        form, table = self.form, self._table
        if not plain_name(name):
            form.refuse(InputError("save as", "not a name for a folder", "give a plain name for the prepared data"))
            return
        form.refuse(None)
        form.asking = ""
        what = f"Preparing {raw.name}"
        form.doing = f"{what} …"

        events = raw.path if raw.path or table is None else table.frame
        report = stages(form, what, self.background)

        def work() -> DataSummary | Referred:
            try:
                return source.summarize(source.prepare(self.home, events, name, options, report, force))
            except Referred as error:
                return error

        def done(result: DataSummary | Referred) -> None:
            form.doing, form.progress = "", None
            if isinstance(result, Referred):
                form.asking = f"{name}: {result.problem}. Give another name, or replace them: what refers to them can then not be evaluated or trained again."
            else:
                self._on_prepared(result)

        self.background.run(work, done, self._failed)

    def _failed(self, error: InputError) -> None:
        self.form.doing, self.form.progress = "", None
        self.form.refuse(error)

    def close(self) -> None:
        """Stop offering the notebook's data frames."""
        if self._shell is not None:
            self._shell.events.unregister("post_run_cell", self.offer)
