"""Evaluation of a baseline as of a model: every target ranked among all items."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from t4r_lab.baselines.baseline_row import Scorer
from t4r_lab.data.sessions.arrays import Sessions
from t4r_lab.nn.batches import EVALUATION_BATCH, evaluation_batches, evaluation_windows, make_batch, seen_items
from t4r_lab.nn.kernels.linear_cross_entropy import rows_per_chunk
from t4r_lab.nn.metrics.ranking import Ranks, ranks
from t4r_lab.spec import EvaluationSpec


def evaluate(
    scorer: Scorer,
    sessions: Sessions,
    evaluation: EvaluationSpec,
    watch: Callable[[Tensor, Tensor, Tensor | None], None] | None = None,
) -> Ranks:
    """Rank every target of `sessions` by a scorer that sees the whole prefix.

    `watch` gets the scores (B, I), target ids (B,) and seen items (None unless filtered) of each batch."""
    longest = int(np.diff(sessions.offsets).max(initial=1))
    windows = evaluation_windows(sessions, longest, evaluation.positions, causal=False)
    parts, size = [], min(EVALUATION_BATCH, rows_per_chunk(scorer.n_items))
    for chunk in evaluation_batches(windows, size):
        batch = make_batch(sessions, chunk)
        target = sessions.values["item_id"][sessions.offsets[chunk.row] + chunk.stop].astype(np.int64)
        seen = seen_items(sessions, chunk.row, chunk.stop) if evaluation.filter_seen else None
        scores = scorer.scores(batch)
        if watch:
            watch(scores, torch.from_numpy(target), seen)
        rank = ranks(scores, torch.from_numpy(target), seen)
        parts.append((chunk.row, chunk.stop, target, rank.numpy()))
    return Ranks.gather(parts, evaluation.cutoffs, evaluation.rank_metrics)
