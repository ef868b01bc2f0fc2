"""What of a run's figures its user should doubt: a loss far above guessing, a metric worse than counting.

Decided here alone; every face shows what was found, and none refuses because of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from t4r_lab.base.reports import Caution, Epoch, OnReport
from t4r_lab.runs.compare import Cases, paired_bootstrap
from t4r_lab.schema.columns import Schema
from t4r_lab.spec import (
    NEXT_ITEM,
    NextItem,
    RunSpec,
    best_baseline,
    lower_is_better,
)

if TYPE_CHECKING:
    from t4r_lab.runs.results import Judgment
    from t4r_lab.training.judgment import Judged

FAR = 2.0
"""A training loss so many times that of guessing is no weak model's but a broken training's."""
MOST_SESSIONS, RESAMPLES = 20_000, 500
"""What a run is held against its baselines by, so that it takes a second however large the data are."""
PARTS = {"valid": "validation", "test": "test"}


class LossWatch:
    """Follows the loss of a training; `warnings` are of the best epoch, or of what came after it, None before both."""

    def __init__(self, spec: RunSpec, schema: Schema) -> None:
        self.spec, self.schema = spec, schema
        self.warnings: list[str] | None = None
        self._told = False

    def __call__(self, epoch: Epoch) -> list[str]:
        """What is to be told of `epoch`: the first time that something is."""
        found = doubt_loss(epoch, self.spec, self.schema)
        if found or epoch.best:
            self.warnings = found
        news = [] if self._told else found
        self._told = self._told or bool(found)
        return news


def doubt_loss(epoch: Epoch, spec: RunSpec, schema: Schema) -> list[str]:
    """A warning where the training loss of `epoch` is far above the loss of guessing, by task."""
    labels = [head for head in spec.model.labels if head.weight]
    guessed = {head.column: head.guessing_loss(schema[head.column].classes) for head in labels}
    if (items := spec.model.next_item) is not None and items.weight:
        guessed[NEXT_ITEM] = _alike(items, schema.n_items)
    factor = max((head.weight for head in spec.model.heads), default=1.0)
    found = epoch.losses or dict.fromkeys(guessed, epoch.train_loss / factor)
    remedy = "lower train.learning_rate" + ("" if spec.train.clip_norm else ", or set train.clip_norm")
    return [
        f"the training loss of {name} in epoch {epoch.epoch} is {_short(loss)}, while guessing has "
        f"{_short(guessed[name])}: {remedy}"
        for name, loss in found.items()
        if name in guessed and loss > FAR * guessed[name]
    ]


def doubt_metrics(part: str, judged: Judged, baselines: Mapping[str, Judged], spec: RunSpec) -> list[str]:
    """A warning for each metric that decides and is worse than the best baseline's beyond noise."""
    own, counted = judged.metrics(), {name: found.metrics() for name, found in baselines.items()}
    warnings = []
    for metric in _deciding(spec):
        sign, best = (-1 if lower_is_better(metric) else 1), best_baseline(counted, metric)
        if best is None or metric not in own or sign * own[metric] >= sign * counted[best][metric]:
            continue
        ours, theirs = _cases(judged, metric), _cases(baselines[best], metric)
        found = paired_bootstrap(ours, theirs, metric, "model", best, resamples=RESAMPLES)
        if found.better == best and found.low > 0:
            warnings.append(
                f"on the {PARTS[part]} part {metric} is {own[metric]:.4f}, worse than {counted[best][metric]:.4f} of "
                f"the baseline {best} (by {found.low:.4f} to {found.high:.4f}): train longer, or change the spec"
            )
    return warnings


def warn(judgment: Judgment, spec: RunSpec, on_report: OnReport) -> dict[str, list[str]]:
    """Report the warnings of every part that was judged; they are returned by part."""
    warnings = {
        part: doubt_metrics(part, judged, judgment.baselines[part], spec) for part, judged in judgment.model.items()
    }
    for words in [words for part in warnings.values() for words in part]:
        on_report(Caution(words))
    return warnings


def _deciding(spec: RunSpec) -> list[str]:
    """The monitored metric, and the first one of each head that is trained."""
    first = [head.deciding(spec.evaluation.cutoffs) for head in spec.model.heads if head.weight]
    return list(dict.fromkeys([spec.monitor, *first]))


def _alike(head: NextItem, n_items: int) -> float:
    """The training loss of equal scores; of a sampled softmax that of the full one, which it estimates."""
    return head.loss.guess(n_items)


def _cases(judged: Judged, metric: str) -> Cases:
    """The cases of at most `MOST_SESSIONS` sessions by chance, the same ones of every ranking."""
    label, slash, _ = metric.rpartition("/")
    if slash:
        own = judged.labels[label]
        columns: dict[str, Any] = {"session": own.session, "label": own.label, "prediction": own.prediction}
    else:
        assert judged.ranks is not None
        columns = {"session": judged.ranks.session, "rank": judged.ranks.rank}
    sessions = np.unique(columns["session"])
    if len(sessions) > MOST_SESSIONS:
        chosen = np.random.default_rng(0).choice(sessions, MOST_SESSIONS, replace=False)
        kept = np.isin(columns["session"], chosen)
        columns = {name: values[kept] for name, values in columns.items()}
    return columns


def _short(loss: float) -> str:
    return f"{loss:,.0f}" if loss >= 1000 else f"{loss:.3g}"
