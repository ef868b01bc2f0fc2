"""Warnings about a run: a training loss far above that of guessing, a metric worse than a baseline's.

Only this module decides what is worth a warning; every face shows the warnings, and none refuses because of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from t4r_lab.base.reports import PART_WORDS, Caution, Epoch, OnReport
from t4r_lab.runs.compared.differences import Cases, paired_bootstrap
from t4r_lab.schema.columns import Schema
from t4r_lab.spec import (
    NEXT_ITEM,
    NextItem,
    RunSpec,
    best_baseline,
    lower_is_better,
)

if TYPE_CHECKING:
    from t4r_lab.data.sessions.arrays import Arrays
    from t4r_lab.runs.results import Judgment
    from t4r_lab.training.judgment import Judged

FAR = 2.0
"""A training loss of more than this many times that of guessing is a sign of broken training, not of a weak model."""
MOST_SESSIONS, RESAMPLES = 20_000, 500
"""Limits of the comparison with the baselines, so that it takes about a second on data of any size."""


class LossWatch:
    """Checks the loss of each epoch; `warnings` are of the best epoch or a later one, None before the first."""

    def __init__(self, spec: RunSpec, schema: Schema) -> None:
        self.spec, self.schema = spec, schema
        self.warnings: list[str] | None = None
        self._reported = False

    def __call__(self, epoch: Epoch) -> list[str]:
        """The warnings of `epoch` to report: only those of the first epoch that has any."""
        warnings = loss_warnings(epoch, self.spec, self.schema)
        if warnings or epoch.best:
            self.warnings = warnings
        unreported = [] if self._reported else warnings
        self._reported = self._reported or bool(warnings)
        return unreported


def loss_warnings(epoch: Epoch, spec: RunSpec, schema: Schema) -> list[str]:
    """A warning for each task whose training loss in `epoch` is far above that of guessing."""
    labels = [head for head in spec.model.labels if head.weight]
    guessing = {head.column: head.guessing_loss(schema[head.column].classes) for head in labels}
    if (items := spec.model.next_item) is not None and items.weight:
        guessing[NEXT_ITEM] = _guessing_loss(items, schema.n_items)
    factor = max((head.weight for head in spec.model.heads), default=1.0)
    losses = epoch.losses or dict.fromkeys(guessing, epoch.train_loss / factor)
    remedy = "lower train.learning_rate" + ("" if spec.train.clip_norm else ", or set train.clip_norm")
    return [
        f"the training loss of {name} in epoch {epoch.epoch} is {_short(loss)}, while guessing has "
        f"{_short(guessing[name])}: {remedy}"
        for name, loss in losses.items()
        if name in guessing and loss > FAR * guessing[name]
    ]


def metric_warnings(part: str, judged: Judged, baselines: Mapping[str, Judged], spec: RunSpec) -> list[str]:
    """A warning for each deciding metric that is significantly worse than that of the best baseline."""
    metrics, baseline_metrics = judged.metrics(), {name: row.metrics() for name, row in baselines.items()}
    warnings = []
    for metric in _deciding(spec):
        sign, best = (-1 if lower_is_better(metric) else 1), best_baseline(baseline_metrics, metric)
        if best is None or metric not in metrics or sign * metrics[metric] >= sign * baseline_metrics[best][metric]:
            continue
        cases, baseline_cases = _cases(judged, metric), _cases(baselines[best], metric)
        difference = paired_bootstrap(cases, baseline_cases, metric, "model", best, resamples=RESAMPLES)
        if difference.better == best and difference.low > 0:
            warnings.append(
                f"on the {PART_WORDS[part]} {metric} is {metrics[metric]:.4f}, worse than "
                f"{baseline_metrics[best][metric]:.4f} of the baseline {best} "
                f"(by {difference.low:.4f} to {difference.high:.4f}): train longer, or change the spec"
            )
    return warnings


def report_warnings(judgment: Judgment, spec: RunSpec, on_report: OnReport) -> dict[str, list[str]]:
    """Report the warnings of every evaluated part, and return them by part."""
    warnings = {
        part: metric_warnings(part, judged, judgment.baselines[part], spec) for part, judged in judgment.model.items()
    }
    for words in [words for part in warnings.values() for words in part]:
        on_report(Caution(words))
    return warnings


def _deciding(spec: RunSpec) -> list[str]:
    """The monitored metric, and the first metric of each trained head."""
    first = [head.deciding(spec.evaluation.cutoffs) for head in spec.model.heads if head.weight]
    return list(dict.fromkeys([spec.monitor, *first]))


def _guessing_loss(head: NextItem, n_items: int) -> float:
    """The training loss of equal scores; for a sampled softmax, that of the full softmax which it estimates."""
    return head.loss.guess(n_items)


def _cases(judged: Judged, metric: str) -> Cases:
    """The cases of at most `MOST_SESSIONS` random sessions, the same for every ranking."""
    label, slash, _ = metric.rpartition("/")
    if slash:
        predictions = judged.labels[label]
        columns: Arrays = {
            "session": predictions.session,
            "label": predictions.label,
            "prediction": predictions.prediction,
        }
    else:
        assert judged.ranks is not None
        columns = {"session": judged.ranks.session, "rank": judged.ranks.rank}
    sessions = np.unique(columns["session"])
    if len(sessions) > MOST_SESSIONS:
        sample = np.random.default_rng(0).choice(sessions, MOST_SESSIONS, replace=False)
        in_sample = np.isin(columns["session"], sample)
        columns = {name: values[in_sample] for name, values in columns.items()}
    return columns


def _short(loss: float) -> str:
    return f"{loss:,.0f}" if loss >= 1000 else f"{loss:.3g}"
