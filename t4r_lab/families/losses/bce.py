"""Binary cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from t4r_lab.families.losses.item_loss import SampledItemLoss

if TYPE_CHECKING:
    from torch import Tensor


class BCE(SampledItemLoss):
    """Binary cross-entropy of the target and drawn items, as in SASRec."""

    kind: Literal["bce"] = "bce"

    def pair_loss(self, target: Tensor, negatives: Tensor, hit: Tensor, items: int) -> Tensor:
        """-log σ(s⁺) - Σ log(1 - σ(s⁻))."""
        import torch.nn.functional as F

        return -F.logsigmoid(target) - F.logsigmoid(-negatives).masked_fill(hit, 0.0).sum(1)
