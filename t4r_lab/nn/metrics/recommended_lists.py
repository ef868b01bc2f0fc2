"""Counts of recommended items for the metrics of lists, summed over chunks of scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from t4r_lab.families.metrics.metric_table import metrics_of
from t4r_lab.nn.metrics.ranking import without_seen


class Lists:
    """Number of lists of the k best items that contain each item, by cutoff k; `add` takes a chunk of scores at a time.

    Parameters
    ----------
    counts: (I,) events of each item in training.
    """

    def __init__(self, counts: NDArray[np.int64], cutoffs: Sequence[int]) -> None:
        self.share = counts / max(counts.sum(), 1)
        self.listed = {k: np.zeros(len(counts), np.int64) for k in cutoffs}

    def add(self, scores: Tensor, seen: Tensor | None = None) -> None:
        """`scores` (N, I); `seen` (N, K) item ids that are no candidates, 0 for none."""
        if seen is not None:
            scores = without_seen(scores, seen)
        best = scores.topk(min(max(self.listed), scores.shape[1]), 1)
        top, candidate = best.indices.cpu().numpy(), ~best.values.isneginf().cpu().numpy()
        for k, listed in self.listed.items():
            np.add.at(listed, top[:, :k][candidate[:, :k]], 1)

    def metrics(self) -> dict[str, float]:
        """Each metric of lists at each cutoff, such as ``coverage@10``."""
        rows = metrics_of("lists")
        return {
            f"{name}@{k}": row.compute(listed, self.share)
            for k, listed in self.listed.items()
            for name, row in rows.items()
        }
