"""Recommend panel: a session as chips, the next items by one or two runs, and cases where a run beats the baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.lab.panels.recommend.answers import answers, case_cells, headings, key
from t4r_lab.lab.panels.recommend.session_picker import Picker
from t4r_lab.lab.parts.section import Section
from t4r_lab.lab.parts.table import Table
from t4r_lab.lab.parts.text import error_text, escape, message
from t4r_lab.lab.state.background import Background, Result
from t4r_lab.lab.state.views import NextItems, RunSummary
from t4r_lab.runs.analyze import Case, Cases
from t4r_lab.runs.recommend import Item

EMPTY = "No finished run yet. Train one in Architecture; when it has finished, it recommends next items here."
START = "Add items by title or id, or draw a session from the validation part."
NONE = ""
LENGTHS = (5, 10, 20, 50)
WIDTH = {"description_width": "initial"}


class RecommendPanel(w.VBox):
    """State: the finished runs, `run` and `beside` (ids), the session, its recorded `case` if any, the answers."""

    runs = tr.List(trait=tr.Instance(RunSummary))
    run = tr.Unicode("")
    beside = tr.Unicode("")
    case = tr.Instance(Case, allow_none=True)
    """the recorded case in the chips, until they are edited"""
    answers: tr.Dict[str, NextItems] = tr.Dict()
    cases = tr.Instance(Cases, allow_none=True)
    doing = tr.Unicode("")
    error = tr.Unicode("")
    cases_error = tr.Unicode("")
    loading = tr.Bool(True)
    """true until the record was first read"""

    def __init__(self) -> None:
        self.choice = _dropdown("run", "the run that recommends", "22rem")
        self.second = _dropdown("beside", "a second run for comparison", "22rem")
        self.k = w.Dropdown(
            options=LENGTHS,
            value=10,
            description="items",
            tooltip="how many items are shown",
            style=WIDTH,
            layout={"width": "8rem"},
        )
        self.picker = Picker()
        self.draw = w.Button(description="Draw a session", tooltip="a session of the validation part, by chance")
        self.clear = w.Button(description="Clear", tooltip="take all items away")
        self.clear.on_click(lambda _: self.show_case(None))
        self._message, self._answers, self._cases_message = w.HTML(), w.HTML(), w.HTML()
        self.which = w.ToggleButtons(
            options=["beats", "loses to"], tooltips=["where the run is better", "where it is worse"]
        )
        self.table = Table(choose="one", caption="Validation sessions")
        self.section = Section("Sessions where the run beats or loses to the baseline")
        self.section.fields.children = [self._cases_message, self.which, self.table]
        top = w.HBox([self.choice, self.second, self.k])
        buttons = w.HBox([self.draw, self.clear])
        top.add_class("t4r-pickers")
        buttons.add_class("t4r-actions-bar")
        self.body = w.VBox([top, self.picker, buttons, self._answers, self.section])
        super().__init__([self._message, self.body])
        self.add_class("t4r-panel")
        self._quiet = False
        self.choice.observe(lambda change: self._chosen("run", change["new"]), "value")
        self.second.observe(lambda change: self._chosen("beside", change["new"]), "value")
        self.which.observe(self._list_cases, "value")
        self._show()

    def show_case(self, case: Case | None) -> None:
        """Show a recorded case in the chips; None clears them."""
        self.case = case
        self.picker.show_session(case.items if case else [])

    @property
    def session(self) -> list[Item]:
        """The items of the session shown."""
        return self.picker.session

    def _chosen(self, name: str, value: str | None) -> None:
        if not self._quiet:
            self.set_trait(name, value or NONE)

    @tr.observe("runs", "run", "beside")
    def _offer(self, change: tr.Bunch | None = None) -> None:
        """Update the drop-downs and their values to the present runs."""
        ids = {run.run_id for run in self.runs}
        options = [(run.label, run.run_id) for run in self.runs]
        if self.run not in ids:
            self.run = self.runs[0].run_id if self.runs else NONE
        if self.beside not in ids or self.beside == self.run:
            self.beside = NONE
        self._quiet = True
        try:
            for widget, offered, value in (
                (self.choice, options, self.run),
                (self.second, [("none", NONE), *(o for o in options if o[1] != self.run)], self.beside),
            ):
                if list(widget.options) != offered:
                    widget.options = offered
                if value in dict(offered).values():
                    widget.value = value
        finally:
            self._quiet = False

    @tr.observe("runs", "run", "beside", "answers", "doing", "error", "loading", "case")
    def _show(self, change: tr.Bunch | None = None) -> None:
        self.body.layout.display = "" if self.runs else "none"
        empty = message("loading", "Reading the record …") if self.loading else message("empty", EMPTY)
        text = message("error", self.error) if self.error else message("loading", self.doing)
        self._message.value = text or ("" if self.runs else empty)
        runs = [run for id in (self.run, self.beside) for run in self.runs if run.run_id == id]
        if not self.picker.chips and not self.case:
            self._answers.value = message("empty", START)
        elif all(run.run_id in self.answers for run in runs):
            self._answers.value = answers(runs, self.answers, self.case)

    @tr.observe("cases", "cases_error")
    def _list_cases(self, change: tr.Bunch | None = None) -> None:
        cases = self.cases
        for part in (self.which, self.table):
            part.layout.display = "" if cases else "none"
        if cases is None:
            self._cases_message.value = message("error", self.cases_error) or message("loading", "Reading the ranks …")
            return
        self.section.summary = f"{cases.run} and {cases.other}"
        self._cases_message.value = (
            f'<div class="t4r-help">Cases of the validation part in which {escape(cases.run)} and {escape(cases.other)} '
            "differ most by the reciprocal rank of the next item.</div>"
        )
        self.table.fill(headings(cases), [case_cells(case) for case in self.listed], [key(c) for c in self.listed])
        self.table.caption = f"{cases.run} {self.which.value} {cases.other}"

    @property
    def listed(self) -> list[Case]:
        """The cases in the table."""
        if self.cases is None:
            return []
        return self.cases.won if self.which.value == "beats" else self.cases.lost


class RecommendController:
    """Controller of a `RecommendPanel`; models are loaded and evaluated on threads."""

    def __init__(self, home: Path, background: Background) -> None:
        self.home, self.background = home, background
        self.view = RecommendPanel()
        self._opened = False
        self._turn = 0
        view = self.view
        view.picker.on_query(self.search)
        view.picker.observe(lambda _: self._session_changed(), "chips")
        view.draw.on_click(lambda _: self.draw())
        view.observe(lambda _: self._run_changed(), "run")
        view.observe(lambda _: self.ask(), "beside")
        view.k.observe(lambda _: self.ask(), "value")
        view.section.observe(lambda _: self.list_cases(), "opened")
        view.table.observe(self._case_chosen, "selected")

    def open(self) -> None:
        """Draw a first session when the panel is opened, so that it isn't empty."""
        if not self._opened and self.view.run:
            self._opened = True
            self.draw()

    def offer(self, runs: Sequence[RunSummary]) -> None:
        """Take the recorded runs; those with a model can be chosen."""
        self.view.runs, self.view.loading = [run for run in runs if run.finished], False

    def ask(self) -> None:
        """Get the next items of the chosen runs for the present session; a later request voids an earlier one."""
        from t4r_lab.lab.state import source

        view, home = self.view, self.home
        self._turn += 1
        view.error = ""
        ids, items, case, k = [id for id in (view.run, view.beside) if id], view.session, view.case, view.k.value
        if not ids or not (items or case):
            view.doing = ""
            view.answers = {}
            return
        view.doing = "" if source.is_loaded(home, ids) else "Loading the model …"

        def done(result: dict[str, NextItems]) -> None:
            view.doing, view.answers = "", result

        self._run(lambda: {id: source.answer(home, id, items, case, k) for id in ids}, done)

    def draw(self) -> None:
        """Draw a random case of the validation part."""
        from t4r_lab.lab.state import source

        home, run = self.home, self.view.run
        self._turn += 1
        self.view.error, self.view.doing = "", "Drawing a session …"
        self._run(lambda: source.draw_case(home, run), self._show_case)

    def search(self, text: str) -> None:
        """Show the items whose title or id matches `text`; the search runs on a thread."""
        from t4r_lab.lab.state import source

        home, run, picker = self.home, self.view.run, self.view.picker
        if not text.strip() or not run:
            picker.show_matches([])
            return

        def done(items: list[Item]) -> None:
            if picker.query == text:
                picker.show_matches(items)

        self.background.run(lambda: source.search(home, run, text), done, self._failed)

    def list_cases(self) -> None:
        """List the cases in which run and baseline differ most, once the section is open."""
        from t4r_lab.lab.state import source

        view, home, run = self.view, self.home, self.view.run
        if not view.section.opened or view.cases is not None or not run:
            return
        view.cases_error = ""

        def done(result: Cases) -> None:
            if run == view.run:
                view.cases = result

        self.background.run(
            lambda: source.cases(home, run), done, lambda error: view.set_trait("cases_error", error_text(error))
        )

    def _run_changed(self) -> None:
        """Handle another run: a chosen case stays in the chips, but its ranks belong to the former run."""
        view = self.view
        view.case, view.cases, view.table.selected = None, None, []
        self.list_cases()
        self.ask()

    def _session_changed(self) -> None:
        view = self.view
        if view.case is not None and view.session != view.case.items:
            view.case, view.table.selected = None, []
        self.ask()

    def _case_chosen(self, change: tr.Bunch) -> None:
        chosen = next((case for case in self.view.listed if [key(case)] == change["new"]), None)
        if chosen is not None and chosen != self.view.case:
            self._show_case(chosen)

    def _show_case(self, case: Case) -> None:
        view = self.view
        same = view.session == case.items
        if view.table.selected != [key(case)]:
            view.table.selected = []
        view.show_case(case)
        if same:
            self.ask()  # the chips are the same, but a case has all features of its events

    def _run(self, work: Callable[[], Result], done: Callable[[Result], None]) -> None:
        self.background.run(work, self._if_latest(done), self._if_latest(self._failed))

    def _if_latest(self, apply: Callable[[Result], None]) -> Callable[[Result], None]:
        """`apply`, skipped if something else was requested meanwhile."""
        turn = self._turn
        return lambda result: apply(result) if turn == self._turn else None

    def _failed(self, error: InputError) -> None:
        self.view.doing, self.view.error = "", error_text(error)


def _dropdown(name: str, help: str, width: str) -> w.Dropdown:
    return w.Dropdown(
        options=[], description=name, tooltip=help, style=WIDTH, layout={"width": width, "max_width": "100%"}
    )
