"""Popularity baseline: items by their count in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from t4r_lab.baselines.baseline_row import Baseline

if TYPE_CHECKING:
    from torch import Tensor

    from t4r_lab.data.sessions.arrays import Sessions
    from t4r_lab.nn.layers.flow import Batch


class Popularity:
    """Scores of items by their count in the training part, the same for every session."""

    def __init__(self, sessions: Sessions, n_items: int) -> None:
        self.n_items, self.counts = n_items, sessions.item_counts(n_items).astype(np.float64)

    def scores(self, batch: Batch) -> Tensor:
        """Return the training counts (B, I), the same for every session."""
        import torch

        return torch.from_numpy(self.counts).expand(len(batch.lengths), -1).clone()


BASELINE = Baseline("popularity", "popularity", Popularity)
