"""Metrics of the target's rank among all items, one value a case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from t4r_lab.families.metrics.shared.metric_row import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def _ndcg(rank: Floats, k: int) -> Floats:
    import numpy as np

    return np.where(rank <= k, 1.0 / np.log2(rank + 1.0), 0.0)


def _recall(rank: Floats, k: int) -> Floats:
    return (rank <= k).astype("float64")


def _mrr(rank: Floats, k: int) -> Floats:
    import numpy as np

    return np.where(rank <= k, 1.0 / rank, 0.0)


def _precision(rank: Floats, k: int) -> Floats:
    return _recall(rank, k) / k


# One target a case: recall is the hit rate and equals P@k in the session-based literature, average precision is the
# reciprocal rank, and precision is recall / k. The last two are for comparison with others' tables only.
METRICS = (
    Metric("ndcg", "ranks", "1/log₂(rank + 1) if the target is among the first k, else 0", _ndcg),
    Metric("recall", "ranks", "1 if the target is among the first k, else 0", _recall),
    Metric("mrr", "ranks", "1/rank if the target is among the first k, else 0", _mrr),
    Metric("map", "final ranks", "average precision; with one target, the reciprocal rank", _mrr),
    Metric("precision", "final ranks", "share of the k items that are the target", _precision),
)
