"""One job: state, stage, progress, two curves, its log on request, and its actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.documents import Document
from t4r_lab.baselines.baseline_table import words
from t4r_lab.lab.parts.curves import Curves
from t4r_lab.lab.parts.text import clock, count, duration, escape, message
from t4r_lab.lab.state.views import JobState, News

ACTIONS = {
    "pause": "hold {name} after this batch; its memory is free until it is resumed",
    "stop": "stop {name} after this batch; what it learned is kept",
    "resume": "resume {name} where it ended",
    "up": "let {name} start before the job ahead of it",
    "down": "let {name} start after the job behind it",
    "cancel": "take {name} out of the queue for good",
    "run page": "open the page of the run of {name}: metrics, spec, notes",
}
"""Action on a job → the button's help."""
WAITING = "waiting for the first values"
SILENT = 15.0
"""Seconds without a report after which a running job counts as silent."""


def card_class(id: str) -> str:
    """CSS class of the card of a job."""
    return f"t4r-job-{id}"


class JobCard(w.VBox):
    """`on_ask` gets the job's id and the action; `on_look` is called when the log is opened or closed."""

    state = tr.Instance(JobState)
    log = tr.Unicode("")
    """the end of its worker's output"""

    def __init__(
        self, state: JobState, on_ask: Callable[[str, str], None], on_look: Callable[[], None] = lambda: None
    ) -> None:
        self.read = 0
        """the byte up to which its reports have been read"""
        self._head, self._progress, self._warnings, self._log = w.HTML(), w.HTML(), w.HTML(), w.HTML()
        self.buttons = {action: _button(action, state, on_ask) for action in ACTIONS}
        """by action"""
        self.log_button = w.Button(tooltip=f"show or hide the last lines that {state.name} has logged")
        self.log_button.on_click(lambda _: self._toggle_log(on_look))
        self._log.layout.display = "none"
        self.loss = Curves(title="training loss", end=float(state.epochs))
        self.metrics = {
            name: Curves(title=f"validation {name}", end=float(state.epochs), from_zero=True) for name in state.metrics
        }
        """validation metric → its curve: the monitored one, then one of each other head"""
        buttons = w.HBox([*self.buttons.values(), self.log_button])
        buttons.add_class("t4r-card-buttons")
        top = w.HBox([self._head, buttons])
        top.add_class("t4r-card-head")
        self._curves = w.HBox([self.loss, *self.metrics.values()])
        self._curves.add_class("t4r-card-curves")
        super().__init__([top, self._progress, self._warnings, self._curves, self._log], state=state)
        self.add_class("t4r-card")
        self.add_class(card_class(state.id))
        self._show()
        self._show_log()

    @property
    def log_opened(self) -> bool:
        """True while the log is open."""
        return bool(self._log.layout.display != "none")

    def show(self, state: JobState, news: News | None = None) -> None:
        """Show the job's state, and its reports since the last call."""
        if news is not None:
            self.consume(news.events)
            self.read = news.read
            self.log = news.log
        self.state = state

    def consume(self, events: Sequence[Document]) -> None:
        """Extend the curves by `events` (reports as JSON, see `t4r_lab.base.reports`), one message per curve."""
        loss: list[tuple[float, float]] = []
        values: dict[str, list[tuple[float, float]]] = {name: [] for name in self.metrics}
        terms: dict[str, list[tuple[float, float]]] = {}
        lines: dict[str, dict[str, float]] = {name: {} for name in self.metrics}
        epochs = self.state.epochs
        for event in events:
            kind = event.get("event")
            if kind == "progress" and event["stage"] == "training" and event["total"] and "loss" in event["figures"]:
                loss.append((event["done"] / event["total"] * epochs, event["figures"]["loss"]))
            elif kind == "baseline":
                for name in event["metrics"].keys() & lines.keys():
                    lines[name][words(event["name"])] = event["metrics"][name]
            elif kind == "caution":
                warning = message("warning", event["words"])  # sent again by a resumed job
                self._warnings.value += warning if warning not in self._warnings.value else ""
            elif kind == "epoch":
                loss.append((event["epoch"], event["train_loss"]))
                for name, value in event.get("losses", {}).items():
                    terms.setdefault(name.replace("_", " "), []).append((event["epoch"], value))
                for name in event["valid"].keys() & values.keys():
                    values[name].append((event["epoch"], event["valid"][name]))
        for name, curve in self.metrics.items():
            with curve.hold_sync():
                curve.lines = {**curve.lines, **lines[name]}
                curve.extend("validation", values[name])
        with self.loss.hold_sync():
            self.loss.extend("training", loss)
            for name, points in terms.items():
                self.loss.extend(name, points)

    def smooth(self, weight: float) -> None:
        """Smooth both curves by an exponential average of this weight, 0 to 1."""
        for curve in (self.loss, *self.metrics.values()):
            curve.smoothing = weight

    def _toggle_log(self, on_look: Callable[[], None]) -> None:
        self._log.layout.display = "none" if self.log_opened else ""
        self._show_log()
        on_look()

    @tr.observe("log")
    def _show_log(self, change: tr.Bunch | None = None) -> None:
        self.log_button.description = f"{'▾' if self.log_opened else '▸'} Log"
        name, lines = escape(self.state.name), escape(self.log or "nothing yet")
        self._log.value = (
            f'<pre class="t4r-log" tabindex="0" role="region" aria-label="log of {name}"><code>{lines}</code></pre>'
        )

    @tr.observe("state")
    def _show(self, change: tr.Bunch | None = None) -> None:
        state = self.state
        verb = "launched" if state.queued else "started"
        started = f" · {verb} {clock(state.launched)}" if state.launched else ""
        self._head.value = (
            f'<span class="t4r-card-name">{escape(state.name)}</span>'
            f'<span class="t4r-state t4r-{"running" if state.running else escape(state.state)}">{escape(state.state)}</span>'
            f'<span class="t4r-quiet">{escape(state.what)}{started}</span>'
        )
        offered = {
            "pause": state.running,
            "stop": state.running,
            "resume": state.resumable or state.queued,
            "up": state.position > 1,
            "down": state.position > 0 and state.behind > 0,
            "cancel": state.queued,
            "run page": bool(state.run_id) and not state.running and not state.queued,
        }
        for action, button in self.buttons.items():
            button.layout.display = "" if offered[action] else "none"
        for action in ("pause", "stop"):
            self.buttons[action].disabled = state.state not in ("starting", "running")
        self.buttons["resume"].description = "Start now" if state.queued else "Resume"
        untrained = state.queued and not state.run_id
        self._curves.layout.display = self.log_button.layout.display = "none" if untrained else ""
        for curve in (self.loss, *self.metrics.values()):
            curve.waiting = WAITING if state.running else "no values"
        self._progress.value = message("error", state.error) if state.error else progress(state)


def _button(action: str, state: JobState, on_ask: Callable[[str, str], None]) -> w.Button:
    button = w.Button(description=action.capitalize(), tooltip=ACTIONS[action].format(name=state.name))
    button.on_click(lambda _: on_ask(state.id, action))
    return button


def progress(state: JobState) -> str:
    """HTML of a bar with stage and time; of a job that has ended, the outcome alone."""
    if state.queued:
        position = "next" if state.position == 1 else f"number {state.position}" if state.position else "starting"
        return f'<div class="t4r-stage"><span>in the queue: {position}</span></div>'
    if not state.running:
        return f'<div class="t4r-stage"><span>{escape(state.stage)}</span></div>'
    share = min(state.done / state.total, 1.0) if state.total else 0.0
    steps = f" · {count(state.done)} of {count(state.total)} {escape(state.unit)}" if state.total else ""
    left = f"{duration(state.eta)} left" if state.eta is not None else ""
    if state.silent > SILENT:
        left = f"no report for {duration(state.silent)}; its log may say why"
    return (
        f'<div class="t4r-stage"><span>{escape(state.stage)}{steps}</span><span>{left}</span></div>'
        f'<div class="t4r-bar" role="progressbar" aria-label="progress of {escape(state.name)}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{share * 100:.0f}"><div style="width:{share * 100:.1f}%"></div></div>'
    )
