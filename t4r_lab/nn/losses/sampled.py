"""Next-item losses that score a target against sampled items instead of all.

Each takes the target's score (N,), the negatives' scores (N, K), and where a negative happens to be the case's own
target (N, K), which then doesn't count. Each returns one loss a case, (N,).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t4r_lab.base.private import writes
from t4r_lab.nn.kernels.table_rows import entries, rows
from t4r_lab.nn.losses.negatives import SAMPLERS, Sampler
from t4r_lab.spec.head_specs import GBCE, BPRMax, CrossEntropy, LossSpec, SampledSoftmax

PairLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


def softmax(target: Tensor, negatives: Tensor, hit: Tensor) -> Tensor:
    """Cross-entropy over the target and the negatives, whose scores have log Q taken off (Bengio & Senécal, 2008)."""
    return torch.cat([target[:, None], negatives.masked_fill(hit, float("-inf"))], 1).logsumexp(1) - target


def bce(target: Tensor, negatives: Tensor, hit: Tensor, beta: float = 1.0) -> Tensor:
    """-β log σ(s⁺) - Σ log(1 - σ(s⁻)): β = 1 is binary cross-entropy, as in SASRec; else gBCE."""
    return -beta * F.logsigmoid(target) - F.logsigmoid(-negatives).masked_fill(hit, 0.0).sum(1)


def gbce_beta(negatives: int, items: int, calibration: float) -> float:
    """β = α(t(1 - 1/α) + 1/α) with α = K/(I - 1), the share of items drawn (Petrov & Macdonald, RecSys '23).

    t = 0 leaves BCE's overconfident scores, t = 1 makes σ(s) the true probability.
    """
    alpha = min(negatives / max(items - 1, 1), 1.0)
    return alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)


def bpr(target: Tensor, negatives: Tensor, hit: Tensor) -> Tensor:
    """Mean of -log σ(s⁺ - s⁻) (Rendle et al., 2009)."""
    return _mean(-F.logsigmoid(target[:, None] - negatives), hit)


def top1(target: Tensor, negatives: Tensor, hit: Tensor) -> Tensor:
    """Mean of σ(s⁻ - s⁺) + σ(s⁻²) (Hidasi et al., 2016)."""
    return _mean((negatives - target[:, None]).sigmoid() + negatives.square().sigmoid(), hit)


def bpr_max(target: Tensor, negatives: Tensor, hit: Tensor, regularization: float = 1.0) -> Tensor:
    """-log Σ w σ(s⁺ - s⁻) + λ Σ w s⁻² with w = softmax(s⁻) (Hidasi & Karatzoglou, 2018)."""
    least = torch.finfo(negatives.dtype).min
    log_weight = torch.log_softmax(negatives.masked_fill(hit, least), 1)
    likelihood = (log_weight + F.logsigmoid(target[:, None] - negatives)).masked_fill(hit, least).logsumexp(1)
    likelihood = likelihood.masked_fill(hit.all(1), 0.0)
    return -likelihood + regularization * (_weights(negatives, hit) * negatives.square()).sum(1)


def top1_max(target: Tensor, negatives: Tensor, hit: Tensor) -> Tensor:
    """Σ w (σ(s⁻ - s⁺) + σ(s⁻²)) with w = softmax(s⁻) (Hidasi & Karatzoglou, 2018)."""
    parts = (negatives - target[:, None]).sigmoid() + negatives.square().sigmoid()
    return (_weights(negatives, hit) * parts).sum(1)


def _mean(parts: Tensor, hit: Tensor) -> Tensor:
    return parts.masked_fill(hit, 0.0).sum(1) / (~hit).sum(1).clamp(min=1)


def _weights(negatives: Tensor, hit: Tensor) -> Tensor:
    """Softmax over the negatives that count; where none does, all zero."""
    return torch.softmax(negatives.masked_fill(hit, torch.finfo(negatives.dtype).min), 1).masked_fill(hit, 0.0)


PAIR_LOSSES: dict[str, PairLoss] = {
    "sampled_softmax": softmax,
    "bce": bce,
    "gbce": bce,
    "bpr": bpr,
    "top1": top1,
    "bpr_max": bpr_max,
    "top1_max": top1_max,
}


class SampledLoss(nn.Module):
    """A loss over the target and `count` negatives that the whole batch shares.

    Only the rows of targets and negatives are read from the table of items, never all of it.

    Parameters
    ----------
    pair_loss: one of the losses above, its settings filled in.
    sampler: ``uniform``, ``log_uniform`` or ``in_batch``.
    count: negatives drawn for a batch. items: number of items.
    correct: take log Q(item) off every score, which makes a sampled softmax an estimate of the full one.
    """

    counts: Tensor

    def __init__(self, pair_loss: PairLoss, sampler: str, count: int, items: int, correct: bool = False) -> None:
        super().__init__()
        self.pair_loss, self.kind, self.count, self.correct = pair_loss, sampler, count, correct
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
        """The sampler of the counts, made anew when they have changed: it may go over all items."""
        counts = self.counts
        if self._made is None or self._made[0] is not counts or self._made[1] != writes(counts):
            self._made = counts, writes(counts), SAMPLERS[self.kind](counts)
        return self._made[2]


def make_sampled(spec: LossSpec, items: int) -> SampledLoss | None:
    """The loss of a spec over `items`; None for the full cross-entropy, which is no sampled one."""
    if isinstance(spec, CrossEntropy):
        return None
    pair_loss = PAIR_LOSSES[spec.kind]
    if isinstance(spec, GBCE):
        pair_loss = partial(bce, beta=gbce_beta(spec.negatives, items, spec.calibration))
    if isinstance(spec, BPRMax):
        pair_loss = partial(bpr_max, regularization=spec.regularization)
    return SampledLoss(pair_loss, spec.sampler, spec.negatives, items, correct=isinstance(spec, SampledSoftmax))
