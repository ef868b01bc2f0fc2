"""Losses of the next item: over all items, or against sampled ones."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from t4r_lab.families.custom import Member
from t4r_lab.families.knobs import knob
from t4r_lab.families.samplers.sampler_table import SamplerSpec, described, sampler_of

if TYPE_CHECKING:
    from torch import Tensor

    from t4r_lab.nn.losses.sampled import SampledLoss

Prior = Literal["popularity", "uniform"]


def prior() -> Prior:
    """The knob of a loss whose scores are logits of a softmax over the items."""
    value: Prior = knob(
        "popularity",
        "initial biases of the items: the logarithm of their events in training, so that popularity needn't be "
        "learned, or 0",
    )
    return value


class ItemLoss(Member):
    """The loss of the next item."""

    if TYPE_CHECKING:
        kind: str  # each loss gives its own

    @property
    def starts_from_popularity(self) -> bool:
        """True if the items' biases start at the logarithm of their events in training."""
        return getattr(self, "prior", None) == "popularity"

    @abstractmethod
    def build(self, items: int) -> Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]:
        """``loss(queries, weight, bias, labels, temperature)`` over `items`, the mean over cases.

        `queries` (N, D); `weight` (I, D), or with more rows, of which the last I are the items'; `bias` (I,);
        `labels` (N,) classes 0..I-1. A module with parameters is trained with the model;
        a `SampledLoss` receives the items' events in training, and reads only a few rows of the table.
        """

    def guess(self, items: int) -> float:
        """The loss where all `items` have the same score."""
        return math.log(items)


class SampledItemLoss(ItemLoss):
    """A loss of the target's score and those of items drawn for the batch."""

    corrected: ClassVar[bool] = False
    """whether log Q(item) is taken off every score, which makes a sampled softmax an estimate of the full one"""

    negatives: int = knob(
        256, "items drawn per batch, shared by its cases", low=1, high=65_536, search=(16, 4096), log=True
    )
    sampler: SamplerSpec = knob("uniform", f"how they are drawn: {described()}")

    @abstractmethod
    def pair_loss(self, target: Tensor, negatives: Tensor, hit: Tensor, items: int) -> Tensor:
        """One loss a case, (N,), of the target's score (N,) and the negatives' scores (N, K).

        Where `hit` (N, K) is True a negative happens to be the case's own target, and doesn't count.
        """

    def build(self, items: int) -> SampledLoss:
        """The loss over `items`, with its sampler."""
        from t4r_lab.nn.losses.sampled import SampledLoss

        pair_loss = partial(self.pair_loss, items=items)
        return SampledLoss(pair_loss, sampler_of(self.sampler).build, self.negatives, items, self.corrected)

    def guess(self, items: int) -> float:
        """The loss where all `items` have the same score."""
        import torch

        negatives = torch.zeros(1, self.negatives)
        return float(self.pair_loss(torch.zeros(1), negatives, torch.zeros_like(negatives, dtype=torch.bool), items))
