"""Actions on one ticked run: clone its spec, train it again, promote it, open its record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.families.metrics.metric_table import is_paired
from t4r_lab.jobs.job_queue import MOST_SEEDS
from t4r_lab.lab.parts.text import error_text, escape, message, number
from t4r_lab.lab.state.background import Background, Result
from t4r_lab.lab.state.views import RunSummary
from t4r_lab.runs.promote import ALIAS
from t4r_lab.spec import RunSpec
from t4r_lab.tracking import VERSION_NOTE
from t4r_lab.tracking.pages import Server, tunnel_hint

HINT = "Tick one run to clone, repeat or promote it; tick two or more to compare them."
HIDDEN = (
    "The test part is hidden until the run is promoted: promoting scores it once, and counts that look. "
    "Choose by the validation part."
)


class RunActions(w.VBox):
    """State: the ticked `run`, `doing` and `error` of the latest action, and the `link` to its record."""

    run = tr.Instance(RunSummary, allow_none=True)
    doing = tr.Unicode("")
    error = tr.Unicode("")
    link = tr.Unicode("")

    def __init__(self, ask: Callable[[str], None]) -> None:
        """`ask` gets ``clone``, ``repeat``, ``seeds``, ``promote`` or ``open``."""
        self._title, self._message, self._test = w.HTML(), w.HTML(), w.HTML()
        self.alias = w.Text(
            value=ALIAS,
            description="alias",
            tooltip="the name under which the registry gives this run out",
            style={"description_width": "initial"},
            layout={"width": "11rem"},
        )
        self.seeds = w.BoundedIntText(
            value=2,
            min=1,
            max=MOST_SEEDS,
            description="seeds",
            tooltip="number of further seeds to train this run with",
            style={"description_width": "initial"},
            layout={"width": "7rem"},
        )
        self.buttons = {
            action: w.Button(description=words, tooltip=help)
            for action, (words, help) in {
                "clone": ("Clone and edit", "take this run's spec into Architecture, where what you change is listed"),
                "repeat": (
                    "Train again",
                    "start a job with the recorded spec; the same data and seed give the same metrics",
                ),
                "seeds": (
                    "Train with more seeds",
                    "start this many jobs that differ by the seed alone; the run's page then shows means and intervals",
                ),
                "promote": ("Promote", "register the model under the alias; scores the test part and counts the look"),
                "open": ("Open in MLflow", "the run's record in the MLflow UI, which takes 10 s to start"),
            }.items()
        }
        for action, button in self.buttons.items():
            button.on_click(lambda _, action=action: ask(action))
        pairs = [w.HBox([self.seeds, self.buttons["seeds"]]), w.HBox([self.alias, self.buttons["promote"]])]
        for pair in pairs:
            pair.add_class("t4r-pair")
        self._bar = w.HBox([self.buttons["clone"], self.buttons["repeat"], self.buttons["open"], *pairs])
        self._bar.add_class("t4r-actions-bar")
        super().__init__([self._title, self._bar, self._message, self._test])
        self.add_class("t4r-actions")
        self._show()

    @tr.observe("run", "doing", "error", "link")
    def _show(self, change: tr.Bunch | None = None) -> None:
        run = self.run
        self._title.value = f'<div class="t4r-heading">{escape(run.label)}</div>' if run else ""
        self._bar.layout.display = "" if run else "none"
        for action, button in self.buttons.items():
            button.disabled = bool(self.doing) or (action == "promote" and run is not None and not run.finished)
        text = message("loading", self.doing) if self.doing else opened(self.link) if self.link else ""
        self._message.value = message("error", self.error) if self.error else text
        warnings = "".join(message("warning", words) for words in run.warnings) if run else ""
        self._test.value = warnings + test_part(run) if run else f'<div class="t4r-help">{HINT}</div>'


def opened(link: str) -> str:
    """HTML of a link to MLflow's page, with advice if the browser can't reach it."""
    words = f'<div class="t4r-help">It {escape(tunnel_hint(link))}</div>' if tunnel_hint(link) else ""
    return (
        f'<div class="t4r-message t4r-note" role="status"><a href="{escape(link)}" target="_blank" rel="noopener">'
        f"{escape(link)}</a>{words}</div>"
    )


def test_part(run: RunSummary) -> str:
    """HTML of the test part: metrics and number of looks of a promoted run, else why it is hidden."""
    times = f"{run.looks} time{'s' if run.looks != 1 else ''}"
    looked = f"The test part has been looked at {times} with this run."
    if not run.promoted:
        return f'<div class="t4r-help">{HIDDEN}{f" {looked}" if run.looks else ""}</div>'
    where = ", ".join(run.aliases) if run.aliases else "in the registry without an alias"
    names = [name for name in run.test if is_paired(name)]
    rows = {run.name: run.test, **run.test_baselines}
    head = "".join(f'<th scope="col" class="t4r-number">{escape(n)}</th>' for n in names)
    body = "".join(
        f'<tr><th scope="row">{escape(label)}</th>'
        + "".join(f'<td class="t4r-number">{number(metrics.get(n))}</td>' for n in names)
        + "</tr>"
        for label, metrics in rows.items()
    )
    return (
        f'<div class="t4r-scroll" tabindex="0" role="region" aria-label="test part"><table class="t4r-plain t4r-narrow">'
        f'<caption>Test part · {escape(where)}</caption><thead><tr><th scope="col"></th>{head}</tr></thead>'
        f'<tbody>{body}</tbody></table></div><div class="t4r-help">{looked} The version is {escape(VERSION_NOTE)}.</div>'
    )


class RunActionsController:
    """Controller of `RunActions`: runs the actions on threads."""

    def __init__(
        self,
        home: Path,
        background: Background,
        on_clone: Callable[[RunSpec, str], None],
        on_change: Callable[[], None],
        on_job: Callable[[str], None],
    ) -> None:
        self.home, self.background = home, background
        self._on_clone, self._on_change, self._on_job = on_clone, on_change, on_job
        self.server = Server(home)
        self.view = RunActions(self.ask)

    def choose(self, run: RunSummary | None) -> None:
        """Show the actions of `run`; None for no run. Messages about another run are cleared."""
        if run != self.view.run:
            if run is None or self.view.run is None or run.run_id != self.view.run.run_id:
                self.view.error, self.view.link = "", ""
            self.view.run = run

    def ask(self, action: str) -> None:
        """Begin an action on the ticked run."""
        from t4r_lab.lab.state import source

        run, view = self.view.run, self.view
        if run is None or view.doing:
            return
        home, alias, count = self.home, view.alias.value.strip(), view.seeds.value
        actions: dict[str, Callable[[], None]] = {
            "clone": lambda: self._run(
                "Reading the spec …",
                lambda: source.spec(home, run.run_id),
                lambda spec: self._on_clone(spec, run.label),
            ),
            "repeat": lambda: self._run("Starting a job …", lambda: source.repeat(home, run.run_id), self._on_job),
            "seeds": lambda: self._run(
                "Starting jobs …", lambda: source.more_seeds(home, run.run_id, count), self._on_job
            ),
            "promote": lambda: self._run(
                "Scoring the test part …",
                lambda: source.promote(home, run.run_id, alias),
                lambda _: self._on_change(),
            ),
            "open": lambda: self._run(
                "Starting the MLflow UI, which takes about 10 s …",
                lambda: source.record_page(self.server, home, run.run_id),
                lambda url: view.set_trait("link", url),
            ),
        }
        actions[action]()

    def _run(self, words: str, work: Callable[[], Result], done: Callable[[Result], None]) -> None:
        view = self.view
        view.error, view.link, view.doing = "", "", words

        def end(result: Result) -> None:
            view.doing = ""
            done(result)

        self.background.run(work, end, self._failed)

    def _failed(self, error: InputError) -> None:
        self.view.doing, self.view.error = "", error_text(error)
