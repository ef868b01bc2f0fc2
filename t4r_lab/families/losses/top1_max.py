"""TOP1-max."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from t4r_lab.families.losses.item_loss import SampledItemLoss

if TYPE_CHECKING:
    from torch import Tensor


class TOP1Max(SampledItemLoss):
    """TOP1 against the highest drawn items (Hidasi & Karatzoglou, 2018)."""

    kind: Literal["top1_max"] = "top1_max"

    def pair_loss(self, target: Tensor, negatives: Tensor, hit: Tensor, items: int) -> Tensor:
        """Σ w (σ(s⁻ - s⁺) + σ(s⁻²)) with w = softmax(s⁻) (Hidasi & Karatzoglou, 2018)."""
        from t4r_lab.nn.losses.sampled import softmax_weights

        parts = (negatives - target[:, None]).sigmoid() + negatives.square().sigmoid()
        return (softmax_weights(negatives, hit) * parts).sum(1)
