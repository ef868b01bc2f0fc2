"""Metrics of predicted labels, each case with a weight, so that a bootstrap can count it several times."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from t4r_lab.families.metrics.shared.metric_row import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    LabelMetric = Callable[[Floats, Floats, Floats], float]


def _auc(label: Floats, score: Floats, weight: Floats) -> float:
    """Ties count half; 0.5 where there is only one class."""
    import numpy as np

    positive, negative = _by_score(label, score, weight)
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float(positive @ (below + negative / 2) / pairs) if pairs else 0.5


def _average_precision(label: Floats, score: Floats, weight: Floats) -> float:
    """Equal scores are one threshold; 0 without a positive case."""
    import numpy as np

    positive, negative = (counts[::-1] for counts in _by_score(label, score, weight))
    hit, all_cases = np.cumsum(positive), np.cumsum(positive + negative)
    if not len(hit) or not hit[-1]:
        return 0.0
    precision = np.divide(hit, all_cases, out=np.zeros_like(hit), where=all_cases > 0)
    return float(positive @ precision / hit[-1])


def _by_score(label: Floats, score: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Weight of the positive and of the negative cases at each different score, rising."""
    import numpy as np

    _, index = np.unique(score, return_inverse=True)
    positive = np.bincount(index, weight * (label == 1)).astype(np.float64)
    return positive, np.bincount(index, weight).astype(np.float64) - positive


def _over_classes(metric: LabelMetric) -> LabelMetric:
    """The mean over the classes that occur, each against the rest; scores are (N, C)."""

    def macro(label: Floats, score: Floats, weight: Floats) -> float:
        import numpy as np

        classes = np.unique(label[weight > 0]).astype(np.int64)
        return float(np.mean([metric((label == c).astype(np.float64), score[:, c], weight) for c in classes]))

    return macro


def _binary_accuracy(label: Floats, score: Floats, weight: Floats) -> float:
    return _mean((score > 0.5) == (label == 1), weight)


def _accuracy(label: Floats, score: Floats, weight: Floats) -> float:
    return _mean(score.argmax(1) == label, weight)


def _rmse(label: Floats, prediction: Floats, weight: Floats) -> float:
    return math.sqrt(_mean((prediction - label) ** 2, weight))


def _mae(label: Floats, prediction: Floats, weight: Floats) -> float:
    return _mean(abs(prediction - label), weight)


def _mean(values: NDArray[np.floating | np.bool_], weight: Floats) -> float:
    import numpy as np

    return float(np.average(values, weights=weight))


AUC = "chance that a positive case scores above a negative one"
PRECISION = "Σ (R_n - R_{n-1})·P_n over falling thresholds"
EACH = "; mean over classes, each against the rest"
METRICS = (
    Metric("auc", "binary", AUC, _auc),
    Metric("average_precision", "binary", PRECISION, _average_precision),
    Metric("accuracy", "binary", "share of correct predictions at the threshold 0.5", _binary_accuracy),
    Metric("auc", "categorical", AUC + EACH, _over_classes(_auc)),
    Metric("average_precision", "categorical", PRECISION + EACH, _over_classes(_average_precision)),
    Metric("accuracy", "categorical", "share of cases whose most likely class is the true one", _accuracy),
    Metric("rmse", "regression", "square root of the mean squared error", _rmse, "lower"),
    Metric("mae", "regression", "mean absolute error", _mae, "lower"),
)
