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
    hidden: (N, D). bias: (C,). labels: (N,) classes 0..C-1.
    weight: (C, D), or with more rows: the last C are the classes', so that a table with padding needs no slice,
    whose backward pass would go over the whole of it twice more.
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
    """Loss and gradients in one pass over chunks of rows.

    A chunk of logits is touched by what needs every one of them alone: three products, the bias, the softmax and
    its sums. What targets and smoothing take off the softmax is linear in W and h and is taken off the products:
    with p the softmax, ε the smoothing and w̄ the mean row of W, dh = p·W - ε·w̄ - (1-ε)·W[y].
    """
    table, weight = weight, weight[len(weight) - len(bias) :]
    rows, tempered_bias = rows_per_chunk(len(weight)), bias / temperature
    queries = hidden.to(weight.dtype) / temperature
    at_target = (queries * weight[labels]).sum(1) + tempered_bias[labels]
    total = (smoothing - 1.0) * at_target.sum()
    if smoothing:
        mean_weight = weight.mean(0)
        total -= smoothing * (queries @ mean_weight + tempered_bias.mean()).sum()
    needs_grad = any(ctx.needs_input_grad[:3])
    if needs_grad:
        d_hidden, d_table, d_bias = torch.empty_like(queries), torch.empty_like(table), torch.zeros_like(bias)
        d_weight = d_table[len(table) - len(bias) :]
        d_table[: len(table) - len(bias) if len(queries) else None] = 0  # what the loop doesn't fill
    buffer = weight.new_empty(min(rows, len(queries)), len(weight))
    for start in range(0, len(queries), rows):
        chunk = queries[start : start + rows]
        logits = torch.mm(chunk, weight.T, out=buffer[: len(chunk)]).add_(tempered_bias)
        peak = logits.amax(1)
        softmax = torch.softmax(logits, 1, out=logits)
        total += (peak - softmax.amax(1).log()).sum()  # the largest probability is 1 / Σ exp(logit - peak)
        if needs_grad:
            torch.mm(softmax, weight, out=d_hidden[start : start + rows])
            d_weight.addmm_(softmax.T, chunk, beta=min(start, 1))  # the first chunk fills it
            d_bias += softmax.sum(0)
    if needs_grad:
        d_hidden -= (1.0 - smoothing) * weight[labels]
        d_weight.index_add_(0, labels, queries, alpha=smoothing - 1.0)
        d_bias.index_add_(0, labels, torch.ones_like(at_target), alpha=smoothing - 1.0)
        if smoothing:
            d_hidden -= smoothing * mean_weight
            d_weight -= queries.sum(0) * (smoothing / len(weight))
            d_bias -= smoothing * len(queries) / len(weight)
        ctx.save_for_backward((d_hidden / temperature).to(hidden.dtype), d_table, d_bias / temperature)
    return total
