"""Tune panel: a form for a new study, and the state of existing ones, which run in other processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.families.knobs import labels
from t4r_lab.lab.panels.tune.search_form import SearchForm
from t4r_lab.lab.panels.tune.study_explorer import StudyExplorer
from t4r_lab.lab.panels.tune.study_figures import draw
from t4r_lab.lab.panels.tune.study_list import Look, StudyState, Watch
from t4r_lab.lab.panels.tune.study_plots import plots
from t4r_lab.lab.parts.dots import Dots
from t4r_lab.lab.parts.figures import Drawn
from t4r_lab.lab.parts.section import Section
from t4r_lab.lab.parts.table import Cell, Heading, Table
from t4r_lab.lab.parts.text import duration, error_text, escape, message, number
from t4r_lab.lab.parts.theme import Theme
from t4r_lab.lab.state.background import Background, Result
from t4r_lab.lab.state.cost import CostEstimate
from t4r_lab.lab.state.draft import Draft
from t4r_lab.spec import RunSpec
from t4r_lab.spec.study_options import StudyOptions
from t4r_lab.tuning import detached

if TYPE_CHECKING:
    from t4r_lab.tuning.studies.study import Trial

EMPTY = "No studies yet. Tick knobs to search and press Start: the spec in Architecture becomes trial 0."
BUSY, IDLE = 1.0, 2.0
"""Seconds between two readings of the studies, while one runs and while none does."""
PAID = ("finished", "pruned", "failed")
"""States of trials that count toward the budget."""


class TunePanel(w.VBox):
    """The `form` above, the study `chosen` beneath.

    `on_ask` gets ``pause``, ``stop`` or ``resume``, `on_use` a trial's number, and `on_choose` is called where other
    figures of what was tried are wanted.
    """

    names = tr.List(trait=tr.Unicode())
    chosen = tr.Unicode("")
    state = tr.Instance(StudyState, allow_none=True)
    error = tr.Unicode("")
    """why the studies can't be read; cleared at the next reading that succeeds"""
    refusal = tr.Unicode("")
    """why the last action was refused; kept until the next"""
    loading = tr.Bool(True)

    def __init__(
        self,
        form: SearchForm,
        on_ask: Callable[[str], None],
        on_use: Callable[[int], None],
        on_choose: Callable[[], None] = lambda: None,
    ) -> None:
        self.form = form
        self.explorer = StudyExplorer(on_choose)
        self.section = Section("New study", opened=True, above=form)
        self.choice = w.Dropdown(
            description="study",
            options=[],
            style={"description_width": "initial"},
            layout={"width": "20rem"},
            tooltip="the study that is shown, the newest first",
        )
        tips = {
            "pause": "let its workers wait after the batch, with their trials; they can continue at once",
            "stop": "end its workers after the batch, on all machines; their trials are repeated when it resumes",
            "resume": "resume it with its options",
        }
        self.asks = {ask: w.Button(description=ask.capitalize(), tooltip=tip) for ask, tip in tips.items()}
        for ask, button in self.asks.items():
            button.on_click(lambda _, ask=ask: on_ask(ask))
        self.use = w.Button(
            description="Use this trial's spec", tooltip="take the spec of the ticked trial into Architecture"
        )
        self.best = w.Checkbox(description="only the best", indent=False, tooltip="only trials that no other one beats")
        self.use.on_click(lambda _: on_use(int(self.table.selected[0])))
        self._message, self._progress, self._log, self.plots = w.HTML(), w.HTML(), w.HTML(), Dots()
        self.table: Table = Table(sort_by="trial", descending=True, caption="Trials", choose="one")
        self.table.add_class("t4r-tall")
        bar, under = w.HBox([self.choice, *self.asks.values()]), w.HBox([self.use, self.best])
        bar.add_class("t4r-actions-bar")
        under.add_class("t4r-actions-bar")
        self._watched = w.VBox([bar, self._progress, self.plots, under, self.table, self.explorer, self._log])
        super().__init__([self.section, self._message, self._watched])
        self.add_class("t4r-panel")
        self.choice.observe(self._study_chosen, "value")
        self.table.observe(self._trial_chosen, "selected")
        self.plots.observe(self._dot_chosen, "chosen")
        self.best.observe(self._filter, "value")
        self._show()

    def show(self, look: Look) -> None:
        """Show the studies as read."""
        self.loading, self.error = False, ""
        self.names = look.names
        if look.state is not None:
            self.chosen = look.state.name
        self.state = look.state

    def _filter(self, change: tr.Bunch | None = None) -> None:
        """Show all trials, or those alone that no other one beats."""
        word = self.state.best_word if self.state else ""
        self.best.description = (
            f"only trials {word}" if self.state and len(self.state.objectives) > 1 else "only the best"
        )
        self.table.filter_text = word if self.best.value else ""

    def _study_chosen(self, change: tr.Bunch) -> None:
        self.chosen = change["new"] or ""

    def _trial_chosen(self, change: tr.Bunch | None = None) -> None:
        self.use.disabled = not self.table.selected
        self.plots.chosen = self.table.selected[0] if self.table.selected else ""

    def _dot_chosen(self, change: tr.Bunch) -> None:
        if change["new"]:
            self.table.selected = [change["new"]]

    @tr.observe("names", "chosen", "state", "error", "refusal", "loading")
    def _show(self, change: tr.Bunch | None = None) -> None:
        self._message.value = (
            message("error", self.refusal or self.error)
            or message("loading", "Reading the studies …" if self.loading else "")
            or message("empty", "" if self.names else EMPTY)
        )
        self._watched.layout.display = "" if self.names else "none"
        if tuple(self.choice.options) != tuple(self.names):
            self.choice.options = self.names  # this chooses the first one, until `show` sets the study of the state
        if self.chosen in self.names:
            self.choice.value = self.chosen
        if change is None or change["name"] == "state":
            before = change["old"] if change else None
            if before is not None and self.state is not None and before.name != self.state.name:
                self.table.selected = []  # the selection belongs to the former study
            self._show_state()

    def _show_state(self) -> None:
        state = self.state
        status, alive = (state.status, state.alive) if state else ("", False)
        self.asks["pause"].disabled = status != "running"
        self.asks["stop"].disabled = status not in ("running", "paused")
        self.asks["resume"].disabled = status != "paused" and (
            alive or status not in ("running", "stopping", "stopped")
        )
        self._progress.value = progress(state) if state else ""
        self.plots.html = plots(state) if state else ""
        self._log.value = log(state) if state else ""
        trials = state.trials if state else ()
        self.table.fill(headings(state), [cells(state, t) for t in trials if state], [str(t.number) for t in trials])
        self._filter()
        self._trial_chosen()
        self.explorer.state = state


def progress(state: StudyState) -> str:
    """HTML of a study's progress, with the time left estimated from its trials, and of its best trial."""
    done, counts = sum(t.state in PAID for t in state.trials), state.counts
    words = [state.status, f"{done} of {state.total} trials" if state.total else f"{done} trials"]
    words += [f"{counts[name]} {name}" for name in ("running", "pruned", "failed", "refused", "lost") if counts[name]]
    times = [t.seconds for t in state.trials if t.state in PAID]
    left = [state.until - time.time()] if state.until else []
    if state.total and times and done < state.total:
        left.append(mean(times) * (state.total - done) / max(counts["running"], 1))
    if state.status == "running" and left and min(left) > 0:
        words.append(f"about {duration(min(left))} left")
    words += [_best(state)] if state.front else []
    words += [state.remark] if state.remark else []
    killed = state.status == "failed" and state.error is None and state.log
    problem = message("error", error_text(state.error) if state.error else state.log.splitlines()[-1] if killed else "")
    return f'<div class="t4r-standing" role="status">{escape(" · ".join(words))}</div>{problem}'


def _best(state: StudyState) -> str:
    """The best trial with its values, or the trials on the front."""
    if len(state.objectives) > 1:
        trials = f"trial{'s' if len(state.front) > 1 else ''} {', '.join(map(str, sorted(state.front)))}"
        return f"{state.best_word}: {trials}"
    best = next(t for t in state.trials if t.number == state.front[0])
    words = f"trial {best.number} is best: {', '.join(f'{k} {number(v)}' for k, v in best.values.items())}"
    others = f"trial{'s' if len(state.ties) > 1 else ''} {', '.join(map(str, state.ties))}"
    return f"{words}, as {others}" if state.ties else words


def log(state: StudyState) -> str:
    """HTML of the log of its process, folded away."""
    if not state.log:
        return ""
    pre = f'<pre class="t4r-log" tabindex="0" role="region" aria-label="log"><code>{escape(state.log)}</code></pre>'
    return f"<details><summary>log</summary>{pre}</details>"


def headings(state: StudyState | None) -> list[Heading]:
    """Columns of the table of trials, one per objective of the study."""
    objectives = [Heading(name, name, number=True) for name in (state.objectives if state else ())]
    return [
        Heading("trial", "trial"),
        Heading("state", "state"),
        *objectives,
        Heading("tried", "what was tried"),
        Heading("reason", "reason"),
        Heading("seconds", "time", number=True),
    ]


def cells(state: StudyState, trial: Trial) -> list[Cell]:
    """The row of a trial."""
    best, values, names = trial.number in state.front, trial.values, labels(trial.params)
    tried = ", ".join(f"{names[path]} {_parameter_text(value)}" for path, value in trial.params.items())
    excess = "" if trial.feasible or trial.state != "finished" else "breaks a constraint"
    return [
        Cell(str(trial.number), trial.number, under="starting spec" if trial.start else ""),
        Cell(trial.state, trial.state, under=state.best_word if best else ""),
        *(Cell(number(values.get(o)), values.get(o), strong=best) for o in state.objectives),
        Cell(tried or "–", tried),
        Cell(trial.reason or excess, trial.reason or excess),
        Cell(duration(trial.seconds or None), trial.seconds or None),
    ]


def _parameter_text(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)


class TuneController:
    """Starts studies and keeps a `TunePanel` up to date, on threads. `on_use` gets a spec and its name."""

    def __init__(
        self,
        home: Path,
        background: Background,
        draft: Draft,
        on_use: Callable[[RunSpec, str], None],
        on_change: Callable[[Sequence[str]], None],
        theme: Theme,
        cost_estimate: CostEstimate | None = None,
    ) -> None:
        self.home, self.background, self._on_use, self._on_change = home, background, on_use, on_change
        self.watch, self.theme = Watch(home), theme
        self.view = TunePanel(SearchForm(draft, self.start, cost_estimate), self.ask, self.use, self.draw)
        theme.observe(lambda _: self.draw(), "colors")
        self.view.observe(lambda _: self.background.wake(), "chosen")
        self.opened = False
        """true while the panel is visible; until then nothing is imported to read studies"""
        self.living: list[str] = []
        """names of the studies with a process here"""

    def follow(self) -> None:
        """Start reading the studies repeatedly."""
        self.background.repeat(self._look, self._show, self._failed, lambda: BUSY if self.living else IDLE)

    def open(self, opened: bool) -> None:
        """Record if the panel is visible, and read the studies at once."""
        self.opened = opened
        self.background.wake()

    def start(self, spec: RunSpec, options: StudyOptions, name: str, storage: str | None) -> None:
        """Begin a study in a separate process."""

        def started(_: object) -> None:
            self.view.chosen, self.view.section.opened = name, False  # so that its progress is visible

        self._run(lambda: detached.launch(spec, options, name, self.home, storage), started)

    def ask(self, action: str) -> None:
        """Pause, stop or resume the study shown."""
        name = self.view.chosen

        def done() -> None:
            from t4r_lab.tuning import lead

            if action == "resume":
                detached.resume(name, self.home)
            else:
                request = {"pause": lead.pause, "stop": lead.stop}[action]
                request(name, home=self.home, storage=detached.find(name, self.home).storage)

        self._run(done, lambda _: None)

    def use(self, number: int) -> None:
        """Load the spec of a trial into Architecture."""
        name = self.view.chosen
        self._run(lambda: self.watch.spec(name, number), lambda spec: self._on_use(spec, f"{name} · trial {number}"))

    def draw(self) -> None:
        """Draw what the study shown has tried, on a thread, while that section is open."""
        explorer, colors = self.view.explorer, dict(self.theme.colors)
        state, objective, pair = explorer.state, explorer.objective.value, explorer.pair
        if state is None or not objective or not explorer.section.opened:
            return
        self._drawing = request = (state, objective, pair)

        def show(drawn: dict[str, Drawn]) -> None:
            if self._drawing is request:  # else other figures are wanted by now
                explorer.drawn = drawn

        self.background.run(lambda: draw(state, objective, pair, colors), show, self._failed)

    _drawing: object = None

    def _run(self, work: Callable[[], Result], apply: Callable[[Result], None]) -> None:
        def done(result: Result) -> None:
            self.view.refusal = ""
            apply(result)
            self.background.wake()

        self.background.run(work, done, lambda error: self.view.set_trait("refusal", error_text(error)))

    def _look(self) -> tuple[str, Look | None, list[str]]:
        chosen, living = self.view.chosen, self.watch.living()
        return chosen, (self.watch.look(chosen) if self.opened else None), living

    def _show(self, update: tuple[str, Look | None, list[str]]) -> None:
        chosen, look, living = update
        if look is not None and chosen == self.view.chosen:  # else another study was chosen meanwhile
            before = self.view.state
            self.view.show(look)
            if look.state and (before is None or (before.name, before.trials) != (look.state.name, look.state.trials)):
                self.draw()
        if living != self.living:
            self.living = living
            self._on_change(living)

    def _failed(self, error: InputError) -> None:
        self.view.loading, self.view.error = False, error_text(error)
