"""Runs panel: the table of recorded runs, every model beside its baselines; details of ticked runs beneath."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.families.metrics.metric_table import RANK_METRICS
from t4r_lab.lab.panels.runs.column_list import ColumnList
from t4r_lab.lab.panels.runs.filter_bar import FilterBar
from t4r_lab.lab.panels.runs.run_columns import FIRST, LABELS, cells, headings, in_words, metrics_of, offered
from t4r_lab.lab.parts.section import Section
from t4r_lab.lab.parts.table import Table
from t4r_lab.lab.parts.text import field_text, message
from t4r_lab.lab.state.views import RunSummary
from t4r_lab.runs.recorded.run_filter import Term, all_match, parse

EMPTY = "No runs yet. A run appears here when training starts; the first takes a minute on the built-in data."
SHORT = ("name:", "body:", "masking:", "data:", "state:", "tag:", "notes:", "archived:yes", "time<", "started>")
"""Beginnings of terms that are suggested before metrics and knobs."""


class RunsPanel(w.VBox):
    """Recorded runs with a chosen metric, beside the baselines' on the same sessions."""

    runs = tr.List(trait=tr.Instance(RunSummary))
    metric = tr.Unicode("")
    error = tr.Unicode("")
    loading = tr.Bool(True)
    """true until the record was first read"""
    reading = tr.Bool(False)

    def __init__(self, on_refresh: Callable[[], None], beneath: Sequence[w.Widget] = ()) -> None:
        self.table = Table(sort_by="started", descending=True, caption="Runs on the validation part", choose="many")
        self.table.add_class("t4r-tall")
        self.filter = FilterBar(
            placeholder="body:gru ndcg>0.1, Enter keeps it",
            help="words, or terms such as body:gru, state:finished, ndcg>0.1, learning_rate<0.01, -data:demo",
        )
        self.filter.on_enter(self.keep_filter)
        self.columns = ColumnList(first=list(FIRST), chosen=list(FIRST))
        self._section = Section("Columns")
        self._section.fields.children = [self.columns]
        self.clear = w.Button(description="Untick all", tooltip="choose no run")
        self.clear.on_click(lambda _: self.table.set_trait("selected", []))
        self.choice = w.Dropdown(
            description="metric",
            options=[],
            style={"description_width": "initial"},
            layout={"width": "14rem"},
            tooltip="the validation metric that is shown beside the baselines",
        )
        self.again = w.Button(
            description="Read again", tooltip="read the record again: runs of the shell and of other notebooks"
        )
        self.again.on_click(lambda _: on_refresh())
        self._message = w.HTML()
        self._legend = w.HTML(
            '<div class="t4r-help">Figures of the validation part, in bold where they beat both baselines. '
            "Runs on other data, or that predict other positions, don't compare.</div>"
        )
        self._bar = w.HBox([self.filter, w.HBox([self.choice, self.clear, self.again])])
        self._bar.add_class("t4r-bar-of-controls")
        self._beneath = w.VBox(beneath)
        super().__init__([self._message, self._bar, self._section, self.table, self._legend, self._beneath])
        self.add_class("t4r-panel")
        self.choice.observe(self._metric_chosen, "value")
        self.filter.observe(self._filter, ["text", "terms"])
        self.columns.observe(self._arrange, ["chosen", "grouped"])
        self.table.observe(self._selection_changed, "selected")
        self._selection_changed()
        self._show()

    @property
    def selected(self) -> list[RunSummary]:
        """The ticked runs in the order of ticking."""
        by_id = {run.run_id: run for run in self.runs}
        return [by_id[key] for key in self.table.selected if key in by_id]

    def arrange(self, columns: Sequence[str], grouped: str) -> None:
        """Show the columns of these keys in this order; the name of the run comes first."""
        with self.columns.hold_trait_notifications():
            self.columns.chosen = list(dict.fromkeys([FIRST[0], *columns]))
            self.columns.grouped = grouped

    # filter ---------------------------------------------------------------------------------------

    def keep_filter(self) -> None:
        """Make chips of the terms being typed, unless one of them is refused."""
        try:
            terms = [term.text for term in self._parsed(self.filter.text)]
        except InputError:
            return  # the note says why
        with self.filter.hold_trait_notifications():
            self.filter.text, self.filter.terms = "", list(dict.fromkeys([*self.filter.terms, *terms]))

    def _parsed(self, text: str) -> list[Term]:
        return parse(text, {name for run in self.runs for name in run.facts})

    def _filter(self, change: tr.Bunch | None = None) -> None:
        """Show the runs that match the chips and, as far as it is understood, the text being typed."""
        terms, refused = [], None
        for text in (*self.filter.terms, self.filter.text):
            try:
                terms += self._parsed(text)
            except InputError as error:
                refused = error
        matching = [run.run_id for run in self.runs if all_match(terms, run.facts)]
        left_out = len(matching) < len(self.runs)
        self.table.only = frozenset(matching) if left_out else None
        count = f"{len(matching)} of {len(self.runs)} run{'s' if len(self.runs) != 1 else ''}"
        count = count if terms or left_out else ""
        self.filter.note, self.filter.refused = field_text(refused) or count, refused is not None

    # ----------------------------------------------------------------------------------------------

    def _selection_changed(self, change: tr.Bunch | None = None) -> None:
        self.clear.disabled = not self.table.selected

    def _metric_chosen(self, change: tr.Bunch) -> None:
        self.metric = change["new"] or ""

    @tr.observe("reading")
    def _show_reading(self, change: tr.Bunch) -> None:
        self.again.disabled = self.reading

    @tr.observe("runs", "metric", "error", "loading")
    def _show(self, change: tr.Bunch | None = None) -> None:
        text = message("loading", "Reading the record …") if self.loading else message("empty", EMPTY)
        self._message.value = message("error", self.error) if self.error else ("" if self.runs else text)
        for part in (self._bar, self._section, self.table, self._legend, self._beneath):
            part.layout.display = "" if self.runs else "none"
        metrics = metrics_of(self.runs)
        metric = self.metric if self.metric in metrics else preferred(metrics) if metrics else ""
        if metric != self.metric:
            self.metric = metric  # calls this method again
            return
        if tuple(self.choice.options) != tuple(metrics):
            self.choice.options = metrics
        if metric:
            self.choice.value = metric
        if change is None or change["name"] in ("runs", "metric"):
            self._offer()
            self._arrange()
            self._filter()

    def _offer(self) -> None:
        """Offer the columns and terms that the present runs have."""
        columns = offered(self.runs)
        self.columns.offered = [vars(column) for column in columns]
        names = [c.key for c in columns if "." in c.key or "@" in c.key]
        self.filter.suggestions = [*SHORT, *names]

    def _arrange(self, change: tr.Bunch | None = None) -> None:
        """Fill the table by the chosen columns."""
        known = {column["key"] for column in self.columns.offered}
        keys, metric = [key for key in self.columns.chosen if key in known], self.metric
        self.table.group_by = self.columns.grouped
        label = LABELS.get(self.columns.grouped, self.columns.grouped)
        grouped = f" · rows grouped by {label}" if label else ""
        self._section.summary = f"{len(keys)} of {len(known)}{grouped}"
        self.table.wide = keys != list(FIRST)
        rows = [cells(run, metric, keys) for run in self.runs]
        keys_of_runs = [run.run_id for run in self.runs]
        self.table.fill(headings(metric, keys), rows, keys_of_runs, lambda group: in_words(group, keys, metric))


def preferred(metrics: Sequence[str]) -> str:
    """The first ranking metric at its largest cutoff, else the last of `metrics`."""
    deciding = f"{next(iter(RANK_METRICS))}@"
    return next((m for m in reversed(metrics) if m.startswith(deciding)), metrics[-1])
