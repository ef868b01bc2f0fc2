"""The worker of a study: a process that tries one spec after another until the study has ended.

Imports and data are loaded once. Any number of workers on any number of machines share a study; each knows only
its name and the address of its storage.
"""

from __future__ import annotations

import json
import math
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import optuna
from optuna.trial import TrialState

from t4r_lab.base import retries, system
from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError, is_panic
from t4r_lab.base.files import scratch
from t4r_lab.base.retries import Unavailable
from t4r_lab.runs import processes
from t4r_lab.spec import RunSpec
from t4r_lab.spec.study_options import Plan
from t4r_lab.training.experiment import Experiment
from t4r_lab.tuning.studies.open_study import data_of, load
from t4r_lab.tuning.studies.storage import Unusable, connect
from t4r_lab.tuning.studies.study import COUNTED, REASON, REFUSED, RESULT, START, Requests, Study, suggest

if TYPE_CHECKING:
    from t4r_lab.tuning.trial import Epochs

POLL = 0.5
"""Seconds between two checks of the requests to the workers of the study."""


@dataclass(frozen=True)
class Orders:
    """The instructions to a worker.

    `seed` sets its sampler's numbers apart from those of other workers; `until` ends it, in seconds since 1970, if the
    study does not end earlier; `threads` 0: all.
    """

    study: str
    storage: str
    home: str
    name: str
    seed: list[int]
    until: float | None = None
    threads: int = 0


def random_seed() -> list[int]:
    """A random seed, for a worker without an index."""
    return [secrets.randbits(32)]


def name_worker() -> str:
    """A unique name of a worker."""
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


def work(orders: Orders, waits: float = 0.0) -> int:
    """Try specs until the study has ended, its time is over or it must stop; return the number of trials.

    `waits` are the seconds to wait at the start for a storage that is unavailable; later it is `retries.SECONDS`.

    Raises
    ------
    InputError
        if there is no such study, its starting spec is refused on this machine, or its storage can't be reached.
    """
    store = connect(orders.storage, waits).waiting()
    study = load(orders.study, store, orders.seed)
    base = Experiment.open(study.plan.spec, data_of(study), Path(orders.home))
    import torch

    import t4r_lab.tuning.trial  # noqa: F401 (now, so that no trial's time includes it)

    if orders.threads:
        torch.set_num_threads(orders.threads)
    folders, done = Path(orders.home) / "studies" / "scratch", 0
    folders.mkdir(parents=True, exist_ok=True)
    try:
        with _control(study, orders.until) as should_stop:
            while not should_stop():
                trial = None if _too_late(study, orders.until) else study.claim(orders.name)
                if trial is None:
                    if study.ended() or _too_late(study, orders.until):
                        break
                    time.sleep(POLL)  # trials of other workers may return to the queue
                    continue
                with store.heartbeat(study.trial_id(trial)), scratch(folders, "trial") as folder:
                    done += _try(study, trial, base, folder, should_stop)
    finally:
        with suppress(Exception), retries.at_once():
            study.release(orders.name, stopped=True)
    return done


def _try(study: Study, trial: optuna.Trial, base: Experiment, folder: Path, should_stop: Callable[[], bool]) -> bool:
    """Run a trial and store how it ended; False if it was returned to the queue. Errors of the trial are stored."""
    from t4r_lab.tuning.trial import Interrupted, Pruned, reason, train

    plan, patiently = study.plan, study.store.patiently
    epochs: Epochs = []
    metrics: dict[str, float] = {}
    state, attributes = TrialState.COMPLETE, {}

    def prune(epoch: int, value: float) -> bool:
        patiently(lambda: trial.report(value, epoch))
        return patiently(trial.should_prune)

    try:
        spec = patiently(lambda: choose(trial, plan))
        metrics = train(spec, plan, base, folder, epochs, should_stop, prune)
    except (Interrupted, optuna.exceptions.UpdateFinishedTrialError):
        return False  # returned, or without a heartbeat so long that another worker has it
    except (Unavailable, Unusable):
        raise
    except (Refused, InputError) as error:
        state, attributes = TrialState.PRUNED, {REFUSED: True, REASON: str(error)}
    except Pruned as error:
        state, attributes = TrialState.PRUNED, {REASON: str(error)}
    except BaseException as error:
        if not (isinstance(error, Exception) or is_panic(error)):
            raise
        state, attributes = TrialState.FAIL, {REASON: reason(error)}
    with suppress(optuna.exceptions.UpdateFinishedTrialError):
        _store(study, trial, state, metrics, {**attributes, RESULT: {"metrics": metrics, "epochs": epochs}})
    return True


class Refused(Exception):
    """The values chosen by the sampler fit no model."""


def choose(trial: optuna.Trial, plan: Plan) -> RunSpec:
    """The spec that a trial tries: the starting spec, or one with the sampler's values, kinds first.

    Raises
    ------
    Refused
        if the values fit no model.
    """
    flat, kinds = plan.spec.flat(), [path for path in plan.space if path.endswith(".kind")]
    if trial.user_attrs.get(START):
        for path, domain in plan.space.items():
            if path in flat and flat[path] in domain:
                suggest(trial, path, domain)  # the values are fixed; this reports them to the sampler
        return plan.spec
    try:
        values = {path: suggest(trial, path, plan.space[path]) for path in kinds}
        knobs = plan.spec.override(values).knobs()
        values |= {p: suggest(trial, p, domain) for p, domain in plan.space.items() if p in knobs and p not in kinds}
        return plan.spec.override(values)
    except InputError as error:
        raise Refused(str(error)) from None


def _store(
    study: Study, trial: optuna.Trial, state: TrialState, metrics: dict[str, float], attributes: dict[str, object]
) -> None:
    """Store the end of a trial, attributes first: a trial with a state has all of them."""

    def tell() -> None:
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        values = None
        if state == TrialState.COMPLETE:
            values = [metrics[name] for name in study.plan.objectives]
            for constraint in study.plan.constraints:
                trial.set_constraint(constraint.text, constraint.excess(metrics))
        study.optuna.tell(trial, values, None if values else state, skip_if_finished=True)

    study.store.patiently(tell)


@contextmanager
def _control(study: Study, until: float | None) -> Iterator[Callable[[], bool]]:
    """A function that is true if the worker must stop, by a request or the time; it waits while the study is paused."""
    read, requests = 0.0, Requests()

    def look() -> Requests:
        nonlocal read, requests
        if time.time() - read > POLL:
            requests, read = study.requests(), time.time()
        return requests

    with processes.interruptible(lambda: look().over(time.time()) or (until or math.inf) < time.time()) as stopping:

        def should_stop() -> bool:
            while not stopping():
                if not look().paused:
                    return False
                time.sleep(POLL)
            return True

        yield should_stop


def _too_late(study: Study, until: float | None) -> bool:
    """True if a trial of the median length would not end in time."""
    ends = min(end or math.inf for end in (until, study.requests().until))
    if ends == math.inf:
        return False
    seconds = [t.seconds for t in study.trials() if t.state in COUNTED]
    return time.time() + (median(seconds) if seconds else 0.0) > ends


COMMAND = [sys.executable, "-m", "t4r_lab.tuning.worker"]
"""The command of a worker process. Its orders go to its standard input, since every user can read a command line and
the address of the storage may hold a password."""


def as_text(orders: Orders) -> str:
    """The orders as JSON, for the worker's standard input."""
    return json.dumps(asdict(orders))


def main() -> int:
    """Work by the orders on standard input; the parts of an `InputError` go to standard output."""
    text = sys.stdin.read()
    out, sys.stdout = sys.stdout, sys.stderr
    system.stop_as_interrupted()
    try:
        # the process that started this one has reached the storage
        work(Orders(**read_json(text, "orders")), retries.SECONDS)
    except InputError as error:
        print(json.dumps(error.parts), file=out, flush=True)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
