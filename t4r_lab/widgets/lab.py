"""Lab: the front end. Panels of state and views; what takes time happens on threads and in jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as w

from t4r_lab import homes
from t4r_lab.errors import InputError
from t4r_lab.spec import RunSpec
from t4r_lab.widgets.architecture import ArchitecturePanel
from t4r_lab.widgets.background import Background
from t4r_lab.widgets.data import DataPanel
from t4r_lab.widgets.draft import Draft
from t4r_lab.widgets.profile import headline
from t4r_lab.widgets.runs import RunsPanel
from t4r_lab.widgets.text import escape
from t4r_lab.widgets.train import TrainPanel
from t4r_lab.widgets.views import DataSummary, JobState

TABS = ("Data", "Architecture", "Train", "Runs")
BUSY, IDLE = 0.5, 2.0
"""Seconds between two looks at the jobs, while one runs and while none does."""
STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


def first_spec(home: Path) -> RunSpec:
    """What the form starts with: sized for the built-in data, on which it beats the baselines in half a minute."""
    train = {"epochs": 12, "learning_rate": 3e-3}
    return RunSpec.parse({"name": "gpt2-clm", "data": {"path": str(home / "data" / "demo")}, "train": train})


class Lab(w.VBox):
    """Assemble, train, watch and compare, without leaving the notebook.

    Parameters
    ----------
    home: where runs, jobs and data are kept; by default as for the command line.
    """

    def __init__(self, home: str | Path | None = None) -> None:
        self.home = homes.ensure(home)
        self.background = Background()
        self.draft = Draft(first_spec(self.home))
        self.data = DataPanel(self.choose, self.prepare)
        self.architecture = ArchitecturePanel(self.draft, self.edit, self.train)
        self.jobs = TrainPanel(self.stop)
        self.runs = RunsPanel()
        self._header = w.HTML()
        panels = (self.data, self.architecture, self.jobs, self.runs)
        self.tabs = w.Tab(panels, titles=TABS, selected_index=1)
        super().__init__([w.HTML(f"<style>{STYLE}</style>"), self._header, self.tabs])
        self.add_class("t4r-lab")
        self._ended: set[str] = set()
        self._show_header()
        self.data.doing = "Preparing the built-in data …"
        self.background.run(self._first_data, self._use, self._data_failed)
        self.background.repeat(
            self._look, self._show_jobs, self._jobs_failed, lambda: BUSY if self.jobs.running else IDLE
        )
        self.refresh_runs()

    # data ---------------------------------------------------------------------------------------

    def _first_data(self) -> DataSummary:
        from t4r_lab.widgets import source

        return source.summarize(source.demo(self.home))

    def choose(self, path: Path) -> None:
        """Turn to other prepared data."""
        from t4r_lab.widgets import source

        self.data.doing, self.data.error = f"Opening {path.name} …", ""
        self.background.run(lambda: source.summarize(path), self._use, self._data_failed)

    def prepare(self, events: str, name: str, options: dict[str, Any]) -> None:
        """Prepare a file of events and turn to it."""
        from t4r_lab.widgets import source

        if not events or not name or Path(name).name != name or name.startswith("."):
            self.data.error = "events and name: give the path of a file and a plain name for the prepared data"
            return
        self.data.doing, self.data.error = f"Preparing {events} …", ""
        self.background.run(
            lambda: source.summarize(source.prepare(self.home, events, name, options)), self._use, self._data_failed
        )

    def _use(self, summary: DataSummary) -> None:
        from t4r_lab.widgets import source

        self.data.paths = source.datasets(self.home)
        self.data.summary, self.data.doing, self.data.error = summary, "", ""
        self.draft.use_data(str(summary.path), summary.schema)
        self._show_header()

    def _data_failed(self, text: str) -> None:
        self.data.doing, self.data.error = "", text

    # the draft ----------------------------------------------------------------------------------

    def edit(self, path: str, value: Any) -> None:
        """One edit of the spec; edits and what threads bring never overlap."""
        with self.background.lock:
            self.draft.set(path, value)

    # jobs ---------------------------------------------------------------------------------------

    def train(self) -> None:
        """Start a job that trains the draft."""
        from t4r_lab import jobs

        try:
            jobs.launch(self.draft.spec, self.home)
        except (InputError, OSError) as error:
            self.jobs.error = str(error)
        self.tabs.selected_index = TABS.index("Train")
        self.background.wake()

    def stop(self, id: str) -> None:
        """Ask a job to end after this batch."""
        from t4r_lab import jobs

        jobs.find(self.home, id).stop()
        self.background.wake()

    def _look(self) -> tuple[list[JobState], dict[str, list[dict[str, Any]]]]:
        from t4r_lab.widgets import source

        with self.background.lock:
            seen = {id: card.seen for id, card in self.jobs.cards.items()}
        states = source.job_states(self.home)
        return states, {s.id: source.events(self.home, s.id, seen.get(s.id, 0)) for s in states[: max(len(seen), 12)]}

    def _show_jobs(self, found: tuple[list[JobState], dict[str, list[dict[str, Any]]]]) -> None:
        states, events = found
        self.jobs.show(states, events)
        ended = {s.id for s in states if not s.running}
        if ended - self._ended:
            self.refresh_runs()
        self._ended = ended
        self.tabs.set_title(TABS.index("Train"), "Train ●" if self.jobs.running else "Train")
        self._show_header()

    def _jobs_failed(self, text: str) -> None:
        self.jobs.loading, self.jobs.error = False, text

    # runs ---------------------------------------------------------------------------------------

    def refresh_runs(self) -> None:
        """Read the record again."""
        from t4r_lab.widgets import source

        self.background.run(lambda: source.runs(self.home), self._show_runs, self._runs_failed)

    def _show_runs(self, runs: list[Any]) -> None:
        self.runs.loading, self.runs.error, self.runs.runs = False, "", runs
        self.tabs.set_title(TABS.index("Runs"), f"Runs {len(runs)}" if runs else "Runs")

    def _runs_failed(self, text: str) -> None:
        self.runs.loading, self.runs.error = False, text

    # ---------------------------------------------------------------------------------------------

    def _show_header(self) -> None:
        data = escape(headline(self.data.summary)) if self.data.summary else "no data yet"
        running = self.jobs.running
        jobs = f"{running} job{'s' if running != 1 else ''} running" if running else "no job running"
        self._header.value = f'<div class="t4r-header"><b>T4R Lab</b><span>{data}</span><span>{jobs}</span></div>'

    def close(self) -> None:
        """Stop watching; jobs go on."""
        self.background.close()
        super().close()
