"""Sampled softmax."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from t4r_lab.families.losses.item_loss import Prior, SampledItemLoss, prior

if TYPE_CHECKING:
    from torch import Tensor


class SampledSoftmax(SampledItemLoss):
    """Softmax over the target and drawn items, with log Q correction: for large catalogs."""

    kind: Literal["sampled_softmax"] = "sampled_softmax"
    prior: Prior = prior()

    corrected: ClassVar[bool] = True

    def pair_loss(self, target: Tensor, negatives: Tensor, hit: Tensor, items: int) -> Tensor:
        """Cross-entropy over target and negatives, whose scores have log Q taken off (Bengio & Senécal, 2008)."""
        import torch

        return torch.cat([target[:, None], negatives.masked_fill(hit, float("-inf"))], 1).logsumexp(1) - target

    def guess(self, items: int) -> float:
        """That of the full softmax, which it estimates."""
        return math.log(items)
