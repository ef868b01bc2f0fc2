"""An open study: its trials, the assignment of the next one to a worker, and the best ones.

Everything is in the storage, so that any process on any machine can continue: the plan as attributes of the study,
the results of a trial as attributes of the trial.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna import study as optuna_study
from optuna import trial as optuna_trial
from optuna.trial import FrozenTrial, TrialState

from t4r_lab.base import private
from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError, first_line
from t4r_lab.spec import RunSpec
from t4r_lab.spec.domains import Domain
from t4r_lab.spec.space import changed
from t4r_lab.spec.study_options import Plan
from t4r_lab.tuning.studies.storage import Store

MOST_RETRIES = 2
"""Times that a trial whose worker died is tried again; after that the trial itself may be the cause."""
MOST_REFUSED = 1000
"""Refused trials after which a study fails: its search space must be wrong."""
COUNTED = ("finished", "pruned", "failed")
"""States of trials that count against the budget. Refused ones never trained, lost ones are tried again."""
# user attributes of studies and trials, by name
PLAN, BUDGET, STOP, PAUSED, UNTIL, RECORD, FINAL, LEADER = (
    "plan",
    "wanted",
    "stop",
    "paused",
    "until",
    "run_id",
    "final",
    "leader",
)
START, WORKER, REASON, REFUSED, RETRY_OF, RETRIES, STOPPED = (
    "start",
    "worker",
    "reason",
    "refused",
    "retry_of",
    "retries",
    "stopped",
)
RESULT = "found"
LEAST_TRIALS = 10
"""Finished trials from which on importance is shown; with fewer it is noise."""
START_IS_BEST = "the starting spec itself is best: the search has gained nothing over it"


@dataclass(frozen=True)
class Trial:
    """One trial as stored.

    `state` is ``waiting``, ``running``, one of `COUNTED`, ``refused`` (its values fit no model) or ``lost`` (its
    worker died or was stopped; it is tried again). `values` are those of the objectives, by name. `seconds`
    leave out pauses.
    """

    number: int
    state: str
    params: dict[str, Any]
    values: dict[str, float]
    metrics: dict[str, float]
    reason: str
    seconds: float
    began: float
    epochs: list[Document] = field(repr=False)
    feasible: bool = True
    start: bool = False
    worker: str = ""


@dataclass(frozen=True)
class Importance:
    """The share of each path in what made trials good, the largest first; or the `reason` why it can't be told."""

    shares: dict[str, float]
    reason: str = ""


@dataclass(frozen=True)
class Requests:
    """Requests to all workers of a study.

    `stop` is true if they must stop; `paused` is the time since which they must wait, 0 if they need not. `trials` is
    the total number of trials, None if only time limits it, and `until` the end of that time; a pause stops that
    clock. Times are in seconds since 1970.
    """

    stop: bool = False
    paused: float = 0.0
    until: float | None = None
    trials: int | None = None

    def over(self, now: float) -> bool:
        """True if workers must end at the time `now`, in seconds since 1970."""
        return self.stop or (self.until is not None and not self.paused and now > self.until)


@dataclass(frozen=True)
class Study:
    """An open study."""

    name: str
    store: Store
    plan: Plan
    digest: str
    optuna: optuna_study.Study

    # reading ------------------------------------------------------------------------------------

    def trials(self) -> list[Trial]:
        """Every trial by number."""
        rows = self.store.patiently(lambda: self.optuna.get_trials(deepcopy=False))
        retried = {t.user_attrs[RETRY_OF]: t.number for t in rows if RETRY_OF in t.user_attrs}
        return [_trial(row, self.plan, retried) for row in rows]

    def attribute(self, name: str, default: object = None) -> Any:
        """A user attribute of the study, `default` where it has none."""
        return self.store.patiently(lambda: self.optuna.user_attrs).get(name, default)

    def set_attribute(self, name: str, value: object) -> None:
        """Set a user attribute of the study."""
        self.store.patiently(lambda: self.optuna.set_user_attr(name, value))

    def requests(self) -> Requests:
        """The present requests to its workers."""
        attributes = self.store.patiently(lambda: self.optuna.user_attrs)
        return Requests(
            attributes.get(STOP, False), attributes.get(PAUSED, 0.0), attributes.get(UNTIL), attributes.get(BUDGET)
        )

    def spec_of(self, trial: Trial) -> RunSpec:
        """The whole spec that a trial trained."""
        return self.plan.spec if trial.start else changed(self.plan.spec, trial.params)

    # assigning ----------------------------------------------------------------------------------

    def claim(self, worker: str) -> optuna_trial.Trial | None:
        """Assign the next trial to `worker`; None while there is none to try."""
        return self.store.patiently(lambda: self._claim(worker))

    def _claim(self, worker: str) -> optuna_trial.Trial | None:
        with self.store.one_at_a_time(self.name):
            for row in self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if row.user_attrs.get(WORKER) == worker:  # assigned just before the storage became unavailable
                    return optuna_trial.Trial(self.optuna, self.trial_id(row))
            self._recover()
            budget = self.attribute(BUDGET)
            counts = Counter(trial.state for trial in self.trials())
            if budget is not None and sum(counts[s] for s in (*COUNTED, "running")) >= budget:
                return None
            if self.plan.options.sampler == "grid" and not counts["waiting"]:
                return None
            if counts["refused"] >= MOST_REFUSED:
                raise InputError(f"study {self.name}", f"{MOST_REFUSED:,} trials fitted no model", "narrow the search")
            trial = self.optuna.ask()
            self.store.backend.record_heartbeat(self.trial_id(trial))
            trial.set_user_attr(WORKER, worker)  # last: a trial without it belonged to a worker that died in this call
            return trial

    def trial_id(self, trial: optuna_trial.BaseTrial | optuna_trial.FrozenTrial) -> int:
        """The number of a trial in the storage, unique over all studies."""
        return private.trial_id(trial, self.name, self.store.backend)

    def ended(self) -> bool:
        """True if nothing is left to try and nothing is running."""
        counts, budget = Counter(trial.state for trial in self.trials()), self.attribute(BUDGET)
        full = budget is not None and sum(counts[s] for s in COUNTED) >= budget
        exhausted = self.plan.options.sampler == "grid" and not counts["waiting"]
        return (full or exhausted) and not counts["running"]

    def status(self, alive: bool = False) -> str:
        """``finished`` if nothing is left to try, ``stopped`` if something is and no worker runs; else ``running``,
        ``paused``, or ``stopping``, after the batch. `alive`: its process runs, maybe between two trials.
        """
        if self.ended():
            return "finished"
        if not alive and not any(trial.state == "running" for trial in self.trials()):
            return "stopped"
        requests = self.requests()
        return "stopping" if requests.stop else "paused" if requests.paused else "running"

    def release(self, worker: str, stopped: bool = False) -> None:
        """Return to the queue the trials of a worker that has died, or was `stopped`."""
        self.store.patiently(lambda: self._release(worker, stopped))

    def _release(self, worker: str, stopped: bool) -> None:
        with self.store.one_at_a_time(self.name):
            for row in self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if row.user_attrs.get(WORKER) == worker:
                    if stopped:
                        self.store.backend.set_trial_user_attr(self.trial_id(row), STOPPED, True)
                    self.optuna.tell(row.number, state=TrialState.FAIL, skip_if_finished=True)
            self._recover()

    def sweep(self) -> None:
        """Return to the queue the trials of dead workers."""

        def locked() -> None:
            with self.store.one_at_a_time(self.name):
                self._recover()

        self.store.patiently(locked)

    def _recover(self) -> None:
        """Mark the trials of dead workers as failed, and return each to the queue once."""
        optuna.storages.fail_stale_trials(self.optuna)
        for row in self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if WORKER not in row.user_attrs:  # one worker claims at a time, so the one that claimed this is dead
                self.optuna.tell(row.number, state=TrialState.FAIL, skip_if_finished=True)
        rows = self.optuna.get_trials(deepcopy=False)
        retried = {row.user_attrs.get(RETRY_OF) for row in rows}
        for row in rows:
            died = row.state == TrialState.FAIL and REASON not in row.user_attrs
            retries = row.user_attrs.get(RETRIES, 0) + (0 if row.user_attrs.get(STOPPED) else 1)
            if died and row.number not in retried and retries <= MOST_RETRIES:
                values = {**row.system_attrs.get("fixed_params", {}), **row.params}
                attributes = {START: True} if row.user_attrs.get(START) else {}
                self.optuna.enqueue_trial(values, {**attributes, RETRY_OF: row.number, RETRIES: retries})

    # judging ------------------------------------------------------------------------------------

    def front(self) -> list[Trial]:
        """The finished trials within the constraints that no other trial dominates, the best at the first objective
        first: with one objective the best trial alone, of equal ones the start or else the first."""
        finished = [t for t in self.trials() if t.state == "finished" and t.feasible]
        if not finished:
            return []
        merits = np.array([self._merits(t) for t in finished])  # (trials, objectives)
        if merits.shape[1] == 1:
            return [max(finished, key=lambda trial: (self._merits(trial)[0], trial.start, -trial.number))]
        dominates = (merits[:, None] >= merits).all(2) & (merits[:, None] > merits).any(2)  # row dominates column
        front = [trial for trial, beaten in zip(finished, np.any(dominates, axis=0), strict=True) if not beaten]
        return sorted(front, key=lambda trial: (-self._merits(trial)[0], trial.number))

    def ties(self) -> tuple[int, ...]:
        """Numbers of the other trials within the constraints that have the values of the best one."""
        best = next(iter(self.front()), None)
        return tuple(t.number for t in self.trials() if best and t.feasible and t.values == best.values and t != best)

    def remark(self) -> str:
        """Said where the starting spec itself is best, of several objectives alone on the front; else empty."""
        front = self.front()
        alone = len(front) == 1 and self.spec_of(front[0]) == self.plan.spec
        return START_IS_BEST if alone else ""

    def _merits(self, trial: Trial) -> list[float]:
        return [trial.values[name] * (-1 if self.plan.lower(name) else 1) for name in self.plan.objectives]

    def importance(self, objective: str) -> Importance:
        """The importance of each path for an objective (PED-ANOVA; Watanabe et al., 2023)."""
        finished = [trial for trial in self.trials() if trial.state == "finished"]
        if len(finished) < LEAST_TRIALS:
            return Importance({}, f"{LEAST_TRIALS} finished trials tell it; there are {len(finished)}")
        if len({trial.values[objective] for trial in finished}) < 2:  # the method takes that for equal shares
            return Importance({}, f"all {len(finished)} finished trials have the same value")
        index, sign = self.plan.objectives.index(objective), 1 if self.plan.lower(objective) else -1
        try:
            shares = optuna.importance.get_param_importances(
                self.optuna, target=lambda trial: sign * trial.values[index]
            )
        except (ValueError, RuntimeError) as error:
            return Importance({}, first_line(error))
        return Importance(shares, "" if shares else "no knob was tried in every trial")


# ── trials ──────────────────────────────────────────────────────────────────────────────────────


def suggest(trial: optuna_trial.Trial, path: str, domain: Domain) -> object:
    """The value of `path` that the sampler of `trial` chooses."""
    if domain.choices:
        return trial.suggest_categorical(path, domain.choices)
    if domain.whole:
        step = 1 if domain.log else int(domain.step or 1)
        return trial.suggest_int(path, int(domain.low), int(domain.high), step=step, log=domain.log)
    return trial.suggest_float(path, domain.low, domain.high, step=domain.step, log=domain.log)


def _trial(row: FrozenTrial, plan: Plan, retried: dict[int, int]) -> Trial:
    attributes = row.user_attrs
    result = attributes.get(RESULT, {})
    metrics = result.get("metrics", {})
    state = {
        TrialState.WAITING: "waiting",
        TrialState.RUNNING: "running",
        TrialState.COMPLETE: "finished",
        TrialState.PRUNED: "refused" if attributes.get(REFUSED) else "pruned",
        TrialState.FAIL: "failed" if REASON in attributes else "lost",
    }[row.state]
    reason = attributes.get(REASON, "")
    if state == "lost":
        cause = "it was stopped" if attributes.get(STOPPED) else "its worker died"
        retry = f"tried again as trial {retried[row.number]}" if row.number in retried else "not tried again"
        reason = f"{cause}; {retry}"
    values = dict(zip(plan.objectives, row.values, strict=True)) if row.values and state == "finished" else {}
    began = row.datetime_start.timestamp() if row.datetime_start else 0.0
    waited = sum(epoch.get("waited", 0.0) for epoch in result.get("epochs", []))
    seconds = row.duration.total_seconds() - waited if row.duration else 0.0
    feasible = bool(metrics) and all(c.excess(metrics) <= 0 for c in plan.constraints if c.metric in metrics)
    return Trial(
        row.number,
        state,
        dict(row.params),
        values,
        metrics,
        reason,
        seconds,
        began,
        result.get("epochs", []),
        feasible,
        bool(attributes.get(START)),
        attributes.get(WORKER, ""),
    )
