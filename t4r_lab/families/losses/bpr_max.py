"""BPR-max."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from t4r_lab.families.knobs import knob
from t4r_lab.families.losses.item_loss import SampledItemLoss

if TYPE_CHECKING:
    from torch import Tensor


class BPRMax(SampledItemLoss):
    """BPR against the highest drawn items (Hidasi & Karatzoglou, 2018)."""

    kind: Literal["bpr_max"] = "bpr_max"
    regularization: float = knob(
        1.0, "weight of the penalty on squared negative scores", low=0, high=100, search=(0, 3)
    )

    def pair_loss(self, target: Tensor, negatives: Tensor, hit: Tensor, items: int) -> Tensor:
        """-log Σ w σ(s⁺ - s⁻) + λ Σ w s⁻² with w = softmax(s⁻) (Hidasi & Karatzoglou, 2018)."""
        import torch
        import torch.nn.functional as F

        from t4r_lab.nn.losses.sampled import softmax_weights

        least = torch.finfo(negatives.dtype).min
        log_weight = torch.log_softmax(negatives.masked_fill(hit, least), 1)
        likelihood = (log_weight + F.logsigmoid(target[:, None] - negatives)).masked_fill(hit, least).logsumexp(1)
        likelihood = likelihood.masked_fill(hit.all(1), 0.0)
        return -likelihood + self.regularization * (softmax_weights(negatives, hit) * negatives.square()).sum(1)
