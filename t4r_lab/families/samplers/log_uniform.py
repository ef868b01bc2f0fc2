"""Zipf's law."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from t4r_lab.families.samplers.sampler import ItemSampler

if TYPE_CHECKING:
    from torch import Tensor


class LogUniform(ItemSampler):
    """By Zipf's law in order of popularity."""

    kind: Literal["log_uniform"] = "log_uniform"
    words: ClassVar[str] = "by Zipf's law in order of popularity"

    def build(self, counts: Tensor) -> LogUniformSampler:
        """Of `counts` (I,)."""
        return LogUniformSampler(counts)


class LogUniformSampler:
    """Zipf's law over the items in the order of their popularity: P(rank r) = log((r+2)/(r+1)) / log(I+1).

    `counts` (I,) are the items' events in training. The law needs their order alone, so that it's flatter in the
    head than the counts and never zero.
    """

    def __init__(self, counts: Tensor) -> None:
        import torch

        self.by_rank = counts.argsort(descending=True, stable=True)
        self.rank = torch.empty_like(self.by_rank)
        self.rank[self.by_rank] = torch.arange(len(counts), device=counts.device)
        self.log_size = torch.log(torch.tensor(len(counts) + 1.0, dtype=torch.float64))

    def draw(self, count: int, labels: Tensor) -> Tensor:
        """(K,) classes, by inversion of the distribution function log(r+1) / log(I+1) of ranks."""
        import torch

        # the inverse of the distribution function log(r+1)/log(I+1), in double: float32 is too coarse for the tail
        uniform = torch.rand(count, dtype=torch.float64, device=labels.device)
        rank = (uniform * self.log_size.to(labels.device)).exp().long() - 1
        return self.by_rank[rank.clamp(0, len(self.by_rank) - 1)]

    def log_probability(self, classes: Tensor) -> Tensor:
        """log of log((r+2)/(r+1)) / log(I+1), r the rank of each class, from 0."""
        import torch

        rank = self.rank[classes].double()
        return (torch.log1p(1 / (rank + 1)).log() - self.log_size.log().to(rank.device)).float()
