"""Full-ranking metrics from the rank of the target among all items; ties count half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from t4r_lab.families.metrics.metric_table import RANK_METRICS
from t4r_lab.families.metrics.shared.metric_row import Metric

Floats = NDArray[np.float64]


def ranks(scores: Tensor, targets: Tensor, seen: Tensor | None = None) -> Tensor:
    """Rank of each target among all candidates, (N,) float64: 1 + greater + equal/2, or last if its score is NaN.

    Parameters
    ----------
    scores: (N, I), column j scores item id j+1; overwritten.
    targets: (N,) item ids.
    seen: (N, K) item ids that are no candidates, 0 for none. A target that was seen ranks last.
    """
    n_items = scores.shape[1]
    column = targets[:, None] - 1
    if seen is not None:
        seen_before = (seen == targets[:, None]).any(1)
        # padding maps to the target's column, whose score is restored afterwards
        where = torch.where(seen == 0, column, seen - 1)
        target_score = scores.gather(1, column)
        scores.scatter_(1, where, float("-inf")).scatter_(1, column, target_score)
    target_score = scores.gather(1, column)
    # Σ sign(s - target_score) = greater - less, so (I + Σ) / 2 = greater + equal / 2, the target among the equal ones;
    # float32 counts exactly to 16 million
    ahead = scores.sub_(target_score).sign_().sum(1).double()
    rank = 0.5 + (n_items + ahead) / 2
    if seen is not None:
        rank[seen_before] = float(n_items)
    return torch.where(target_score[:, 0].isnan(), float(n_items), rank)


def without_seen(scores: Tensor, seen: Tensor) -> Tensor:
    """A copy of `scores` (N, I) in which `seen` (N, K) item ids, 0 for none, are no candidates."""
    with_padding = torch.cat([scores.new_zeros(len(scores), 1), scores], 1)
    return with_padding.scatter_(1, seen, float("-inf"))[:, 1:]


def summarize(rank: Floats, cutoffs: list[int], metrics: Mapping[str, Metric] = RANK_METRICS) -> dict[str, float]:
    """Means over all cases, such as ``{"ndcg@10": …}``."""
    return {
        f"{name}@{k}": float(metric.compute(rank, k).mean()) if len(rank) else 0.0
        for k in cutoffs
        for name, metric in metrics.items()
    }


@dataclass(frozen=True)
class Ranks:
    """Rank of every target, one case each: session row, position of the target in it, item id, rank (1 is best)."""

    session: NDArray[np.int64]
    position: NDArray[np.int64]
    target: NDArray[np.int64]
    rank: NDArray[np.float64]
    cutoffs: tuple[int, ...]
    metric_names: tuple[str, ...] = tuple(RANK_METRICS)

    @classmethod
    def gather(
        cls,
        parts: Sequence[tuple[NDArray[Any], ...]],
        cutoffs: list[int],
        metric_names: Sequence[str] = tuple(RANK_METRICS),
    ) -> Ranks:
        """Join the cases of all batches, ordered by session and position."""
        empty = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        session, position, target, rank = (np.concatenate(p) for p in zip(*(parts or [empty]), strict=True))
        order = np.lexsort((position, session))
        cases = session[order], position[order], target[order], rank[order]
        return cls(*cases, tuple(cutoffs), tuple(metric_names))

    def metrics(self) -> dict[str, float]:
        """Means over all cases, such as ``{"ndcg@10": …}``."""
        return summarize(self.rank, list(self.cutoffs), self.rows)

    @property
    def rows(self) -> dict[str, Metric]:
        """Name → row of the metrics."""
        return {name: RANK_METRICS[name] for name in self.metric_names}

    def frame(self) -> pl.DataFrame:
        """One row per case: session, position, target and rank."""
        return pl.DataFrame(
            {"session": self.session, "position": self.position, "target": self.target, "rank": self.rank}
        )
