"""Where the negatives of a sampled loss come from: K items drawn once for a whole batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class Sampler(Protocol):
    """Draws classes 0..I-1 and knows how likely each is."""

    def draw(self, count: int, labels: Tensor) -> Tensor:
        """(K,) classes drawn with replacement, K = `count`; `labels` (N,) are the batch's targets."""

    def log_probability(self, classes: Tensor) -> Tensor:
        """Log-probability of each class in one draw, in the shape of `classes`."""


class UniformSampler:
    """Every item alike."""

    def __init__(self, counts: Tensor) -> None:
        self.size = len(counts)

    def draw(self, count: int, labels: Tensor) -> Tensor:
        """(K,) classes, each with probability 1/I."""
        return torch.randint(self.size, (count,), device=labels.device)

    def log_probability(self, classes: Tensor) -> Tensor:
        """-log I, in the shape of `classes`."""
        return torch.full(classes.shape, -float(torch.tensor(float(self.size)).log()), device=classes.device)


class LogUniformSampler:
    """Zipf's law over the items in the order of their popularity: P(rank r) = log((r+2)/(r+1)) / log(I+1).

    `counts` (I,) are the items' events in training. The law needs their order alone, so that it's flatter in the
    head than the counts and never zero.
    """

    def __init__(self, counts: Tensor) -> None:
        self.by_rank = counts.argsort(descending=True, stable=True)
        self.rank = torch.empty_like(self.by_rank)
        self.rank[self.by_rank] = torch.arange(len(counts), device=counts.device)
        self.log_size = torch.log(torch.tensor(len(counts) + 1.0, dtype=torch.float64))

    def draw(self, count: int, labels: Tensor) -> Tensor:
        """(K,) classes, by inversion of the distribution function log(r+1) / log(I+1) of ranks."""
        # the inverse of the distribution function log(r+1)/log(I+1), in double: float32 is too coarse for the tail
        uniform = torch.rand(count, dtype=torch.float64, device=labels.device)
        rank = (uniform * self.log_size.to(labels.device)).exp().long() - 1
        return self.by_rank[rank.clamp(0, len(self.by_rank) - 1)]

    def log_probability(self, classes: Tensor) -> Tensor:
        """log of log((r+2)/(r+1)) / log(I+1), r the rank of each class, from 0."""
        rank = self.rank[classes].double()
        return (torch.log1p(1 / (rank + 1)).log() - self.log_size.log().to(rank.device)).float()


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
        return labels[torch.randint(len(labels), (count,), device=labels.device)]

    def log_probability(self, classes: Tensor) -> Tensor:
        """Log of each class's share of the events of training."""
        return self.log_share[classes]


SAMPLERS: dict[str, Callable[[Tensor], Sampler]] = {
    "uniform": UniformSampler,
    "log_uniform": LogUniformSampler,
    "in_batch": InBatchSampler,
}
