"""The row of a metric in the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

LabelKind = Literal["binary", "categorical", "regression"]
Source = Literal["ranks", "final ranks", "lists", "probabilities", "cost"] | LabelKind
"""What a metric is computed from, which decides the arguments of its function.

- ``ranks``, after each epoch, and ``final ranks``, after training only: ``(rank (N,), k)`` → one value a case, (N,)
- ``lists`` of k recommended items: ``(listed (I,), share (I,))`` → number, from how many lists each item is in and its
  share of the training events
- ``probabilities`` of the next item: ``(sums)`` → number, from `t4r_lab.nn.metrics.calibration.Calibration`
- ``binary``, ``categorical``, ``regression`` labels: ``(label (N,), prediction, weight (N,))`` → number; the prediction
  is the probability of yes (N,), of each class (N, C), or a number (N,)
- ``cost``: ``(trained)`` → number, from `t4r_lab.tuning.trial.Trained`
"""


@dataclass(frozen=True)
class Metric:
    """The row of a metric.

    Attributes
    ----------
    name: without label and cutoff, such as ``ndcg`` of ``ndcg@10`` or ``auc`` of ``purchase/auc``.
    help: one sentence on what is computed.
    better: the better direction; a metric without one is no objective of a study.
    on_demand: it takes time, and is computed only where a study is judged by it.
    """

    name: str
    source: Source
    help: str
    compute: Callable[..., Any]
    better: Literal["higher", "lower", "neither"] = "higher"
    on_demand: bool = False
