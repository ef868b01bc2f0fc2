"""Runs panel: the table of recorded runs, every model beside its baselines; details of ticked runs beneath."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import ipywidgets as w
import traitlets as tr

from t4r_lab.baselines.baseline_table import BASELINES
from t4r_lab.families.metrics.metric_table import RANK_METRICS, is_available, lower_is_better, named
from t4r_lab.lab.parts.table import Cell, Heading, Table
from t4r_lab.lab.parts.text import duration, message, number
from t4r_lab.lab.state.views import RunSummary

EMPTY = "No runs yet. A run appears here when training starts; the first takes a minute on the built-in data."
STATES = {"KILLED": "stopped"}
"""MLflow's status → our word, where they differ."""


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
        self.filter = w.Text(
            description="filter",
            placeholder="name, body, data, state …",
            style={"description_width": "initial"},
            layout={"width": "18rem"},
            tooltip="only runs that hold every word typed here",
        )
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
        left, right = w.HBox([self.filter, self.choice]), w.HBox([self.clear, self.again])
        self._bar = w.HBox([left, right])
        self._bar.add_class("t4r-bar-of-controls")
        self._beneath = w.VBox(beneath)
        super().__init__([self._message, self._bar, self.table, self._legend, self._beneath])
        self.add_class("t4r-panel")
        self.choice.observe(self._metric_chosen, "value")
        self.filter.observe(lambda change: self.table.set_trait("filter_text", change["new"]), "value")
        self.table.observe(self._selection_changed, "selected")
        self._selection_changed()
        self._show()

    @property
    def selected(self) -> list[RunSummary]:
        """The ticked runs in the order of ticking."""
        by_id = {run.run_id: run for run in self.runs}
        return [by_id[key] for key in self.table.selected if key in by_id]

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
        for part in (self._bar, self.table, self._legend, self._beneath):
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
            self.table.fill(headings(metric), [cells(r, metric) for r in self.runs], [r.run_id for r in self.runs])


def metrics_of(runs: Sequence[RunSummary]) -> list[str]:
    """Every metric that some run has, by name and cutoff."""
    names = {name for run in runs for name in run.valid} | {
        n for run in runs for b in run.baselines.values() for n in b
    }
    return sorted(names, key=lambda n: (n.partition("@")[0], int(n.partition("@")[2] or 0)))


def preferred(metrics: Sequence[str]) -> str:
    """The first ranking metric at its largest cutoff, else the last of `metrics`."""
    deciding = f"{next(iter(RANK_METRICS))}@"
    return next((m for m in reversed(metrics) if m.startswith(deciding)), metrics[-1])


def headings(metric: str) -> list[Heading]:
    """Columns of the table of runs, with `metric` of model and baselines."""
    row = named(metric) if is_available(metric) else None
    meaning = f": {row.help}" if row else ""
    return [
        Heading("name", "run"),
        Heading("started", "started"),
        Heading("body", "body"),
        Heading("masking", "masking"),
        Heading("data", "data"),
        Heading(
            "metric", metric or "metric", number=True, help=f"{metric} of the model on the validation part{meaning}"
        ),
        *(Heading(name, name, number=True, help=f"{metric} of the baseline {name}") for name in BASELINES),
        Heading("gain", "vs. best baseline", number=True, help="relative difference to the better baseline"),
        Heading("seconds", "time", number=True),
        Heading("status", "state"),
    ]


def cells(run: RunSummary, metric: str) -> list[Cell]:
    """The row of a run."""
    value = run.valid.get(metric)
    baselines = {name: run.baselines.get(name, {}).get(metric) for name in BASELINES}
    scores = [b for b in baselines.values() if b is not None and is_available(metric)]  # else no direction is known
    lower = bool(scores) and lower_is_better(metric)
    best = (min if lower else max)(scores, default=0.0)
    gain = (value / best - 1) * 100 if value is not None and best > 0 else None
    beats = gain is not None and round(-gain if lower else gain, 1) > 0
    aliases = [name.rpartition("@")[2] for name in run.aliases]
    began, year = time.localtime(run.started), time.localtime().tm_year
    started = time.strftime("%m-%d %H:%M" if began.tm_year == year else "%Y-%m-%d", began)
    return [
        Cell(run.name, run.name.lower(), under=" · ".join([run.run_id[:8], *aliases])),
        Cell(started, run.started),
        Cell(run.body, run.body),
        Cell(run.masking, run.masking),
        Cell(run.data, run.data),
        Cell(number(value), value, strong=beats),
        *(Cell(number(b), b, quiet=True) for b in baselines.values()),
        Cell("–" if gain is None else f"{gain:+.1f} %".replace("-", "−"), gain),
        Cell(duration(run.seconds), run.seconds),
        Cell(STATES.get(run.status, run.status.lower()), run.status, under="warning" if run.warnings else ""),
    ]
