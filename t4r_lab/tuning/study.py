"""A study while it runs: which trials there are, who tries the next one, and which is the best.

Everything stands in the storage, so that any process on any machine can go on with it: the plan as attributes of the
study, what a trial found as attributes of the trial.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna import study as optuna_study
from optuna import trial as optuna_trial
from optuna.trial import FrozenTrial, TrialState

from t4r_lab import tracking
from t4r_lab.base import homes, private
from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.data.prepared.dataset import Dataset
from t4r_lab.spec import RunSpec
from t4r_lab.spec.space import Domain, changed, grid, grid_size
from t4r_lab.spec.study_options import Plan, StudyOptions
from t4r_lab.training.experiment import open_data
from t4r_lab.tuning.storage import Store

MOST_RETRIES = 2
"""How often a trial whose worker died is tried again: then it may be the trial that kills."""
MOST_GRID = 1000
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


# ── opening ─────────────────────────────────────────────────────────────────────────────────────


def begin(name: str, plan: Plan, digest: str, store: Store) -> Study:
    """The study called `name`, made if there is none.

    Raises
    ------
    InputError
        if there is one with another plan or other data, or the grid is too large.
    """
    return store.patiently(lambda: _begin(name, plan, digest, store))


def _begin(name: str, plan: Plan, digest: str, store: Store) -> Study:
    points = _grid(plan)
    with store.one_at_a_time(name):
        found = optuna.create_study(
            study_name=name,
            storage=store.backend,
            load_if_exists=True,
            directions=["minimize" if plan.lower(o) else "maximize" for o in plan.objectives],
            sampler=optuna.samplers.RandomSampler(),
        )
        if PLAN in found.user_attrs:
            _refuse_another(name, found.user_attrs[PLAN], plan, digest)
        else:
            flat = plan.spec.flat()
            start = {path: flat[path] for path, domain in plan.space.items() if path in flat and flat[path] in domain}
            found.enqueue_trial(start, {START: True}, skip_if_exists=True)
            for point in points:
                if point != start:
                    found.enqueue_trial(point, skip_if_exists=True)
            found.set_user_attr(
                PLAN,
                {
                    "spec": plan.spec.to_dict(),
                    "options": plan.options.model_dump(mode="json"),
                    "digest": digest,
                    "comparable": plan.comparable(),
                },
            )
        grid_trials = len(found.get_trials(deepcopy=False)) if points else None
        found.set_user_attr(WANTED, plan.options.trials or grid_trials or plan.options.wanted)
        found.set_user_attr(STOP, False)
        found.set_user_attr(PAUSED, 0.0)
    return Study(name, store, plan, digest, found)


def all_names(store: Store) -> list[str]:
    """Names of all studies in a storage."""
    return store.patiently(lambda: optuna.get_all_study_names(store.backend))


def load(name: str, store: Store, sampler_seed: Sequence[int] | None = None) -> Study:
    """An existing study; with the sampler and pruner of its plan where it is to be worked on.

    Raises
    ------
    InputError
        if there is none of that name.
    """
    return store.patiently(lambda: _load(name, store, sampler_seed))


def _load(name: str, store: Store, sampler_seed: Sequence[int] | None) -> Study:
    known = all_names(store)
    if name not in known:
        remedy = did_you_mean(name, known) if known else "there are none yet; begin one with `t4r-lab tune`"
        raise InputError(f"study {name!r}", "no such study", remedy)
    found = optuna.load_study(study_name=name, storage=store.backend, sampler=optuna.samplers.RandomSampler())
    content = found.user_attrs.get(PLAN)
    if content is None:
        raise InputError(f"study {name!r}", "it was left half made", "begin it again with `t4r-lab tune`")
    options = StudyOptions.parse(content["options"])
    place = store.folder.parent if store.folder else homes.locate()
    plan = Plan.of(tracking.on_its_data(place, RunSpec.parse(content["spec"]), content["digest"]), options)
    if sampler_seed is not None:
        found.sampler, found.pruner = _sampler(options, sampler_seed), _pruner(plan)
    return Study(name, store, plan, content["digest"], found)


def data_of(study: Study) -> Dataset:
    """The data of a study, refused if they aren't what they were when it was begun."""
    return open_data(study.plan.spec, study.digest, f"of study {study.name}")


def _refuse_another(name: str, content: dict[str, Any], plan: Plan, digest: str) -> None:
    before, now = content["comparable"], plan.comparable()
    for key in before:
        if before[key] != now[key]:
            remedy = "give another --study name, or what it was begun with"
            raise InputError(
                f"study {name!r}",
                f"it was begun with another {key} ({_difference(before[key], now[key])})",
                remedy,
            )
    if content["digest"] != digest:
        raise InputError(f"study {name!r}", "it was begun on other data", "give another --study name")


def _difference(before: Any, now: Any, path: str = "") -> str:
    """The first place where two plain contents differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            if before.get(key) != now.get(key):
                return _difference(before.get(key), now.get(key), f"{path}.{key}".lstrip("."))
    return f"{path or 'before'}: {before}, not {now}"


def _grid(plan: Plan) -> list[dict[str, Any]]:
    if plan.options.sampler != "grid":
        return []
    size, most = grid_size(plan.space), plan.options.trials or MOST_GRID
    if size > max(most, 1):
        words = f"more than {most:,} trials" if plan.options.trials else f"more than {MOST_GRID:,}"
        remedy = "give fewer values (--search path=a,b,c), or another sampler"
        raise InputError("sampler grid", f"the grid has {size:,} points, {words}", remedy)
    return grid(plan.spec, plan.space)


def _sampler(options: StudyOptions, seed: Sequence[int]) -> optuna.samplers.BaseSampler:
    """`seed` differs between workers, and between a worker and the one that goes on after it."""
    own = int(np.random.SeedSequence([options.seed, *seed]).generate_state(1)[0])
    if options.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=own)
    if options.sampler == "gp":
        return optuna.samplers.GPSampler(seed=own, warn_independent_sampling=False)
    if options.sampler == "qmc":  # all workers walk along one sequence
        return optuna.samplers.QMCSampler(
            seed=options.seed, scramble=True, warn_asynchronous_seeding=False, warn_independent_sampling=False
        )
    return optuna.samplers.RandomSampler(seed=own)


def _pruner(plan: Plan) -> optuna.pruners.BasePruner:
    if not plan.prunes:
        return optuna.pruners.NopPruner()
    if plan.options.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=plan.spec.train.epochs)
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)


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
