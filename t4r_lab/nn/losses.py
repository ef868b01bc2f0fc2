"""Next-item losses that never hold the logits of a whole batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LOGITS_PER_CHUNK = 2_600_000
"""Logits held at once: about 10 MB, so that a chunk is still in cache when it is read again."""


def rows_per_chunk(classes: int) -> int:
    """Rows whose logits over `classes` are computed together."""
    return max(16, LOGITS_PER_CHUNK // max(classes, 1))


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, label_smoothing: float = 0.0, temperature: float = 1.0
) -> Tensor:
    """Sum of cross-entropies of softmax((h·Wᵀ + b) / τ) with smoothed labels, a scalar.

    The same as ``F.cross_entropy(logits / τ, labels, label_smoothing=ε, reduction="sum")`` (Szegedy et al.,
    2016), computed a chunk of rows at a time; the gradients are made in the same pass.

    Parameters
    ----------
    hidden: (N, D). weight: (C, D). bias: (C,). labels: (N,) classes 0..C-1.
    """
    out: Tensor = _LinearCrossEntropy.apply(hidden, weight, bias, labels, label_smoothing, temperature)
    return out


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, smoothing: float, temperature: float
    ) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return _forward(ctx, hidden, weight, bias, labels, smoothing, temperature)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        return (*(grad * saved for saved in ctx.saved_tensors), None, None, None)


def _forward(
    ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, smoothing: float, temperature: float
) -> Tensor:
    classes, rows = weight.shape[0], rows_per_chunk(weight.shape[0])
    needs_grad = any(ctx.needs_input_grad[:3])
    queries = hidden.to(weight.dtype) / temperature
    scaled_bias = bias / temperature
    if needs_grad:
        d_hidden, d_weight, d_bias = torch.empty_like(queries), torch.zeros_like(weight), torch.zeros_like(bias)
    total = weight.new_zeros(())
    for start in range(0, len(queries), rows):
        chunk, target = queries[start : start + rows], labels[start : start + rows, None]
        logits = torch.addmm(scaled_bias, chunk, weight.T)
        at_target, mean = logits.gather(1, target), logits.mean(1, keepdim=True) if smoothing else 0.0
        peak = logits.amax(1, keepdim=True)
        exp = logits.sub_(peak).exp_()
        norm = exp.sum(1, keepdim=True)
        total += (norm.log() + peak - (1 - smoothing) * at_target - smoothing * mean).sum()
        if needs_grad:
            slope = exp.div_(norm)  # softmax minus the smoothed target, in place
            if smoothing:
                slope.sub_(smoothing / classes)
            slope.scatter_add_(1, target, slope.new_full(target.shape, smoothing - 1.0))
            torch.mm(slope, weight, out=d_hidden[start : start + rows])
            d_weight.addmm_(slope.T, chunk)
            d_bias += slope.sum(0)
    if needs_grad:
        ctx.save_for_backward((d_hidden / temperature).to(hidden.dtype), d_weight, d_bias / temperature)
    return total
