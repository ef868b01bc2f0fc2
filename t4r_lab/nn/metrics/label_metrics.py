"""Metrics of predicted labels, each case with a weight, so that a bootstrap can count it several times."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def auc(label: Floats, score: Floats, weight: Floats) -> float:
    """Chance that a positive case scores above a negative one, ties by halves; 0.5 where there is only one class."""
    positive, negative = _by_score(label, score, weight)
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float(positive @ (below + negative / 2) / pairs) if pairs else 0.5


def average_precision(label: Floats, score: Floats, weight: Floats) -> float:
    """Σ (R_n - R_{n-1}) P_n over falling thresholds, equal scores in one step; 0 without a positive case."""
    positive, negative = (counts[::-1] for counts in _by_score(label, score, weight))
    hit, all_cases = np.cumsum(positive), np.cumsum(positive + negative)
    if not len(hit) or not hit[-1]:
        return 0.0
    precision = np.divide(hit, all_cases, out=np.zeros_like(hit), where=all_cases > 0)
    return float(positive @ precision / hit[-1])


def _by_score(label: Floats, score: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Weight of the positive and of the negative cases at each different score, rising."""
    _, place = np.unique(score, return_inverse=True)
    positive = np.bincount(place, weight * (label == 1)).astype(np.float64)
    return positive, np.bincount(place, weight).astype(np.float64) - positive


def _over_classes(metric: Callable[[Floats, Floats, Floats], float]) -> Callable[[Floats, Floats, Floats], float]:
    """The mean over the classes that occur, each against the rest; scores are (N, C)."""

    def macro(label: Floats, score: Floats, weight: Floats) -> float:
        classes = np.unique(label[weight > 0]).astype(np.int64)
        return float(np.mean([metric((label == c).astype(np.float64), score[:, c], weight) for c in classes]))

    return macro


def _binary_accuracy(label: Floats, score: Floats, weight: Floats) -> float:
    """Share of right answers at the threshold 0.5."""
    return float(np.average((score > 0.5) == (label == 1), weights=weight))


def _accuracy(label: Floats, score: Floats, weight: Floats) -> float:
    """Share of cases whose likeliest class is the right one."""
    return float(np.average(score.argmax(1) == label, weights=weight))


def _rmse(label: Floats, prediction: Floats, weight: Floats) -> float:
    return float(np.sqrt(np.average((prediction - label) ** 2, weights=weight)))


def _mae(label: Floats, prediction: Floats, weight: Floats) -> float:
    return float(np.average(np.abs(prediction - label), weights=weight))


Metric = Callable[[Floats, Floats, Floats], float]

METRICS: dict[str, dict[str, Metric]] = {
    "binary": {"auc": auc, "average_precision": average_precision, "accuracy": _binary_accuracy},
    "categorical": {
        "auc": _over_classes(auc),
        "average_precision": _over_classes(average_precision),
        "accuracy": _accuracy,
    },
    "regression": {"rmse": _rmse, "mae": _mae},
}
"""Kind of task → metric → function of labels (N,), predictions (N,) or (N, C), and weights (N,)."""
