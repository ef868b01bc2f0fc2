"""Begin studies in a storage and load them from it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import optuna

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.spec import RunSpec
from t4r_lab.spec.space import grid, grid_size
from t4r_lab.spec.study_options import Plan, StudyOptions
from t4r_lab.training.experiment import open_data
from t4r_lab.tuning.studies.storage import Store
from t4r_lab.tuning.studies.study import BUDGET, PAUSED, PLAN, START, STOP, Study

MOST_GRID = 1000


def begin(name: str, plan: Plan, digest: str, store: Store) -> Study:
    """The study called `name`, created if there is none.

    Raises
    ------
    InputError
        if one with another plan or other data exists, or the grid is too large.
    """
    return store.patiently(lambda: _begin(name, plan, digest, store))


def _begin(name: str, plan: Plan, digest: str, store: Store) -> Study:
    points = _grid(plan)
    with store.one_at_a_time(name):
        study = optuna.create_study(
            study_name=name,
            storage=store.backend,
            load_if_exists=True,
            directions=["minimize" if plan.lower(o) else "maximize" for o in plan.objectives],
            sampler=optuna.samplers.RandomSampler(),
        )
        if PLAN in study.user_attrs:
            _refuse_another(name, study.user_attrs[PLAN], plan, digest)
        else:
            flat = plan.spec.flat()
            start = {path: flat[path] for path, domain in plan.space.items() if path in flat and flat[path] in domain}
            study.enqueue_trial(start, {START: True}, skip_if_exists=True)
            for point in points:
                if point != start:
                    study.enqueue_trial(point, skip_if_exists=True)
            study.set_user_attr(
                PLAN,
                {
                    "spec": plan.spec.to_dict(),
                    "options": _seeded(plan.options, name).model_dump(mode="json"),
                    "digest": digest,
                    "comparable": plan.comparable(),
                },
            )
        grid_trials = len(study.get_trials(deepcopy=False)) if points else None
        study.set_user_attr(BUDGET, plan.options.trials or grid_trials or plan.options.total_trials)
        study.set_user_attr(STOP, False)
        study.set_user_attr(PAUSED, 0.0)
    return Study(name, store, plan, digest, study)


def all_names(store: Store) -> list[str]:
    """The names of all studies in a storage."""
    return store.patiently(lambda: optuna.get_all_study_names(store.backend))


def load(name: str, store: Store, sampler_seed: Sequence[int] | None = None) -> Study:
    """An existing study; with the sampler and pruner of its plan if a `sampler_seed` is given, as by workers.

    Raises
    ------
    InputError
        if none of that name exists.
    """
    return store.patiently(lambda: _load(name, store, sampler_seed))


def _load(name: str, store: Store, sampler_seed: Sequence[int] | None) -> Study:
    existing = all_names(store)
    if name not in existing:
        remedy = did_you_mean(name, existing) if existing else "there are none yet; begin one with `t4r-lab tune`"
        raise InputError(f"study {name!r}", "no such study", remedy)
    study = optuna.load_study(study_name=name, storage=store.backend, sampler=optuna.samplers.RandomSampler())
    content = study.user_attrs.get(PLAN)
    if content is None:
        raise InputError(f"study {name!r}", "it was left half made", "begin it again with `t4r-lab tune`")
    options = StudyOptions.parse(content["options"])
    home = store.folder.parent if store.folder else homes.locate()
    plan = Plan.of(tracking.with_present_data(home, RunSpec.parse(content["spec"]), content["digest"]), options)
    if sampler_seed is not None:
        study.sampler, study.pruner = _sampler(options, sampler_seed), _pruner(plan)
    return Study(name, store, plan, content["digest"], study)


def data_of(study: Study) -> Dataset:
    """The data of a study; InputError if they have changed since it was begun."""
    return open_data(study.plan.spec, study.digest, f"of study {study.name}")


def _seeded(options: StudyOptions, name: str) -> StudyOptions:
    """The options with a seed: one made of the study's `name`, so that two studies don't try the same values."""
    if options.seed is not None:
        return options
    return options.model_copy(update={"seed": int.from_bytes(sha256(name.encode()).digest()[:4]) >> 1})


def _refuse_another(name: str, content: Document, plan: Plan, digest: str) -> None:
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


def _difference(before: object, now: object, path: str = "") -> str:
    """The first path at which two plain contents differ, with both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            if before.get(key) != now.get(key):
                return _difference(before.get(key), now.get(key), f"{path}.{key}".lstrip("."))
    return f"{path or 'before'}: {before}, not {now}"


def _grid(plan: Plan) -> list[dict[str, object]]:
    if plan.options.sampler != "grid":
        return []
    size, most = grid_size(plan.space), plan.options.trials or MOST_GRID
    if size > max(most, 1):
        words = f"more than {most:,} trials" if plan.options.trials else f"more than {MOST_GRID:,}"
        remedy = "give fewer values (--search path=a,b,c), or another sampler"
        raise InputError("sampler grid", f"the grid has {size:,} points, {words}", remedy)
    return grid(plan.spec, plan.space)


def _sampler(options: StudyOptions, seed: Sequence[int]) -> optuna.samplers.BaseSampler:
    """The sampler of one worker; `seed` differs between workers, and between a worker and its successor."""
    study_seed = options.seed or 0
    worker_seed = int(np.random.SeedSequence([study_seed, *seed]).generate_state(1)[0])
    if options.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=worker_seed)
    if options.sampler == "gp":
        return optuna.samplers.GPSampler(seed=worker_seed, warn_independent_sampling=False)
    if options.sampler == "qmc":  # all workers share one sequence
        return optuna.samplers.QMCSampler(
            seed=study_seed, scramble=True, warn_asynchronous_seeding=False, warn_independent_sampling=False
        )
    return optuna.samplers.RandomSampler(seed=worker_seed)


def _pruner(plan: Plan) -> optuna.pruners.BasePruner:
    if not plan.prunes:
        return optuna.pruners.NopPruner()
    if plan.options.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=plan.spec.train.epochs)
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
