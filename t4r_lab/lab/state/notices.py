"""What is worth telling of jobs to someone who isn't looking: one row a kind, each told once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from t4r_lab.base.documents import Document
from t4r_lab.lab.state.views import JobState

PATIENCE = 5
"""Epochs without a better value of the monitored metric that are worth a notice."""


@dataclass(frozen=True)
class Notice:
    """One sentence about a job; `key` is that of no other notice."""

    job: str
    """its id"""
    kind: str
    words: str
    key: str


@dataclass
class Course:
    """What the reports of a job tell so far."""

    warnings: list[str] = field(default_factory=list)
    epoch: int = 0
    best: int = 0
    """the epoch with the best value of the monitored metric"""

    def add(self, events: Sequence[Document]) -> None:
        """Extend it by reports, the oldest first."""
        for event in events:
            if event.get("event") == "caution":
                self.warnings.append(event["words"])
            elif event.get("event") == "epoch":
                self.epoch = int(event["epoch"])
                self.best = self.epoch if event.get("best") else self.best


def _finished(job: JobState, course: Course, patience: int) -> str:
    return f"{job.name} has finished: {job.stage}" if job.state == "finished" else ""


def _failed(job: JobState, course: Course, patience: int) -> str:
    return f"{job.name} has failed: {job.error}" if job.state in ("failed", "lost") else ""


def _warning(job: JobState, course: Course, patience: int) -> str:
    return f"{job.name}: {course.warnings[-1]}" if course.warnings else ""


def _no_gain(job: JobState, course: Course, patience: int) -> str:
    if not job.running or not course.best or course.epoch - course.best < patience:
        return ""
    return f"{job.name}: {job.metrics[0]} was best in epoch {course.best}, {patience} epochs ago"


KINDS: Mapping[str, Callable[[JobState, Course, int], str]] = {
    "finished": _finished,
    "failed": _failed,  # diverged too, which ends a training
    "warning": _warning,  # such as a result below the best baseline's
    "no gain": _no_gain,
}
"""Kind → its words for a job now; empty where there is nothing to tell."""


class Notices:
    """Finds what is new to tell of jobs; what was so at the first look is known."""

    def __init__(self) -> None:
        self.patience = PATIENCE
        self._courses: dict[str, Course] = {}
        self._told: dict[tuple[str, str], str] = {}
        self._looks = 0

    def __call__(self, jobs: Sequence[JobState], reports: Mapping[str, Sequence[Document]]) -> list[Notice]:
        """The new notices about `jobs`, given each one's reports since the last call."""
        new = []
        self._looks += 1
        for job in jobs:
            course = self._courses.setdefault(job.id, Course())
            course.add(reports.get(job.id, ()))
            for kind, of in KINDS.items():
                words = of(job, course, self.patience)
                if not words:
                    if kind in ("finished", "failed"):  # resumed: it may end so again
                        self._told.pop((job.id, kind), None)
                    continue
                if self._told.get((job.id, kind)) != words:
                    self._told[job.id, kind] = words
                    new.append(Notice(job.id, kind, words, f"{job.id} {kind} {self._looks}"))
        return new if self._looks > 1 else []
