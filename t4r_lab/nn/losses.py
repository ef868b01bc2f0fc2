"""Next-item losses that never hold the logits of a whole batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LOGITS_PER_CHUNK = 2_600_000
"""Logits held at once: about 10 MB, so that a chunk is still in cache when it is read again."""
HALF_LOGITS_PER_CHUNK = 8_200_000
"""The same in bfloat16, where a chunk's part of the gradient costs more than a larger chunk does."""
HALF_TILE = 32
"""Rows of a chunk are a multiple of it: products in bfloat16 are compiled anew for each number of rows, in 20 ms."""
HALF_CLASSES = range(5_000, 120_001)
"""Catalogs whose products ``auto`` takes in bfloat16: below them the body is what costs, above them the memory of the
table's copies."""
SAFE_LOGIT = 60.0
"""Sums of exp over a catalog stay within float32 up to here, exp within its normal numbers down to its negative."""


def rows_per_chunk(classes: int) -> int:
    """Rows whose logits over `classes` are computed together."""
    return max(16, LOGITS_PER_CHUNK // max(classes, 1))


def multiplies_half(precision: str, classes: int, device: torch.device, safe: bool) -> bool:
    """Whether the products with `classes` output vectors are computed in bfloat16.

    `precision` is ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the processor multiplies it in hardware (AMX),
    it pays (`HALF_CLASSES`), and no logit is so large that its rounding would count: `safe`, below `SAFE_LOGIT`.
    """
    if precision != "auto":
        return precision == "bfloat16"
    return safe and device.type == "cpu" and classes in HALF_CLASSES and torch.cpu._is_amx_tile_supported()


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    labels: Tensor,
    label_smoothing: float = 0.0,
    temperature: float = 1.0,
    precision: str = "float32",
) -> Tensor:
    """Sum of cross-entropies of softmax((h·Wᵀ + b) / τ) with smoothed labels, a scalar.

    The same as ``F.cross_entropy(logits / τ, labels, label_smoothing=ε, reduction="sum")`` (Szegedy et al.,
    2016), computed a chunk of rows at a time; the gradients are made in the same pass.

    Parameters
    ----------
    hidden: (N, D). bias: (C,). labels: (N,) classes 0..C-1.
    weight: (C, D), or with more rows: the last C are the classes', so that a table with padding needs no slice,
    whose backward pass would go over the whole of it twice more.
    precision: of the products, as `multiplies_half` reads it; sums and what the targets add stay in float32.
    """
    out: Tensor = _LinearCrossEntropy.apply(hidden, weight, bias, labels, label_smoothing, temperature, precision)
    return out


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, smoothing: float, temperature: float,
        precision: str,
    ) -> Tensor:  # fmt: skip
        with torch.autocast(hidden.device.type, enabled=False):
            return _forward(ctx, hidden, weight, bias, labels, smoothing, temperature, precision)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        return (*(grad * saved for saved in ctx.saved_tensors), None, None, None, None)


def _forward(
    ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, smoothing: float, temperature: float,
    precision: str,
) -> Tensor:  # fmt: skip
    """Loss and gradients in one pass over chunks of rows.

    A chunk of logits is touched by what needs every one of them alone: three products, exp and two sums. All else is
    linear and taken off the products. With E = exp(q·Wᵀ), β = exp(b) and z = E·β, the softmax is E β / z, so that
    dq = E·(β W) / z and dW = β Eᵀ·(q / z); targets and smoothing ε take ε·w̄ + (1-ε)·W[y] off dq, with w̄ the mean row.
    """
    table, weight = weight, weight[len(weight) - len(bias) :]
    tempered_bias, queries = bias / temperature, hidden.to(weight.dtype) / temperature
    at_target = (queries * weight[labels]).sum(1) + tempered_bias[labels]
    total = (smoothing - 1.0) * at_target.sum()
    if smoothing:
        mean_weight = weight.mean(0)
        total -= smoothing * (queries @ mean_weight + tempered_bias.mean()).sum()
    safe = _stay_small(queries, weight, tempered_bias)
    factor = tempered_bias.exp() if safe else torch.ones_like(bias)  # β, which else goes into the logits
    half = multiplies_half(precision, len(weight), weight.device, safe)
    products = torch.bfloat16 if half else weight.dtype
    keys = weight.to(products)
    values = keys * factor.to(products)[:, None]
    count = len(queries)
    rows, tile = (HALF_LOGITS_PER_CHUNK // len(weight), HALF_TILE) if half else (rows_per_chunk(len(weight)), 1)
    chunks = max(-(-count // max(rows, tile)), 1)
    rows = -(-count // (chunks * tile)) * tile  # even chunks, filled up by queries of zeros
    padded = F.pad(queries, (0, 0, 0, chunks * rows - count))
    real = F.pad(torch.ones_like(at_target), (0, chunks * rows - count))
    buffer = keys.new_empty(rows, len(weight))
    log_norm = torch.empty_like(real)
    needs_grad = any(ctx.needs_input_grad[:3])
    if needs_grad:
        d_hidden, d_table, d_bias = torch.empty_like(padded), torch.empty_like(table), torch.zeros_like(bias)
        d_weight = d_table[len(table) - len(bias) :]
        d_table[: len(table) - len(bias) if count else None] = 0  # what the loop doesn't fill
    for start in range(0, len(padded), max(rows, 1)):
        part = slice(start, start + rows)
        logits = torch.mm(padded[part].to(products), keys.T, out=buffer)
        peak = None if safe else logits.add_(tempered_bias).amax(1)
        exponentials = (logits if peak is None else logits.sub_(peak[:, None])).exp_()
        norm = torch.mv(exponentials, factor.to(products)).to(bias.dtype)  # z
        log_norm[part] = norm.log() if peak is None else norm.log() + peak
        if needs_grad:
            torch.div(torch.mm(exponentials, values), norm[:, None], out=d_hidden[part])
            _accumulate(d_weight, exponentials.T, padded[part] / norm[:, None], start == 0)
            d_bias += torch.mv(exponentials.T, (real[part] / norm).to(products))
    total += log_norm[:count].sum()
    if needs_grad:
        if smoothing:
            torch.addcmul(-smoothing / len(weight) * queries.sum(0), d_weight, factor[:, None], out=d_weight)
            d_bias.mul_(factor).sub_(smoothing * count / len(weight))
            d_hidden -= smoothing * mean_weight
        else:
            d_weight *= factor[:, None]
            d_bias *= factor
        d_hidden = d_hidden[:count].sub_((1.0 - smoothing) * weight[labels])
        d_weight.index_add_(0, labels, queries, alpha=smoothing - 1.0)
        d_bias.index_add_(0, labels, torch.ones_like(at_target), alpha=smoothing - 1.0)
        ctx.save_for_backward((d_hidden / temperature).to(hidden.dtype), d_table, d_bias / temperature)
    return total


def _stay_small(queries: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """Whether exp of every logit is sure to be an ordinary number, by |q·w + b| ≤ |q| |w| + |b|.

    Not asked on an accelerator, which would have to wait for the answer.
    """
    if queries.device.type != "cpu" or not len(queries):
        return False
    bound = queries.norm(dim=1).max() * weight.norm(dim=1).max() + bias.abs().max()
    return bool(bound < SAFE_LOGIT)


def _accumulate(total: Tensor, left: Tensor, right: Tensor, first: bool) -> None:
    """Add ``left @ right`` to `total`, or fill it by that if it is the `first`."""
    if left.dtype == total.dtype:
        total.addmm_(left, right, beta=0 if first else 1)
    elif first:
        total.copy_(left @ right.to(left.dtype))
    else:
        total += left @ right.to(left.dtype)
