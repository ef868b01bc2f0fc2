"""One trial: its spec is trained as every run is, and judged by what the study asks for."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t4r_lab.base.reports import Epoch, Stopped
from t4r_lab.families.metrics.metric_table import metrics_of
from t4r_lab.nn.heads.model import Model
from t4r_lab.spec import RunSpec
from t4r_lab.spec.study_options import Plan
from t4r_lab.training import evaluation
from t4r_lab.training.experiment import Experiment
from t4r_lab.training.loss_meter import Diverged

TIMED = 20
"""Sessions by which the latency is measured, one at a time."""
Epochs = list[dict[str, Any]]


class Pruned(Exception):
    """The trial is not worth another epoch."""


class Interrupted(Exception):
    """The worker has been asked to stop."""


def train(
    spec: RunSpec,
    plan: Plan,
    base: Experiment,
    folder: Path,
    epochs: Epochs,
    should_stop: Callable[[], bool] = lambda: False,
    prune: Callable[[int, float], bool] = lambda epoch, value: False,
) -> dict[str, float]:
    """Train `spec` and return what `plan` judges by, and more: metrics of the best epoch, calibration, costs.

    Parameters
    ----------
    base: the experiment of the study, whose data and home are the trial's.
    folder: where checkpoints go meanwhile.
    should_stop: may hold the training up; the seconds for which it did count as waited.
    epochs: grows by one entry an epoch: its training loss, seconds of work, seconds waited and validation metrics.
    prune: asked after each epoch with its number and its value of the objective.

    Raises
    ------
    Pruned, Interrupted, Diverged, InputError
    """
    experiment = base.trying(spec)
    model = experiment.build()
    best = _fit(experiment, model, plan, folder, epochs, should_stop, prune)
    wanted = {*plan.objectives, *(c.metric for c in plan.constraints)}
    seconds = statistics.mean(e["seconds"] for e in epochs)
    metrics = {**best, **_measure(experiment, model, wanted, seconds)}
    for name in wanted:
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
    """Train `model`, unless it is pruned or interrupted; the validation metrics of its best epoch."""
    best: dict[str, float] = {}
    asking = _Asking(should_stop)
    for report in experiment.fit(model, folder, asking):
        if isinstance(report, Epoch):
            within = asking.take()
            work = report.seconds - within
            epochs.append({"loss": report.train_loss, "seconds": work, "waited": within, "valid": report.valid})
            best = report.valid if report.best else best
            if report.epoch < report.epochs and plan.prunes and prune(report.epoch, report.valid[plan.objectives[0]]):
                raise Pruned(f"worse than others after epoch {report.epoch} of {report.epochs}")
            asking()  # waits here rather than in the time of the next epoch
            epochs[-1]["waited"] += asking.take()
        elif isinstance(report, Stopped) and report.reason == "interrupted":
            raise Interrupted
    return best


def _measure(experiment: Experiment, model: Model, wanted: set[str], epoch_seconds: float) -> dict[str, float]:
    """Costs, and where one of the `wanted` metrics needs it the whole judgment on the validation part."""
    spec = experiment.spec
    metrics: dict[str, float] = {}
    costs = metrics_of("cost")
    if wanted - set(spec.metrics) - set(costs):
        if spec.model.fits_temperature:
            experiment.fit_temperature(model)
        metrics |= experiment.judge(model, "valid").metrics()
    trained = Trained(model, experiment, epoch_seconds)
    rows = [row for row in costs.values() if row.name in wanted or not row.on_demand]
    return metrics | {row.name: row.compute(trained) for row in rows}


class _Asking:
    """`should_stop` with the seconds that its answers took, which are long while a study is paused."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self.should_stop, self.seconds = should_stop, 0.0

    def __call__(self) -> bool:
        began = time.monotonic()
        answer = self.should_stop()
        self.seconds += time.monotonic() - began
        return answer

    def take(self) -> float:
        """The seconds since this was last asked."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


@dataclass(frozen=True)
class Trained:
    """What the costs of a model are computed from."""

    model: Model
    experiment: Experiment
    epoch_seconds: float
    """mean over the epochs"""

    def latency(self) -> float:
        """Milliseconds to recommend to one session: the median over some sessions of the validation part."""
        import numpy as np

        sessions, spec, times = self.experiment.dataset.part("valid"), self.experiment.spec, []
        for row in range(min(TIMED, len(sessions))):
            one = sessions.take(np.array([row]))
            began = time.perf_counter()
            list(evaluation.score(self.model, one, spec, max(spec.evaluation.cutoffs)))
            times.append(1000 * (time.perf_counter() - began))
        return statistics.median(times)


def reason(error: BaseException) -> str:
    """Why a trial failed, in one line."""
    said = " ".join(str(error).split()) or type(error).__name__
    lowered = said.lower()
    if isinstance(error, MemoryError) or "out of memory" in lowered or "can't allocate memory" in lowered:
        return f"out of memory: {said}"[:300]
    if isinstance(error, Diverged):
        return f"diverged: {said}"[:300]
    return f"{type(error).__name__}: {said}"[:300]
