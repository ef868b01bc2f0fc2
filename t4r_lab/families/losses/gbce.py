"""Generalized binary cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from t4r_lab.families.knobs import knob
from t4r_lab.families.losses.item_loss import SampledItemLoss

if TYPE_CHECKING:
    from torch import Tensor


class GBCE(SampledItemLoss):
    """Generalized BCE: undoes the overconfidence that drawing negatives brings (Petrov & Macdonald, 2023)."""

    kind: Literal["gbce"] = "gbce"
    calibration: float = knob(0.75, "t: 0 is BCE, 1 gives calibrated scores", low=0, high=1, search=(0, 1))

    def pair_loss(self, target: Tensor, negatives: Tensor, hit: Tensor, items: int) -> Tensor:
        """-β log σ(s⁺) - Σ log(1 - σ(s⁻))."""
        import torch.nn.functional as F

        beta = self.beta(items)
        return -beta * F.logsigmoid(target) - F.logsigmoid(-negatives).masked_fill(hit, 0.0).sum(1)

    def beta(self, items: int) -> float:
        """β = α(t(1 - 1/α) + 1/α) with α = K/(I - 1), the share of items drawn (Petrov & Macdonald, RecSys '23).

        t = 0 leaves BCE's overconfident scores, t = 1 makes σ(s) the true probability.
        """
        alpha = min(self.negatives / max(items - 1, 1), 1.0)
        return alpha * (self.calibration * (1 - 1 / alpha) + 1 / alpha)
