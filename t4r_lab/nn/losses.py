"""Next-item losses that never hold the logits of a whole batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from t4r_lab.nn.processor import multiplies_bfloat16

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

    `precision` is ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the processor multiplies it in hardware, it
    pays (`HALF_CLASSES`), and no logit is so large that its rounding would count: `safe`, below `SAFE_LOGIT`.
    """
    if precision != "auto":
        return precision == "bfloat16"
    return safe and device.type == "cpu" and classes in HALF_CLASSES and multiplies_bfloat16()


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

    Targets and smoothing are linear in the logits, so that they need none of them: they take ε·w̄ + (1-ε)·W[y] off the
    gradient of a row, with w̄ the mean row of W. What needs every logit is in `_softmax`.
    """
    table, weight = weight, weight[len(weight) - len(bias) :]
    tempered_bias, queries = bias / temperature, hidden.to(weight.dtype) / temperature
    at_target = (queries * weight[labels]).sum(1) + tempered_bias[labels]
    total = (smoothing - 1.0) * at_target.sum()
    if smoothing:
        mean_weight = weight.mean(0)
        total -= smoothing * (queries @ mean_weight + tempered_bias.mean()).sum()
    needs_grad = any(ctx.needs_input_grad[:3])
    d_table = torch.empty_like(table) if needs_grad else None
    part = None if d_table is None else d_table[len(table) - len(bias) :]
    smoothed = smoothing / len(weight) * queries.sum(0)
    log_norm, d_hidden, d_bias = _softmax(queries, weight, tempered_bias, part, smoothed, precision)
    if d_table is not None:
        d_table[: len(table) - len(bias)] = 0
        if smoothing:
            d_bias -= smoothing * len(queries) / len(weight)
            d_hidden -= smoothing * mean_weight
        d_hidden -= (1.0 - smoothing) * weight[labels]
        d_table.index_add_(0, labels + (len(table) - len(bias)), queries, alpha=smoothing - 1.0)
        d_bias.index_add_(0, labels, torch.ones_like(at_target), alpha=smoothing - 1.0)
        ctx.save_for_backward((d_hidden / temperature).to(hidden.dtype), d_table, d_bias / temperature)
    return total + log_norm.sum()


def _softmax(
    queries: Tensor, weight: Tensor, bias: Tensor, d_weight: Tensor | None, less: Tensor, precision: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Of logits q·Wᵀ + b, row by row: the logarithms of the sums of exp, (N,), and the gradients of their total.

    The gradient of W less the row `less`, (D,), is written to `d_weight`, those of q and b are returned, unless
    `d_weight` is None. A chunk of logits is touched by three products, exp and a sum alone: the bias is two columns
    more of W, which in bfloat16 hold it nearly as it is, its gradient one column more of a product. With E the
    exponentials and z their sums, the softmax is E / z, so that dq = E·W / z and [dW | db] = Eᵀ·[q / z | 1 / z].
    """
    count, width = queries.shape
    safe = _stay_small(queries, weight, bias)
    half = multiplies_half(precision, len(weight), weight.device, safe)
    products = torch.bfloat16 if half else weight.dtype
    main = bias.to(products)
    keys = torch.cat([weight.to(products), main[:, None], (bias - main).to(products)[:, None]], 1)
    rows, tile = (HALF_LOGITS_PER_CHUNK // len(weight), HALF_TILE) if half else (rows_per_chunk(len(weight)), 1)
    chunks = max(-(-count // max(rows, tile)), 1)
    rows = -(-count // (chunks * tile)) * tile  # even chunks, filled up by queries of zeros
    padded = F.pad(F.pad(queries, (0, 2), value=1.0), (0, 0, 0, chunks * rows - count))
    buffer = keys.new_empty(rows, len(weight))
    log_norm, d_queries = padded.new_empty(len(padded)), padded.new_empty(len(padded), width)
    d_bias = torch.zeros_like(bias)
    if d_weight is not None:
        d_weight.copy_(-less)
    for start in range(0, len(padded), max(rows, 1)):
        part = slice(start, start + rows)
        logits = torch.mm(padded[part].to(products), keys.T, out=buffer)
        peak = None if safe else logits.amax(1)
        exponentials = (logits if peak is None else logits.sub_(peak[:, None])).exp_()
        norm = exponentials.sum(1).to(bias.dtype)
        log_norm[part] = norm.log() if peak is None else norm.log() + peak
        if d_weight is None:
            continue
        torch.div(torch.mm(exponentials, keys[:, :width]), norm[:, None], out=d_queries[part])
        shares = (padded[part, : width + 1] / norm[:, None]).to(products)
        if half:
            step = exponentials.T @ shares
            d_weight += step[:, :width]
            d_bias += step[:, width]
        else:
            d_weight.addmm_(exponentials.T, shares[:, :width])
            d_bias.addmv_(exponentials.T, shares[:, width])
    return log_norm[:count], d_queries[:count], d_bias


def _stay_small(queries: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """Whether exp of every logit is sure to be an ordinary number, by |q·w + b| ≤ |q| |w| + |b|.

    Not asked on an accelerator, which would have to wait for the answer.
    """
    if queries.device.type != "cpu" or not len(queries):
        return False
    bound = queries.norm(dim=1).max() * weight.norm(dim=1).max() + bias.abs().max()
    return bool(bound < SAFE_LOGIT)
