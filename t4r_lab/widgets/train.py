"""Train panel: one card a job, with live curves; it only watches, the job runs by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as w
import traitlets as tr

from t4r_lab.widgets.curves import Curves
from t4r_lab.widgets.text import count, duration, escape, message, number
from t4r_lab.widgets.views import JobState

SHOWN = 12
"""Cards at most: the newest jobs, and every one that still runs."""

EMPTY = "No jobs yet. Choose a body and a masking in Architecture, then press Train."

ACTIONS = {
    "pause": "hold {name} after this batch; its memory is free until it is resumed",
    "stop": "stop {name} after this batch; what it learned is kept",
    "resume": "go on with {name} where it ended",
}
"""What can be asked of a job → the button's help."""
WAITING = "waiting for the first values"
LABELS = {"popularity": "popularity", "successors": "successor counts"}


class JobCard(w.VBox):
    """One job: state, stage, progress, two curves, and what can be asked of it: `on_ask` gets its id and the action."""

    state = tr.Instance(JobState)

    def __init__(self, state: JobState, on_ask: Callable[[str, str], None]) -> None:
        self.seen = 0
        """events read so far"""
        self._head, self._progress = w.HTML(), w.HTML()
        self.pause, self.stop, self.resume = (_button(action, state, on_ask) for action in ACTIONS)
        self.loss = Curves(title="training loss", end=float(state.epochs))
        self.metric = Curves(title=f"validation {state.monitor}", end=float(state.epochs), from_zero=True)
        top = w.HBox([self._head, self.pause, self.stop, self.resume])
        top.add_class("t4r-card-head")
        curves = w.HBox([self.loss, self.metric])
        curves.add_class("t4r-card-curves")
        super().__init__([top, self._progress, curves], state=state)
        self.add_class("t4r-card")
        self._show()

    def consume(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Extend the curves by `events` (reports as JSON, see `t4r_lab.report`), in one message a curve."""
        loss: list[tuple[float, float]] = []
        metric: list[tuple[float, float]] = []
        epochs, monitor = self.state.epochs, self.state.monitor
        for event in events:
            kind = event.get("event")
            if kind == "progress" and event["stage"] == "training" and event["total"] and "loss" in event["figures"]:
                loss.append((event["done"] / event["total"] * epochs, event["figures"]["loss"]))
            elif kind == "baseline" and monitor in event["metrics"]:
                name = LABELS.get(event["name"], event["name"])
                self.metric.lines = {**self.metric.lines, name: event["metrics"][monitor]}
            elif kind == "epoch":
                loss.append((event["epoch"], event["train_loss"]))
                for name, value in event.get("losses", {}).items():
                    self.loss.extend(name.replace("_", " "), [(event["epoch"], value)])
                if monitor in event["valid"]:
                    metric.append((event["epoch"], event["valid"][monitor]))
        self.seen += len(events)
        self.loss.extend("training", loss)
        self.metric.extend("validation", metric)

    @tr.observe("state")
    def _show(self, change: Any = None) -> None:
        state = self.state
        started = time.strftime(" · started %H:%M", time.localtime(state.launched)) if state.launched else ""
        self._head.value = (
            f'<span class="t4r-card-name">{escape(state.name)}</span>'
            f'<span class="t4r-state t4r-{"running" if state.running else state.state}">{escape(state.state)}</span>'
            f'<span class="t4r-quiet">{escape(state.what)}{started}</span>'
        )
        for button in (self.pause, self.stop):
            button.layout.display = "" if state.running else "none"
            button.disabled = state.state not in ("starting", "running")
        self.resume.layout.display = "" if state.resumable else "none"
        self.loss.waiting = self.metric.waiting = WAITING if state.running else "no values"
        self._progress.value = message("error", state.error) if state.error else progress(state)


def _button(action: str, state: JobState, on_ask: Callable[[str, str], None]) -> w.Button:
    button = w.Button(description=action.capitalize(), tooltip=ACTIONS[action].format(name=state.name))
    button.on_click(lambda _: on_ask(state.id, action))
    return button


def progress(state: JobState) -> str:
    """HTML of a bar with stage and time; when nothing runs any more, of the outcome alone."""
    if not state.running:
        return f'<div class="t4r-stage"><span>{escape(state.stage)}</span></div>'
    share = min(state.done / state.total, 1.0) if state.total else 0.0
    steps = f" · {count(state.done)} of {count(state.total)} {escape(state.unit)}" if state.total else ""
    left = f"{duration(state.eta)} left" if state.eta is not None else ""
    return (
        f'<div class="t4r-stage"><span>{escape(state.stage)}{steps}</span><span>{left}</span></div>'
        f'<div class="t4r-bar" role="progressbar" aria-label="progress of {escape(state.name)}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{share * 100:.0f}"><div style="width:{share * 100:.1f}%"></div></div>'
    )


class TrainPanel(w.VBox):
    """The jobs of a home, newest first."""

    jobs = tr.List(trait=tr.Instance(JobState))
    error = tr.Unicode("")
    """why the jobs can't be seen; goes when they can"""
    refusal = tr.Unicode("")
    """why the last launch or action was refused; stays until the next"""
    loading = tr.Bool(True)

    def __init__(self, on_ask: Callable[[str, str], None]) -> None:
        self._on_ask = on_ask
        self.cards: dict[str, JobCard] = {}
        self._message = w.HTML()
        self._cards = w.VBox()
        super().__init__([self._message, self._cards])
        self.add_class("t4r-panel")
        self._say()

    @property
    def running(self) -> int:
        return sum(job.running for job in self.jobs)

    def show(self, jobs: Sequence[JobState], events: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Take over the present `jobs` and what each has reported since (`JobCard.seen`)."""
        self.loading, self.error = False, ""
        wanted = shown(jobs)
        for job in wanted:
            if job.id not in self.cards:
                self.cards[job.id] = JobCard(job, self._on_ask)
            card = self.cards[job.id]
            card.consume(events.get(job.id, ()))
            card.state = job
        for gone in self.cards.keys() - {job.id for job in wanted}:
            self.cards.pop(gone).close()
        cards = tuple(self.cards[job.id] for job in wanted)
        if cards != self._cards.children:
            self._cards.children = cards
        self.jobs = list(jobs)

    @tr.observe("jobs", "error", "refusal", "loading")
    def _say(self, change: Any = None) -> None:
        hidden = len(self.jobs) - len(self.cards)
        if self.refusal or self.error:
            self._message.value = message("error", self.refusal or self.error)
        elif self.loading:
            self._message.value = message("loading", "Looking for jobs …")
        elif not self.jobs:
            self._message.value = message("empty", EMPTY)
        else:
            self._message.value = message(
                "note", f"{hidden} older jobs are not shown; their runs stand in Runs." if hidden else ""
            )


def shown(jobs: Sequence[JobState]) -> list[JobState]:
    """The jobs that get a card: the newest `SHOWN`, and all that run."""
    newest = sorted(jobs, key=lambda job: job.launched, reverse=True)
    return [job for i, job in enumerate(newest) if i < SHOWN or job.running]


def outcome(metrics: Mapping[str, float], monitor: str) -> str:
    """The figure a job ended with."""
    return f"{monitor} {number(metrics[monitor])}" if monitor in metrics else ""
