"""Metrics by slices: of session length, and of the target item's popularity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from t4r_lab.base.documents import Document
from t4r_lab.nn.metrics.ranking import Ranks

LENGTHS = {"1 event": (1, 1), "2 to 3": (2, 3), "4 to 7": (4, 7), "8 to 15": (8, 15), "16 and more": (16, 10**9)}
"""Events before the target."""
POPULARITY = {"head": (0.0, 0.5), "middle": (0.5, 0.8), "tail": (0.8, 1.0)}
"""Items in the order of their training events, by the share of all events that more popular ones have."""


def slices(ranks: Ranks, counts: NDArray[np.int64]) -> list[Document]:
    """Every metric of every slice that has cases, with its 95 % interval (normal approximation of a mean).

    Parameters
    ----------
    counts: (I,) events of each item in training.

    Returns
    -------
    rows of ``by`` (length or popularity), ``slice``, ``cases`` and, under the metric's name, mean, low and high.
    """
    group = popularity_group(counts)[ranks.target - 1]
    masks = {("length", n): (ranks.position >= low) & (ranks.position <= high) for n, (low, high) in LENGTHS.items()}
    masks |= {("popularity", name): group == index for index, name in enumerate(POPULARITY)}
    rows = []
    for (by, group_name), mask in masks.items():
        if mask.any():
            metrics = {
                f"{name}@{k}": _interval(metric.compute(ranks.rank[mask], k))
                for k in ranks.cutoffs
                for name, metric in ranks.rows.items()
            }
            rows.append({"by": by, "slice": group_name, "cases": int(mask.sum()), **metrics})
    return rows


def popularity_group(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index into `POPULARITY` of every item, (I,); items without an event are in the tail."""
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    share = np.empty(len(counts))
    share[order] = before / max(counts.sum(), 1)
    return np.searchsorted([high for _, high in POPULARITY.values()][:-1], share, side="right")


def _interval(values: NDArray[np.float64]) -> dict[str, float]:
    mean = float(values.mean())
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return {"mean": mean, "low": mean - half, "high": mean + half}
