"""A study while it runs: which trials there are, who tries the next one, and which is the best.

Everything stands in the storage, so that any process on any machine can go on with it: the plan as attributes of the
study, what a trial found as attributes of the trial.
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
from t4r_lab.base.errors import InputError
from t4r_lab.spec import RunSpec
from t4r_lab.spec.space import Domain, changed
from t4r_lab.spec.study_options import Plan
from t4r_lab.tuning.studies.storage import Store

MOST_RETRIES = 2
"""How often a trial whose worker died is tried again: then it may be the trial that kills."""
MOST_REFUSED = 1000
"""Values that fit no model may come up so often; then the search itself must be wrong."""
COUNTED = ("finished", "pruned", "failed")
"""States of trials that the budget pays for. Refused ones never trained, lost ones are tried again."""
# attributes
PLAN, WANTED, STOP, PAUSED, UNTIL, RECORD, FINAL, LEADER = (
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
FOUND = "found"


@dataclass(frozen=True)
class Trial:
    """One trial as the storage has it.

    `state` is ``waiting``, ``running``, one of `COUNTED`, ``refused`` (its values fit no model) or ``lost`` (its
    worker died or was stopped; it is tried again). `values` are those of the objectives, by name. `seconds` are
    without those of pauses.
    """

    number: int
    state: str
    params: dict[str, Any]
    values: dict[str, float]
    metrics: dict[str, float]
    reason: str
    seconds: float
    began: float
    epochs: list[dict[str, Any]] = field(repr=False)
    feasible: bool = True
    start: bool = False
    worker: str = ""


@dataclass(frozen=True)
class Asked:
    """What all workers of a study are asked: to `stop`, or to wait since the time `paused`; both else false.

    `wanted` are the trials in all, None for what the minutes allow; these are over at `until`, in seconds since 1970.
    A pause stops that clock.
    """

    stop: bool = False
    paused: float = 0.0
    until: float | None = None
    wanted: int | None = None

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
        return [_view(row, self.plan, retried) for row in rows]

    def attribute(self, name: str, default: Any = None) -> Any:
        """A user attribute of the study, `default` where it has none."""
        return self.store.patiently(lambda: self.optuna.user_attrs).get(name, default)

    def keep(self, name: str, value: Any) -> None:
        """Set a user attribute of the study."""
        self.store.patiently(lambda: self.optuna.set_user_attr(name, value))

    def asked(self) -> Asked:
        """What its workers are asked at this moment."""
        found = self.store.patiently(lambda: self.optuna.user_attrs)
        return Asked(found.get(STOP, False), found.get(PAUSED, 0.0), found.get(UNTIL), found.get(WANTED))

    def spec_of(self, trial: Trial) -> RunSpec:
        """The whole spec that a trial trained."""
        return self.plan.spec if trial.start else changed(self.plan.spec, trial.params)

    # giving out ---------------------------------------------------------------------------------

    def claim(self, worker: str) -> optuna_trial.Trial | None:
        """The next trial, which is `worker`'s from now on; None while there is none to try."""
        return self.store.patiently(lambda: self._claim(worker))

    def _claim(self, worker: str) -> optuna_trial.Trial | None:
        with self.store.one_at_a_time(self.name):
            for row in self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if row.user_attrs.get(WORKER) == worker:  # it was given out just before the storage went
                    return optuna_trial.Trial(self.optuna, self.trial_id(row))
            self._recover()
            wanted = self.attribute(WANTED)
            counts = Counter(trial.state for trial in self.trials())
            if wanted is not None and sum(counts[s] for s in (*COUNTED, "running")) >= wanted:
                return None
            if self.plan.options.sampler == "grid" and not counts["waiting"]:
                return None
            if counts["refused"] >= MOST_REFUSED:
                raise InputError(f"study {self.name}", f"{MOST_REFUSED:,} trials fitted no model", "narrow the search")
            trial = self.optuna.ask()
            self.store.backend.record_heartbeat(self.trial_id(trial))
            trial.set_user_attr(WORKER, worker)  # last: who lacks it died in its claim
            return trial

    def trial_id(self, trial: optuna_trial.BaseTrial | optuna_trial.FrozenTrial) -> int:
        """The number of a trial in the storage, over all studies."""
        return private.trial_id(trial, self.name, self.store.backend)

    def ended(self) -> bool:
        """Whether there is nothing left to try, nor running."""
        counts, wanted = Counter(trial.state for trial in self.trials()), self.attribute(WANTED)
        full = wanted is not None and sum(counts[s] for s in COUNTED) >= wanted
        exhausted = self.plan.options.sampler == "grid" and not counts["waiting"]
        return (full or exhausted) and not counts["running"]

    def status(self, alive: bool = False) -> str:
        """``finished`` where nothing is left to try, ``stopped`` where something is and nobody tries it; else
        ``running``, ``paused``, or ``stopping``, after the batch. `alive`: its process is there,
        maybe between two trials.
        """
        if self.ended():
            return "finished"
        if not alive and not any(trial.state == "running" for trial in self.trials()):
            return "stopped"
        asked = self.asked()
        return "stopping" if asked.stop else "paused" if asked.paused else "running"

    def lose(self, worker: str, stopped: bool = False) -> None:
        """Give back what a worker that has died, or was `stopped`, was trying."""
        self.store.patiently(lambda: self._lose(worker, stopped))

    def _lose(self, worker: str, stopped: bool) -> None:
        with self.store.one_at_a_time(self.name):
            for row in self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if row.user_attrs.get(WORKER) == worker:
                    if stopped:
                        self.store.backend.set_trial_user_attr(self.trial_id(row), STOPPED, True)
                    self.optuna.tell(row.number, state=TrialState.FAIL, skip_if_finished=True)
            self._recover()

    def sweep(self) -> None:
        """Put back what dead workers were trying."""

        def alone() -> None:
            with self.store.one_at_a_time(self.name):
                self._recover()

        self.store.patiently(alone)

    def _recover(self) -> None:
        """Mark the trials of dead workers as failed, and put each back into the queue once."""
        optuna.storages.fail_stale_trials(self.optuna)
        for row in self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if WORKER not in row.user_attrs:  # claims are made one at a time, so this one's claimer is gone
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
        """The finished trials that keep the constraints and that no other one beats at every objective, the best at
        the first objective first. With one objective it is the best trial alone."""
        there = [t for t in self.trials() if t.state == "finished" and t.feasible]
        if not there:
            return []
        merits = np.array([self._merits(t) for t in there])  # (trials, objectives)
        if merits.shape[1] == 1:
            return [there[int(merits[:, 0].argmax())]]
        beats = (merits[:, None] >= merits).all(2) & (merits[:, None] > merits).any(2)  # row beats column
        found = [trial for trial, beaten in zip(there, np.any(beats, axis=0), strict=True) if not beaten]
        return sorted(found, key=lambda trial: (-self._merits(trial)[0], trial.number))

    def _merits(self, trial: Trial) -> list[float]:
        return [trial.values[name] * (-1 if self.plan.lower(name) else 1) for name in self.plan.objectives]

    def importance(self, objective: str) -> dict[str, float]:
        """The share of each path in what made an objective good (PED-ANOVA; Watanabe et al., 2023), largest first."""
        index, sign = self.plan.objectives.index(objective), 1 if self.plan.lower(objective) else -1
        try:
            return optuna.importance.get_param_importances(self.optuna, target=lambda trial: sign * trial.values[index])
        except (ValueError, RuntimeError):  # too few trials, or all alike
            return {}


# ── trials ──────────────────────────────────────────────────────────────────────────────────────


def suggest(trial: optuna_trial.Trial, path: str, domain: Domain) -> Any:
    """The value that the sampler chooses."""
    if domain.choices:
        return trial.suggest_categorical(path, domain.choices)
    if domain.whole:
        step = 1 if domain.log else int(domain.step or 1)
        return trial.suggest_int(path, int(domain.low), int(domain.high), step=step, log=domain.log)
    return trial.suggest_float(path, domain.low, domain.high, step=domain.step, log=domain.log)


def _view(row: FrozenTrial, plan: Plan, retried: dict[int, int]) -> Trial:
    attributes = row.user_attrs
    found = attributes.get(FOUND, {})
    metrics = found.get("metrics", {})
    state = {
        TrialState.WAITING: "waiting",
        TrialState.RUNNING: "running",
        TrialState.COMPLETE: "finished",
        TrialState.PRUNED: "refused" if attributes.get(REFUSED) else "pruned",
        TrialState.FAIL: "failed" if REASON in attributes else "lost",
    }[row.state]
    reason = attributes.get(REASON, "")
    if state == "lost":
        how = "it was stopped" if attributes.get(STOPPED) else "its worker died"
        again = f"tried again as trial {retried[row.number]}" if row.number in retried else "not tried again"
        reason = f"{how}; {again}"
    values = dict(zip(plan.objectives, row.values, strict=True)) if row.values and state == "finished" else {}
    began = row.datetime_start.timestamp() if row.datetime_start else 0.0
    waited = sum(epoch.get("waited", 0.0) for epoch in found.get("epochs", []))
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
        found.get("epochs", []),
        feasible,
        bool(attributes.get(START)),
        attributes.get(WORKER, ""),
    )
