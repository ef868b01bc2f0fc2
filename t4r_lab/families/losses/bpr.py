"""Bayesian personalized ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from t4r_lab.families.losses.item_loss import SampledItemLoss

if TYPE_CHECKING:
    from torch import Tensor


class BPR(SampledItemLoss):
    """Bayesian personalized ranking: the target above each drawn item."""

    kind: Literal["bpr"] = "bpr"

    def pair_loss(self, target: Tensor, negatives: Tensor, hit: Tensor, items: int) -> Tensor:
        """Mean of -log σ(s⁺ - s⁻) (Rendle et al., 2009)."""
        import torch.nn.functional as F

        from t4r_lab.nn.losses.sampled import counted_mean

        return counted_mean(-F.logsigmoid(target[:, None] - negatives), hit)
