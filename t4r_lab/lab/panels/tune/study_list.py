"""Studies as the panel shows them, read from their storage. Slow: called on threads only, one at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab.base.errors import InputError
from t4r_lab.spec import RunSpec
from t4r_lab.spec.domains import Domain
from t4r_lab.spec.study_options import best_word
from t4r_lab.tuning.detached import DetachedStudy, all_detached, find

if TYPE_CHECKING:
    from t4r_lab.tuning.studies.storage import Store
    from t4r_lab.tuning.studies.study import Importance, Study, Trial

LOG_LINES = 12


@dataclass(frozen=True)
class StudyState:
    """A study at one moment.

    `status` is ``starting``, ``running``, ``paused``, ``stopping``; ``stopped`` if trials are left, ``finished``, or
    ``failed`` if it could not begin. `alive` is true if its process is on this machine. `front` holds the numbers of
    the best trials, `space` the searched paths, `total` the total number of trials, None if only time limits it, and `until` the end of that
    time in seconds since 1970.
    """

    name: str
    status: str
    alive: bool = False
    objectives: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()
    front: tuple[int, ...] = ()
    importance: Mapping[str, Importance] = field(default_factory=dict)
    total: int | None = None
    log: str = ""
    until: float | None = None
    error: InputError | None = None
    """the failure of its process, or why it can't be read"""
    space: Mapping[str, Domain] = field(default_factory=dict)
    ties: tuple[int, ...] = ()
    """numbers of the other trials with the values of the best"""
    remark: str = ""
    """said where the starting spec itself is best"""

    @property
    def best_word(self) -> str:
        """The word for a trial that no other one beats."""
        return best_word(self.objectives)

    @property
    def counts(self) -> Counter[str]:
        """Trials by their state."""
        return Counter(trial.state for trial in self.trials)


@dataclass(frozen=True)
class Look:
    """Names of all studies, newest first, names of those with a process here, and the state of one."""

    names: list[str]
    living: list[str]
    state: StudyState | None


class Watch:
    """Reads the studies of a home, including those launched from it on a server.

    A study stays open, so that a reading loads only unfinished trials.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._stores: dict[str, Store] = {}
        self._open: dict[str, Study] = {}
        self._states: dict[str, StudyState] = {}

    def living(self) -> list[str]:
        """Names of the studies with a process here, the latest first; reads no storage."""
        return [study.name for study in reversed(all_detached(self.home)) if study.is_running()]

    def look(self, chosen: str) -> Look:
        """The names of all studies, and the state of `chosen`, else of a running one, else of the newest."""
        from t4r_lab.tuning.studies.open_study import all_names

        living, stored = self.living(), []
        if (self.home / "studies" / "studies.db").exists():
            stored = all_names(self._store(None))
        waiting = [study.name for study in all_detached(self.home) if study.name not in stored]
        names = [*stored, *waiting][::-1]
        name = next((n for n in (chosen, *living, *names) if n in names), "")
        if not name:
            return Look([], [], None)
        launched, alive = find(name, self.home), name in living
        try:
            if name not in (all_names(self._store(launched.storage)) if launched.storage else stored):
                return Look(names, living, _unread_state(launched, alive))
            return Look(names, living, self._state(launched, alive))
        except InputError as error:  # incomplete, or its server is unreachable; the others can still be shown
            return Look(names, living, _unread_state(launched, alive, error))

    def _store(self, storage: str | None) -> Store:
        from t4r_lab.tuning.studies.storage import connect
        from t4r_lab.tuning.studies.storage_address import address

        url = address(self.home, storage)
        if url not in self._stores:
            self._stores[url] = connect(url)
        return self._stores[url]

    def spec(self, name: str, number: int) -> RunSpec:
        """The spec of a trial of a study that was read by `look`."""
        trial = next(trial for trial in self._states[name].trials if trial.number == number)
        return self._open[name].spec_of(trial)

    def _state(self, launched: DetachedStudy, alive: bool) -> StudyState:
        from t4r_lab.tuning.studies.leader_lock import mark_if_dead
        from t4r_lab.tuning.studies.open_study import load

        name = launched.name
        if name not in self._open:
            self._open[name] = load(name, self._store(launched.storage))
        study, before = self._open[name], self._states.get(name)
        if not alive:
            mark_if_dead(study, self.home)
        trials = tuple(study.trials())
        if before is None or before.trials != trials:
            front = tuple(trial.number for trial in study.front())
            importance: Mapping[str, Importance] = {o: study.importance(o) for o in study.plan.objectives}
            ties, remark = study.ties(), study.remark()
        else:
            front, importance, ties, remark = before.front, before.importance, before.ties, before.remark
        requests = study.requests()
        self._states[name] = StudyState(
            name,
            study.status(alive),
            alive,
            study.plan.objectives,
            trials,
            front,
            importance,
            requests.trials,
            launched.log(LOG_LINES),
            requests.until,
            None if alive else launched.error(),
            study.plan.space,
            ties,
            remark,
        )
        return self._states[name]


def _unread_state(launched: DetachedStudy, alive: bool, why: InputError | None = None) -> StudyState:
    """The state of a study that isn't in its storage yet, or can't be read from it."""
    status, why = ("starting", why) if alive else ("failed", why or launched.error())
    return StudyState(launched.name, status, alive, log=launched.log(LOG_LINES), error=why)
