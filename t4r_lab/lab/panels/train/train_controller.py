"""Watches the jobs of a home, and does what the Train panel asks of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab.base.errors import InputError
from t4r_lab.lab.panels.train.train_panel import TrainPanel, with_card
from t4r_lab.lab.parts.text import error_text
from t4r_lab.lab.state.background import Background, explained
from t4r_lab.lab.state.notices import Notice, Notices
from t4r_lab.lab.state.views import JobState, News
from t4r_lab.spec import RunSpec

if TYPE_CHECKING:
    from t4r_lab.jobs import Job

BUSY, IDLE = 0.5, 2.0
"""Seconds between two readings of the jobs, while one runs and while none does."""
Look = tuple[list[JobState], dict[str, News], int | None]
"""The jobs, the news of those with a card, and the most jobs at once."""


class TrainController:
    """The jobs of `home`, read on a thread.

    `on_show` shows the panel, `on_run` the page of a run by its id, `on_notices` new notices; `on_change` is called
    after each reading, with True if the state of a job has changed.
    """

    def __init__(
        self,
        home: Path,
        background: Background,
        on_show: Callable[[], None],
        on_run: Callable[[str], None],
        on_notices: Callable[[Sequence[Notice]], None],
        on_change: Callable[[bool], None],
    ) -> None:
        self.home, self.background = home, background
        self._on_show, self._on_run, self._on_notices, self._on_change = on_show, on_run, on_notices, on_change
        self._states: dict[str, tuple[str, str]] = {}
        self.notices = Notices()
        self.view = TrainPanel(self.ask, background.wake, self.limit)
        self.view.patience.observe(lambda change: setattr(self.notices, "patience", change["new"]), "value")

    def follow(self) -> None:
        """Read the jobs from now on."""
        self.background.repeat(self.look, self.show, self._failed, lambda: BUSY if self.view.running else IDLE)

    # requests -----------------------------------------------------------------------------------

    def launch(self, spec: RunSpec) -> None:
        """Start a job, on a thread, since every file of the data is checked; show its card, or why it is refused."""
        from t4r_lab import jobs

        self.background.run(lambda: jobs.launch(spec, self.home).id, self.show_started, self.show_refusal)

    def show_started(self, job: str) -> None:
        """Go to the card of a job, by its id."""
        self.show_refusal(None)
        self.view.reveal(job)

    def show_refusal(self, refusal: InputError | None) -> None:
        """Show that a launch was refused, or None for done."""
        self.view.refusal = error_text(refusal) if refusal else ""
        self._on_show()
        self.background.wake()

    def ask(self, id: str, action: str) -> None:
        """Ask a job to pause, stop or resume, or open the page of its run."""
        from t4r_lab import jobs

        if action == "run page":
            self._on_run(self.view.cards[id].state.run_id)
        else:  # on a thread, since a start checks every file of the data
            self.background.run(
                lambda: _act(jobs.find(self.home, id), action),
                lambda _: self._answer(""),
                lambda error: self._answer(error_text(error)),
            )

    def _answer(self, refusal: str) -> None:
        self.view.refusal = refusal
        self.background.wake()

    def limit(self, at_once: int | None) -> None:
        """Let at most so many jobs run at once; None for any number."""
        from t4r_lab import jobs

        try:
            jobs.write_limit(self.home, at_once)  # not on a thread: a job that is launched next has to wait
        except (InputError, OSError) as error:
            self.view.refusal = error_text(explained(error))
        self.background.wake()

    # watching -----------------------------------------------------------------------------------

    def look(self) -> Look:
        """Read the jobs; called on a thread."""
        from t4r_lab.lab.state import source

        with self.background.lock:
            cards, ticked = dict(self.view.cards), self.view.ticked
            read = {id: card.read for id, card in cards.items()}
            logs = {id for id, card in cards.items() if card.log_opened}
            ended = {id for id, card in cards.items() if not card.state.running} - logs
        states = source.job_states(self.home)
        # A card of a job that had ended has all its events: they are written before the state.
        fresh = [s.id for s in with_card(states, ticked) if s.running or s.id not in ended]
        news = {id: source.news(self.home, id, read.get(id, 0), id in logs) for id in fresh}
        return states, news, source.jobs_at_once(self.home)

    def show(self, look: Look) -> None:
        """Show the jobs as read."""
        states, news, at_once = look
        self.view.show_limit(at_once)
        self.view.show(states, news)
        self._tell(self.notices(states, {id: each.events for id, each in news.items()}))
        before, self._states = self._states, {s.id: (s.state, s.run_id) for s in states}
        self._on_change(before != self._states)

    def _tell(self, notices: Sequence[Notice]) -> None:
        """Show notices above the tabs and, where it is allowed, by the browser."""
        self._on_notices(notices)
        if notices:
            self.view.browser_notices.notices = [[notice.key, notice.words] for notice in notices]

    def _failed(self, error: InputError) -> None:
        self.view.loading, self.view.error = False, error_text(error)


def _act(job: Job, action: str) -> None:
    """Do what a button of a job's card asks for."""
    from t4r_lab import jobs

    if action in ("up", "down"):
        jobs.move(job, -1 if action == "up" else 1)
    elif action == "resume":
        jobs.resume(job)
    else:
        getattr(job, action)()
