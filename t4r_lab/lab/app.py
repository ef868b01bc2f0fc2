"""Lab: the front end. Panels of state and views; slow work runs on threads and in jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import count
from pathlib import Path
from pkgutil import iter_modules
from typing import ClassVar, cast

import ipywidgets as w
import traitlets as tr
from IPython.display import HTML, DisplayHandle, display, publish_display_data

import t4r_lab.lab.panels as panels
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.lab.first_steps import FirstSteps
from t4r_lab.lab.notice_list import NoticeList
from t4r_lab.lab.panels.architecture.architecture_panel import ArchitecturePanel
from t4r_lab.lab.panels.data.data_panel import DataPanel
from t4r_lab.lab.panels.data.preparation_panel import PrepareController, stages
from t4r_lab.lab.panels.data.profile_page import headline
from t4r_lab.lab.panels.recommend.recommend_panel import RecommendController
from t4r_lab.lab.panels.runs.runs_controller import RunsController
from t4r_lab.lab.panels.train.train_controller import IDLE, TrainController
from t4r_lab.lab.panels.tune.tune_panel import TuneController
from t4r_lab.lab.parts.panel import Panel
from t4r_lab.lab.parts.text import error_text, escape, message
from t4r_lab.lab.parts.theme import Theme
from t4r_lab.lab.state.background import Background, Result
from t4r_lab.lab.state.cost import CostEstimate
from t4r_lab.lab.state.draft import Draft, OpenData
from t4r_lab.lab.state.kept_draft import keep, kept
from t4r_lab.lab.state.views import DataSummary, RunSummary
from t4r_lab.lab.still import still
from t4r_lab.spec import RunSpec

PANELS = (
    Panel("Data", lambda lab: lab.data),
    Panel("Architecture", lambda lab: lab.architecture),
    Panel("Train", lambda lab: lab.jobs),
    Panel("Tune", lambda lab: lab.tuning.view),
    Panel("Runs", lambda lab: lab.runs),
    Panel("Recommend", lambda lab: lab.recommending.view),
    *(import_module(f"{panels.__name__}.{m.name}").PANEL for m in iter_modules(panels.__path__) if not m.ispkg),
)
"""The tabs in their order: the panels wired to each other, then each file in the folder of panels."""
TABS = tuple(panel.title for panel in PANELS)
STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


def first_spec(home: Path) -> RunSpec:
    """The initial spec of the form: sized for the built-in data, on which it beats the baselines in half a minute."""
    train = {"epochs": 12, "learning_rate": 3e-3}
    return RunSpec.parse({"name": "gpt2-clm", "data": {"path": str(home / "data" / "demo")}, "train": train})


def opened(summary: DataSummary) -> OpenData:
    """What a draft needs of prepared data."""
    return OpenData(str(summary.path), summary.schema, summary.label_heads)


def with_free_name(spec: RunSpec, taken: Collection[str]) -> RunSpec:
    """`spec` under a name that no run of the home has: ``gpt2-clm``, else ``gpt2-clm-2`` and so on."""
    name = next(n for i in count(1) if (n := f"{spec.name}-{i}" if i > 1 else spec.name) not in taken)
    return spec.override({"name": name})


class Lab(w.VBox):
    """Assemble, train, watch and compare, without leaving the notebook.

    Parameters
    ----------
    home
        folder of runs, jobs and data; by default as for the command line.

    Notes
    -----
    A kernel has one Lab per home: running the cell again shows the same Lab in its present state. (A new one each
    time would leave hundreds of widgets behind. They can't be closed either: JupyterLab 4.6 counts every closed
    comm twice and so ends the subshell that handles the messages of the remaining widgets.)
    """

    _open: ClassVar[dict[Path, Lab]] = {}

    def __new__(cls, home: str | Path | None = None) -> Lab:
        with suppress(InputError):
            if (lab := cls._open.get(homes.ensure(home))) is not None:
                return lab
        return cast("Lab", super().__new__(cls))

    def __init__(self, home: str | Path | None = None) -> None:
        if getattr(self, "home", None) is not None:
            return
        style = w.HTML(f"<style>{STYLE}</style>")
        self._trouble = w.HTML()
        self.background = Background(
            lambda error: self._trouble.set_trait("value", message("error", error_text(error)))
        )
        try:
            self.home = homes.ensure(home)
        except InputError as error:  # shown as a message instead of a traceback
            super().__init__([style, w.HTML(message("error", error_text(error)))])
            self.add_class("t4r-lab")
            return
        self._open[self.home] = self
        self._make_panels()
        self.tabs = w.Tab([panel.make(self) for panel in PANELS], titles=TABS, selected_index=1)
        self.tabs.observe(self._tab_changed, "selected_index")
        self.first_steps = FirstSteps(self._go, self.train)
        self.draft.observe(self._show_first_steps, "revision")
        top = [self._header, self.first_steps, self.notice_list]
        super().__init__([style, self._theme, *top, self._trouble, self.tabs])
        self.add_class("t4r-lab")
        self._follow()

    def _make_panels(self) -> None:
        """Make the panels and the controllers behind them."""
        spec, named = kept(self.home) or (first_spec(self.home), False)
        self.draft = Draft(spec, named=named)
        self._theme, self._header = Theme(), w.HTML()
        self.preparing = PrepareController(self.home, self.background, self._prepared)
        self.data = DataPanel(self.choose, self.preparing.form)
        self.cost_estimate = CostEstimate(self.draft, self.background)
        self.architecture = ArchitecturePanel(
            self.draft, self.edit, self.train, self.clone, self.start, self.cost_estimate, self.drop
        )
        self.notice_list = NoticeList(lambda job: self.training.show_started(job))
        self.training = TrainController(
            self.home,
            self.background,
            lambda: self._go("Train"),
            lambda run: self.recorded.open(run),
            self.notice_list.add,
            self._jobs_changed,
        )
        self.jobs = self.training.view
        self.tuning = TuneController(
            self.home, self.background, self.draft, self.clone, self._studies_changed, self._theme, self.cost_estimate
        )
        self.recorded = RunsController(
            self.home,
            self.background,
            self._theme,
            self.clone,
            self.training.show_started,
            lambda: self._go("Runs"),
            self._runs_read,
        )
        self.runs = self.recorded.view
        self.recommending = RecommendController(self.home, self.background)

    def _follow(self) -> None:
        """Open the data, and watch jobs, data and studies from now on."""
        self.data.doing = "Opening the data …"
        self._show_header()
        self.background.run(self._open_first_data, self._use_first_data, self._data_failed)
        self.training.follow()
        self.background.repeat(self._check_data, self._reopen, self._data_failed, lambda: IDLE)
        self.tuning.follow()
        self.cost_estimate.observe(self._import_mlflow, "doing")

    def _import_mlflow(self, change: tr.Bunch) -> None:
        """Import what pages of runs need, seconds of work, once the first estimate no longer waits for a core."""
        from t4r_lab import tracking

        if change["new"]:
            return
        self.cost_estimate.unobserve(self._import_mlflow, "doing")
        if not tracking.is_empty(self.home):
            self.background.run(lambda: tracking.client_of(self.home), lambda _: None, lambda _: None)

    # what stays -----------------------------------------------------------------------------------

    def _keep(self, change: tr.Bunch) -> None:
        """Keep the draft for the next kernel, and the picture for a notebook without one."""
        keep(self.draft, self.home)
        if self._still is not None:
            self._still.update(HTML(still(self.draft)))

    _still: DisplayHandle | None = None

    def _ipython_display_(self) -> None:
        """Show the Lab, above it a picture that a saved notebook shows where no kernel answers.

        The style of a living Lab hides the picture.
        """
        self._still = display(HTML(still(self.draft)), display_id=True)
        publish_display_data(self._repr_mimebundle_())

    # data ---------------------------------------------------------------------------------------

    def _open_first_data(self) -> DataSummary:
        from t4r_lab.lab.state import source

        report = stages(self.data, "Preparing the built-in data", self.background)
        return source.summarize(source.first(self.home, Path(self.draft.spec.data.path), report))

    def _use_first_data(self, summary: DataSummary) -> None:
        if self._request is None:  # else other data were requested meanwhile
            self._use(summary)
        self.draft.observe(self._keep, "revision")  # from now on, with data
        self.recorded.read()

    def choose(self, path: Path) -> None:
        """Switch to other prepared data."""
        self._open_data(path, self._use, self._data_failed)

    def _open_data(
        self, path: Path, opened: Callable[[DataSummary], None], failed: Callable[[InputError], None]
    ) -> None:
        """Open prepared data; the latest request wins, and nothing is launched until it is answered."""
        from t4r_lab.lab.state import source

        self._request = request = object()

        def if_latest(answer: Callable[[Result], None]) -> Callable[[Result], None]:
            return lambda result: answer(result) if self._request is request else None

        self.data.doing, self.data.error = f"Opening {path.name} …", ""
        self.draft.wait(self.data.doing)
        self.background.run(lambda: source.summarize(path), if_latest(opened), if_latest(failed))

    _request: object = None

    def _prepared(self, summary: DataSummary) -> None:
        self.data.section.opened = False
        self._request = summary  # a request under way is void
        self._use(summary)

    def _check_data(self) -> DataSummary | None:
        """The data in use if their folder was prepared again or removed since it was opened, else None."""
        from t4r_lab.lab.state import source

        summary = self.data.summary
        return None if summary is None or source.is_as_opened(summary) else summary

    def _reopen(self, changed: DataSummary | None) -> None:
        if changed is None or changed is not self.data.summary or self.draft.waiting:
            return

        def close_data(error: InputError) -> None:
            self.data.summary, self.draft.schema = None, None
            self._data_failed(error)

        self._open_data(changed.path, self._use, close_data)

    def _use(self, summary: DataSummary) -> None:
        self.draft.use_data(opened(summary))
        self._show_data(summary)

    def _show_data(self, summary: DataSummary) -> None:
        from t4r_lab.lab.state import source

        before = self.data.summary
        self.data.paths = source.datasets(self.home)
        self.data.summary, self.data.doing, self.data.progress, self.data.error = summary, "", None, ""
        if before is not None and before.path == summary.path and before.digest != summary.digest:
            self.cost_estimate.forget()
        self._show_header()

    def _data_failed(self, error: InputError | None) -> None:
        self.data.doing, self.data.progress, self.data.error = "", None, error_text(error) if error else ""
        self.draft.wait("")
        self._show_header()

    # the draft ----------------------------------------------------------------------------------

    def edit(self, path: str, value: object) -> None:
        """Make one edit of the spec; edits never overlap with the results of threads."""
        with self.background.lock:
            self.draft.set(path, value)

    def drop(self) -> None:
        """Remove the heads and features that the present data can't serve."""
        with self.background.lock:
            self.draft.drop()

    def start(self, preset: str) -> None:
        """Load a preset into Architecture, on the present data."""
        with self.background.lock:
            self.draft.start(preset)

    def clone(self, spec: RunSpec, name: str) -> None:
        """Load the spec of the run or file `name` into Architecture, on its own data if they can still be opened."""

        def use_its_data(summary: DataSummary) -> None:
            self.draft.clone(spec, name, opened(summary))
            self._show_data(summary)
            self._go("Architecture")

        def use_present_data(error: InputError) -> None:
            self._data_failed(None)
            self.draft.clone(spec, name)
            self.draft.note = f"its own data can't be opened, so these are used: {error_text(error)}"
            self.draft.revision += 1
            self._go("Architecture")

        self._open_data(Path(spec.data.path), use_its_data, use_present_data)

    # jobs ---------------------------------------------------------------------------------------

    def train(self) -> None:
        """Start a job that trains the draft; show the refusal if the draft isn't valid."""
        try:
            with self.background.lock:
                spec = self.draft.ready()
                if not self.draft.named:
                    spec = with_free_name(
                        spec, {*(run.name for run in self.runs.runs), *(j.name for j in self.jobs.jobs)}
                    )
        except InputError as error:
            self.training.show_refusal(error)
        else:
            self.training.launch(spec)

    def _jobs_changed(self, changed: bool) -> None:
        """Follow a reading of the jobs; the runs are read again if the state of a job has `changed`."""
        if changed and self.data.summary is not None:
            self.recorded.read()
        self.tabs.set_title(TABS.index("Train"), "Train ●" if self.jobs.running else "Train")
        self._show_header()

    def _studies_changed(self, living: Sequence[str]) -> None:
        self.tabs.set_title(TABS.index("Tune"), "Tune ●" if living else "Tune")
        self._show_header()
        if self.data.summary is not None:
            self.recorded.read()

    # ---------------------------------------------------------------------------------------------

    def _runs_read(self, result: list[RunSummary] | InputError) -> None:
        if isinstance(result, InputError):
            self.recommending.view.error, self.recommending.view.loading = error_text(result), False
        else:
            self.recommending.offer(result)
            self._tab_changed()
            self.tabs.set_title(TABS.index("Runs"), f"Runs {len(result)}" if result else "Runs")
        self._show_first_steps()

    def _tab_changed(self, change: tr.Bunch | None = None) -> None:
        if change is not None:
            self._trouble.value = ""  # the user has seen it
        self.tuning.open(self.tabs.selected_index == TABS.index("Tune"))
        if self.tabs.selected_index == TABS.index("Recommend"):
            self.recommending.open()

    def _go(self, title: str) -> None:
        self.tabs.selected_index = TABS.index(title)

    def _show_first_steps(self, change: tr.Bunch | None = None) -> None:
        """Show the first steps in a home without jobs, studies and runs."""
        unread = self.jobs.loading or self.runs.loading
        if unread or self.jobs.jobs or self.runs.runs or self.tuning.living:
            self.first_steps.hide()
        else:
            data = self.data.summary.name if self.data.summary else ""
            self.first_steps.show(data, self.draft.spec.name, self.draft.obstacle)

    def _show_header(self) -> None:
        nothing = "opening the data …" if self.data.doing else "no data yet"
        data = escape(headline(self.data.summary)) if self.data.summary else nothing
        running = self.jobs.running
        jobs = f"{running} job{'s' if running != 1 else ''} running" if running else "no job running"
        if studies := len(self.tuning.living):
            jobs += f" · {studies} {'study' if studies == 1 else 'studies'} running"
        self._show_first_steps()
        self._header.value = f'<div class="t4r-header"><b>T4R Lab</b><span>{data}</span><span>{jobs}</span></div>'

    def close(self) -> None:
        """Stop watching and close the view; jobs continue."""
        self.background.close()
        if hasattr(self, "recorded"):
            self.preparing.close()
            self.recorded.acting.server.close()
        self._open.pop(getattr(self, "home", Path()), None)
        super().close()
