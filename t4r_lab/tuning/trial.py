"""One trial: its spec is trained as in every run, and scored by the objectives and constraints of the study."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from t4r_lab.base.documents import Document
from t4r_lab.base.reports import Epoch, Stopped
from t4r_lab.families.metrics.metric_table import metrics_of
from t4r_lab.nn.heads.model import Model
from t4r_lab.spec import RunSpec
from t4r_lab.spec.study_options import Plan
from t4r_lab.training import evaluation
from t4r_lab.training.experiment import Experiment
from t4r_lab.training.loss_meter import Diverged

TIMED = 20
"""Sessions with which the latency is measured, one at a time."""
Epochs = list[Document]


class Pruned(Exception):
    """The pruner has stopped the trial."""


class Interrupted(Exception):
    """The worker must stop."""


def train(
    spec: RunSpec,
    plan: Plan,
    base: Experiment,
    folder: Path,
    epochs: Epochs,
    should_stop: Callable[[], bool] = lambda: False,
    prune: Callable[[int, float], bool] = lambda epoch, value: False,
) -> dict[str, float]:
    """Train `spec` and return its metrics: those of the best epoch, costs, and all that `plan` optimizes or constrains.

    Parameters
    ----------
    base: the experiment of the study, with the data and home of the trial.
    folder: for temporary checkpoints.
    should_stop: may block, as during a pause; that time counts as waited.
    epochs: gets one entry per epoch: its training loss, seconds of work, seconds waited and validation metrics.
    prune: called after each epoch with its number and its value of the objective; True stops the trial.

    Raises
    ------
    Pruned, Interrupted, Diverged, InputError
    """
    experiment = base.with_spec(spec)
    model = experiment.build()
    best = _fit(experiment, model, plan, folder, epochs, should_stop, prune)
    required = {*plan.objectives, *(c.metric for c in plan.constraints)}
    seconds = statistics.mean(e["seconds"] for e in epochs)
    metrics = {**best, **_measure(experiment, model, required, seconds)}
    for name in required:
        if not math.isfinite(metrics[name]):
            raise Diverged(f"{name} is not a finite number; narrow the search")
    return metrics


def _fit(
    experiment: Experiment,
    model: Model,
    plan: Plan,
    folder: Path,
    epochs: Epochs,
    should_stop: Callable[[], bool],
    prune: Callable[[int, float], bool],
) -> dict[str, float]:
    """Train `model`, unless it is pruned or interrupted; return the validation metrics of its best epoch."""
    best: dict[str, float] = {}
    timed = _TimedStop(should_stop)
    for report in experiment.fit(model, folder, timed):
        if isinstance(report, Epoch):
            waited = timed.take()
            work = report.seconds - waited
            epochs.append({"loss": report.train_loss, "seconds": work, "waited": waited, "valid": report.valid})
            best = report.valid if report.best else best
            if report.epoch < report.epochs and plan.prunes and prune(report.epoch, report.valid[plan.objectives[0]]):
                raise Pruned(f"worse than others after epoch {report.epoch} of {report.epochs}")
            timed()  # waits here rather than in the time of the next epoch
            epochs[-1]["waited"] += timed.take()
        elif isinstance(report, Stopped) and report.reason == "interrupted":
            raise Interrupted
    return best


def _measure(experiment: Experiment, model: Model, required: set[str], epoch_seconds: float) -> dict[str, float]:
    """The costs; with all metrics on the validation part if one of the `required` ones needs that."""
    spec = experiment.spec
    metrics: dict[str, float] = {}
    costs = metrics_of("cost")
    if required - set(spec.metrics) - set(costs):
        if spec.model.fits_temperature:
            experiment.fit_temperature(model)
        metrics |= experiment.judge(model, "valid").metrics()
    trained = Trained(model, experiment, epoch_seconds)
    rows = [row for row in costs.values() if row.name in required or not row.on_demand]
    return metrics | {row.name: row.compute(trained) for row in rows}


class _TimedStop:
    """`should_stop` with the seconds of its calls, which block while a study is paused."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self.should_stop, self.seconds = should_stop, 0.0

    def __call__(self) -> bool:
        began = time.monotonic()
        answer = self.should_stop()
        self.seconds += time.monotonic() - began
        return answer

    def take(self) -> float:
        """The seconds of the calls since the last `take`."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


@dataclass(frozen=True)
class Trained:
    """A trained model, from which its costs are computed."""

    model: Model
    experiment: Experiment
    epoch_seconds: float
    """mean over the epochs"""

    def latency(self) -> float:
        """Milliseconds to recommend to one session: the median over some sessions of the validation part."""
        import numpy as np

        sessions, spec, times = self.experiment.dataset.part("valid"), self.experiment.spec, []
        for row in range(min(TIMED, len(sessions))):
            session = sessions.take(np.array([row]))
            began = time.perf_counter()
            list(evaluation.score(self.model, session, spec, max(spec.evaluation.cutoffs)))
            times.append(1000 * (time.perf_counter() - began))
        return statistics.median(times)


def reason(error: BaseException) -> str:
    """The cause of a failed trial in one line."""
    message = " ".join(str(error).split()) or type(error).__name__
    lowered = message.lower()
    if isinstance(error, MemoryError) or "out of memory" in lowered or "can't allocate memory" in lowered:
        return f"out of memory: {message}"[:300]
    if isinstance(error, Diverged):
        return f"diverged: {message}"[:300]
    return f"{type(error).__name__}: {message}"[:300]
