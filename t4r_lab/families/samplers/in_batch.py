"""Other cases' targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from t4r_lab.families.samplers.sampler import ItemSampler

if TYPE_CHECKING:
    from torch import Tensor


class InBatch(ItemSampler):
    """Other cases' targets."""

    kind: Literal["in_batch"] = "in_batch"
    words: ClassVar[str] = "from other cases' targets"

    def build(self, counts: Tensor) -> InBatchSampler:
        """Of `counts` (I,)."""
        return InBatchSampler(counts)


class InBatchSampler:
    """The targets of the batch's other cases: an item is drawn as often as it is a target.

    Its probability is taken from the items' counts in training (Yi et al., 2019), which one batch is too small to
    show; items without an event count as one.
    """

    def __init__(self, counts: Tensor) -> None:
        counts = counts.clamp(min=1).double()
        self.log_share = (counts / counts.sum()).log().float()

    def draw(self, count: int, labels: Tensor) -> Tensor:
        """(K,) of the batch's targets, drawn uniformly."""
        import torch

        return labels[torch.randint(len(labels), (count,), device=labels.device)]

    def log_probability(self, classes: Tensor) -> Tensor:
        """Log of each class's share of the events of training."""
        return self.log_share[classes]
