"""Metrics of the recommended lists together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from t4r_lab.families.metrics.shared.metric_row import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _coverage(listed: NDArray[np.int64], share: NDArray[np.float64]) -> float:
    return float((listed > 0).mean())


def _novelty(listed: NDArray[np.int64], share: NDArray[np.float64]) -> float:
    """An item without an event counts as having one."""
    import numpy as np

    least = share[share > 0].min(initial=1.0)
    return float(-(listed * np.log2(np.maximum(share, least))).sum() / max(listed.sum(), 1))


def _popularity(listed: NDArray[np.int64], share: NDArray[np.float64]) -> float:
    return float((listed * share).sum() / max(listed.sum(), 1))


def _gini(listed: NDArray[np.int64], share: NDArray[np.float64]) -> float:
    """Gini (1912): half the mean difference between the exposures of two items, relative to their mean."""
    import numpy as np

    n, total = len(listed), listed.sum()
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(listed) / (n * max(total, 1)))


METRICS = (
    Metric("coverage", "lists", "share of all items that are in any list", _coverage),
    Metric("novelty", "lists", "mean -log₂(share of the training events) of the listed items, bits", _novelty),
    Metric("popularity", "lists", "mean share of the training events of the listed items", _popularity, "neither"),
    Metric("gini", "lists", "inequality of exposure: 0 if all items are listed alike, near 1 for few", _gini, "lower"),
)
