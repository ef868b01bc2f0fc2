"""Train panel: a card a job, with live curves and its log. It only watches; jobs run in other processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import ipywidgets as w
import traitlets as tr

from t4r_lab.lab.panels.train.browser_notices import BrowserNotices
from t4r_lab.lab.panels.train.job_card import JobCard, card_class
from t4r_lab.lab.parts.reveal import Reveal
from t4r_lab.lab.parts.section import Section
from t4r_lab.lab.parts.table import Cell, Heading, Table
from t4r_lab.lab.parts.text import clock, message
from t4r_lab.lab.state.notices import PATIENCE
from t4r_lab.lab.state.views import JobState, News

SHOWN = 12
"""Number of jobs with a card: running jobs first, then the newest. The others are rows of a table."""
MOST_AT_ONCE = 8
EMPTY = "No jobs yet. Choose a body and a masking in Architecture, then press Train."
HEADINGS = [
    Heading("job", "job"),
    Heading("state", "state"),
    Heading("stands", "progress"),
    Heading("started", "started"),
]


class TrainPanel(w.VBox):
    """The jobs of a home, newest first. `on_ask` gets a job's id and an action; `on_look` requests a reading now,
    `on_limit` gets the most jobs at once."""

    jobs = tr.List(trait=tr.Instance(JobState))
    error = tr.Unicode("")
    """why the jobs can't be read; cleared at the next reading that succeeds"""
    refusal = tr.Unicode("")
    """why the last launch or action was refused; kept until the next"""
    loading = tr.Bool(True)

    def __init__(
        self,
        on_ask: Callable[[str, str], None],
        on_look: Callable[[], None] = lambda: None,
        on_limit: Callable[[int | None], None] = lambda at_once: None,
    ) -> None:
        self._on_ask, self._on_look = on_ask, on_look
        self.cards: dict[str, JobCard] = {}
        self._bar = self._make_bar(on_limit)
        self._message, self._cards = w.HTML(), w.VBox()
        self.table = Table(sort_by="started", descending=True, caption="Jobs without a card", choose="many")
        self.table.add_class("t4r-tall")
        self.table.observe(lambda _: self._on_look(), "selected")
        self.further = Section("Further jobs")
        self.further.fields.children = [
            w.HTML('<div class="t4r-help">Tick one to see its curves and log, and to resume it.</div>'),
            self.table,
        ]
        self._reveal = Reveal()
        super().__init__([self._message, self._bar, self._cards, self.further, self._reveal])
        self.add_class("t4r-panel")
        self._show()

    def _make_bar(self, on_limit: Callable[[int | None], None]) -> w.HBox:
        """The controls of all jobs."""
        self.smoothing = w.FloatSlider(
            value=0.0,
            min=0.0,
            max=0.95,
            step=0.05,
            description="smoothing",
            readout_format=".2f",
            style={"description_width": "initial"},
            tooltip="how much of each point its predecessors make up",
        )
        self.smoothing.observe(self._smooth, "value")
        help = w.HTML('<div class="t4r-help">a moving average over the curves; the values stay behind it, faint</div>')
        self.limit = w.Dropdown(
            description="jobs at once",
            options=_limits(None),
            style={"description_width": "initial"},
            layout={"width": "12rem"},
            tooltip="further jobs wait in a queue; jobs at once share the cores: two take twice as long each",
        )
        self.limit.observe(lambda change: None if self._showing_limit else on_limit(change["new"]), "value")
        self.patience = w.BoundedIntText(
            value=PATIENCE,
            min=1,
            max=1000,
            description="tell after",
            style={"description_width": "initial"},
            layout={"width": "9rem"},
            tooltip="epochs without a gain after which the Lab tells you",
        )
        self.browser_notices = BrowserNotices()
        told = w.HBox([self.patience, w.HTML('<div class="t4r-help">epochs without a gain</div>')])
        bar = w.HBox([self.limit, self.smoothing, help, told, self.browser_notices])
        bar.add_class("t4r-actions-bar")
        return bar

    @property
    def running(self) -> int:
        """Number of jobs that are running."""
        return sum(job.running for job in self.jobs)

    @property
    def ticked(self) -> set[str]:
        """Ids of the ticked jobs in the table of further jobs."""
        return set(self.table.selected)

    def show(self, jobs: Sequence[JobState], news: Mapping[str, News]) -> None:
        """Show the present `jobs`, and the `news` of those with a card (`with_card`), by id."""
        self.loading, self.error = False, ""
        carded = with_card(jobs, self.ticked)
        for job in carded:
            if job.id not in self.cards:
                self.cards[job.id] = JobCard(job, self._on_ask, self._on_look)
                self.cards[job.id].smooth(self.smoothing.value)
            self.cards[job.id].show(job, news.get(job.id))
        for id in self.cards.keys() - {job.id for job in carded}:
            self.cards.pop(id).close()
        self._cards.children = [self.cards[job.id] for job in carded]
        self._show_further(with_card(jobs, set()), jobs)
        self.jobs = list(jobs)

    def show_limit(self, at_once: int | None) -> None:
        """Show the home's limit, which is no request."""
        if at_once == self.limit.value:
            return
        self._showing_limit = True
        try:
            self.limit.options = _limits(at_once)
            self.limit.value = at_once
        finally:
            self._showing_limit = False

    _showing_limit = False

    def reveal(self, id: str) -> None:
        """Scroll to the card of a job and give it the focus, once it is shown."""
        self._reveal.target = ""  # else nothing changes where it was the last one too
        self._reveal.target = card_class(id)

    def _show_further(self, first: Sequence[JobState], jobs: Sequence[JobState]) -> None:
        with_cards = {job.id for job in first}
        further = [job for job in jobs if job.id not in with_cards]
        self.further.layout.display = "" if further else "none"
        states = Counter(job.state for job in further)
        self.further.summary = " · ".join(f"{n} {state}" for state, n in states.most_common())
        self.table.fill(HEADINGS, [cells(job) for job in further], [job.id for job in further])

    def _smooth(self, change: tr.Bunch) -> None:
        for card in self.cards.values():
            card.smooth(change["new"])

    @tr.observe("jobs", "error", "refusal", "loading")
    def _show(self, change: tr.Bunch | None = None) -> None:
        self._bar.layout.display = "" if self.jobs else "none"
        self._message.value = (
            message("error", self.refusal or self.error)
            or message("loading", "Looking for jobs …" if self.loading else "")
            or message("empty", "" if self.jobs else EMPTY)
        )


def _limits(present: int | None) -> list[tuple[str, int | None]]:
    numbers = sorted({*range(1, MOST_AT_ONCE + 1), *([present] if present else [])})
    return [("no limit", None), *((str(number), number) for number in numbers)]


def with_card(jobs: Iterable[JobState], ticked: set[str]) -> list[JobState]:
    """The jobs with a card: those that run, then the queue from the next one on, then the others, newest first;
    `SHOWN` of them, and the `ticked`."""
    newest = sorted(jobs, key=lambda job: (job.launched, job.id), reverse=True)
    in_order = sorted(newest, key=lambda job: (0, 0) if job.running else (1, job.position) if job.queued else (2, 0))
    first = {job.id for job in in_order[:SHOWN]}
    return [job for job in in_order if job.id in first | ticked]


def cells(job: JobState) -> list[Cell]:
    """The row of a job without a card."""
    share = f" {job.done / job.total:.0%}".replace("%", " %") if job.running and job.total else ""
    return [
        Cell(job.name, job.name.lower(), under=job.what),
        Cell(job.state, job.state),
        Cell(f"{job.stage}{share}", job.stage),
        Cell(clock(job.launched), job.launched),
    ]
