"""A next-item loss that scores a target against sampled items instead of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from t4r_lab.base.private import writes
from t4r_lab.nn.kernels.table_rows import entries, rows

PairLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


class Sampler(Protocol):
    """A distribution over classes 0..I-1, to draw from."""

    def draw(self, count: int, labels: Tensor) -> Tensor:
        """(K,) classes drawn with replacement, K = `count`; `labels` (N,) are the batch's targets."""

    def log_probability(self, classes: Tensor) -> Tensor:
        """Log-probability of each class in one draw, in the shape of `classes`."""


def counted_mean(parts: Tensor, hit: Tensor) -> Tensor:
    """Mean of `parts` (N, K) over the negatives that count, (N,); 0 where none does."""
    return parts.masked_fill(hit, 0.0).sum(1) / (~hit).sum(1).clamp(min=1)


def softmax_weights(negatives: Tensor, hit: Tensor) -> Tensor:
    """Softmax over the negatives (N, K) that count; all zero if none does."""
    return torch.softmax(negatives.masked_fill(hit, torch.finfo(negatives.dtype).min), 1).masked_fill(hit, 0.0)


class SampledLoss(nn.Module):
    """A loss over the target and `count` negatives that the whole batch shares.

    Only the rows of targets and negatives are read from the table of items, never all of it.

    Parameters
    ----------
    pair_loss: takes the target's score (N,), the negatives' scores (N, K), and where a negative happens to be the
        case's own target (N, K), which then doesn't count; returns one loss per case, (N,).
    sampler: makes a sampler from the items' events in training, (I,).
    count: negatives drawn for a batch. items: number of items.
    correct: subtract log Q(item) from every score, which makes a sampled softmax an estimate of the full one.
    """

    counts: Tensor

    def __init__(
        self, pair_loss: PairLoss, sampler: Callable[[Tensor], Sampler], count: int, items: int, correct: bool = False
    ) -> None:
        super().__init__()
        self.pair_loss, self.make_sampler, self.count, self.correct = pair_loss, sampler, count, correct
        self.register_buffer("counts", torch.zeros(items, dtype=torch.long))
        self._made: tuple[Tensor, float, Sampler] | None = None

    def forward(self, queries: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, temperature: float) -> Tensor:
        """Mean over cases, a scalar; 0 without any.

        Parameters
        ----------
        queries: (N, D). bias: (I,). labels: (N,) classes 0..I-1.
        weight: (I, D), or with more rows: the last I are the items', so that a table with padding needs no slice.
        """
        sampler, first = self._sampler(), len(weight) - len(bias)
        drawn = sampler.draw(self.count, labels) if len(labels) else labels
        read = torch.cat([labels, drawn])
        vectors, biases = rows(weight, read + first), entries(bias, read)
        if not len(labels):
            return queries.sum() + vectors.sum() + biases.sum()  # of nothing: every parameter has a gradient
        n = len(labels)
        target = ((queries * vectors[:n]).sum(1) + biases[:n]) / temperature
        negatives = torch.addmm(biases[n:], queries, vectors[n:].T) / temperature
        if self.correct:
            target = target - sampler.log_probability(labels)
            negatives = negatives - sampler.log_probability(drawn)
        return self.pair_loss(target.float(), negatives.float(), drawn[None] == labels[:, None]).sum() / n

    def _sampler(self) -> Sampler:
        """The sampler of the counts, rebuilt when they have changed, since that may read all items."""
        counts = self.counts
        if self._made is None or self._made[0] is not counts or self._made[1] != writes(counts):
            self._made = counts, writes(counts), self.make_sampler(counts)
        return self._made[2]
