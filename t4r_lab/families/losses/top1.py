"""TOP1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from t4r_lab.families.losses.item_loss import SampledItemLoss

if TYPE_CHECKING:
    from torch import Tensor


class TOP1(SampledItemLoss):
    """TOP1 of GRU4Rec: relative rank of the target, with regularized scores."""

    kind: Literal["top1"] = "top1"

    def pair_loss(self, target: Tensor, negatives: Tensor, hit: Tensor, items: int) -> Tensor:
        """Mean of σ(s⁻ - s⁺) + σ(s⁻²) (Hidasi et al., 2016)."""
        from t4r_lab.nn.losses.sampled import counted_mean

        return counted_mean((negatives - target[:, None]).sigmoid() + negatives.square().sigmoid(), hit)
