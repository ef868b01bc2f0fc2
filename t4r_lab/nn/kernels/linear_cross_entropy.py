"""Softmax cross-entropy of a linear layer, without the logits of a whole batch in memory."""

from __future__ import annotations

from contextlib import nullcontext
from threading import local
from typing import Any, NamedTuple

import torch
from torch import Tensor

from t4r_lab.nn.kernels.fast_types import multiplies_bfloat16, quick_float32

LOGITS_PER_CHUNK = 2_600_000
"""Logits in memory at once: about 10 MB, so that a chunk is still in cache when it is read again."""
FEWEST_ROWS = 32
"""The fewest rows of a chunk, for any number of classes: each chunk reads and writes the table's whole gradient."""
HALF_LOGITS_PER_CHUNK = 8_200_000
"""`LOGITS_PER_CHUNK` in bfloat16, in which the gradient of a chunk costs more than its size."""
HALF_TILE = 32
"""Rows of a chunk are a multiple of it: products in bfloat16 are compiled for each new number of rows, in 20 ms."""
HALF_CLASSES = range(5_000, 120_001)
"""Sizes of catalogs whose products ``auto`` computes in bfloat16: smaller ones cost less than the body, larger ones
need too much memory for copies of the table."""
SAFE_LOGIT = 60.0
"""Sums of exp over a catalog stay within float32 up to here, exp within its normal numbers down to its negative."""


def rows_per_chunk(classes: int) -> int:
    """Rows whose logits over `classes` are computed together."""
    return max(FEWEST_ROWS, LOGITS_PER_CHUNK // max(classes, 1))


def multiplies_half(precision: str, classes: int, device: torch.device, safe: bool) -> bool:
    """True if the products with `classes` output vectors are computed in bfloat16.

    `precision` is ``float32``, ``bfloat16``, or ``auto``: bfloat16 if the processor multiplies it in hardware, it
    pays (`HALF_CLASSES`), and no logit is so large that rounding matters: `safe`, below `SAFE_LOGIT`.
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
    """Mean of cross-entropies of softmax((h·Wᵀ + b) / τ) with smoothed labels, a scalar; 0 without rows.

    The same as ``F.cross_entropy(logits / τ, labels, label_smoothing=ε)`` (Szegedy et al., 2016), computed a chunk of
    rows at a time, with the gradients in the same pass.

    Parameters
    ----------
    hidden: (N, D). bias: (C,). labels: (N,) classes 0..C-1.
    weight: (C, D), or with more rows: the last C are the classes', so that a table with padding needs no slice,
    whose backward pass would go over the whole of it twice more.
    precision: of the products, see `multiplies_half`; sums and the terms of the targets stay in float32.
    """
    out: Tensor = _LinearCrossEntropy.apply(hidden, weight, bias, labels, label_smoothing, temperature, precision)
    return out


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        labels: Tensor,
        smoothing: float,
        temperature: float,
        precision: str,
    ) -> Tensor:
        # a kernel for each number of rows is paid back where a product takes long enough
        products = quick_float32() if len(bias) >= HALF_CLASSES.stop else nullcontext()
        with torch.autocast(hidden.device.type, enabled=False), products:
            return _forward(ctx, hidden, weight, bias, labels, smoothing, temperature, precision)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        scaled = ctx.saved_tensors
        if grad.device.type != "cpu" or grad != 1:  # 1 for one task in one process, which saves a pass
            scaled = tuple(grad * saved for saved in scaled)
        return (*scaled, None, None, None, None)


def _forward(
    ctx: Any,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    labels: Tensor,
    smoothing: float,
    temperature: float,
    precision: str,
) -> Tensor:
    """Loss and gradients in one pass over chunks of rows.

    Targets and smoothing are linear in the logits, so that they need none of them: they take ε·w̄ + (1-ε)·W[y] off the
    gradient of a row, with w̄ the mean row of W. The terms that need every logit are in `_softmax`.
    """
    table, weight = weight, weight[len(weight) - len(bias) :]
    padding, count = len(table) - len(bias), max(len(hidden), 1)
    tempered_bias, queries = bias / temperature, hidden.to(weight.dtype) / temperature

    # the loss without the logarithms of sums
    targets = weight[labels]
    total = (smoothing - 1.0) * ((queries * targets).sum(1) + tempered_bias[labels]).sum()
    if smoothing:
        mean_weight = weight.mean(0)
        total -= smoothing * (queries @ mean_weight + tempered_bias.mean()).sum()

    # the logarithms of sums, with the gradients of their total
    needs_grad = any(ctx.needs_input_grad[:3])
    d_table = torch.empty_like(table) if needs_grad else None
    part = None if d_table is None else d_table[padding:]
    smoothed = smoothing / (len(weight) * count) * queries.sum(0)
    log_norm, d_hidden, d_bias = _softmax(queries, weight, tempered_bias, part, smoothed, precision)

    # the gradients of the terms without logarithms
    if d_table is not None:
        d_table[:padding] = 0
        d_hidden -= (1.0 - smoothing) * targets
        if smoothing:
            d_bias -= smoothing * len(queries) / (len(weight) * count)
            d_hidden -= smoothing * mean_weight
        d_table.index_add_(0, labels + padding, queries, alpha=(smoothing - 1.0) / count)
        d_bias.index_add_(0, labels, torch.ones_like(log_norm), alpha=(smoothing - 1.0) / count)
        scale = 1.0 / (count * temperature)
        ctx.save_for_backward((d_hidden * scale).to(hidden.dtype), d_table, d_bias / temperature)
    return (total + log_norm.sum()) / count


def _softmax(
    queries: Tensor, weight: Tensor, bias: Tensor, d_weight: Tensor | None, less: Tensor, precision: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Logarithms of the sums of exp of logits q·Wᵀ + b, by row, (N,), and the gradients of their total.

    The gradient of W over N, minus the row `less`, (D,), is written to `d_weight`; those of q and of b over N are
    returned, unless `d_weight` is None. A chunk of logits takes only three products, exp and a sum: the bias is two
    more columns of W, its gradient one more column of a product. With E the exponentials and z their sums, the
    softmax is E / z, so that dq = E·W / z and [dW | db] = Eᵀ·[q / z | 1 / z].
    """
    count, width = queries.shape
    safe = _stay_small(queries, weight, bias)
    half = multiplies_half(precision, len(weight), weight.device, safe)
    keys = _with_bias(weight, bias, torch.bfloat16 if half else weight.dtype)
    chunks, rows = _chunks(count, len(weight), half)
    padded = queries.new_zeros(chunks * rows, width + 2)  # filled up by queries of zeros
    padded[:count, :width], padded[:count, width:] = queries, 1.0
    buffer = _buffer(rows, keys)
    log_norm, d_queries = padded.new_empty(len(padded)), padded.new_empty(len(padded), width)
    d_bias = torch.zeros_like(bias)
    for start in range(0, len(padded), rows):
        part = slice(start, start + rows)
        chunk = _exponentials(padded[part], keys, buffer, safe)
        log_norm[part] = chunk.log_norm
        if d_weight is not None:
            torch.div(torch.mm(chunk.values, keys[:, :width]), chunk.norm[:, None], out=d_queries[part])
            shares = (padded[part, : width + 1] / (chunk.norm * max(count, 1))[:, None]).to(keys.dtype)
            _add_gradients(chunk.values, shares, d_weight, d_weight if start else -less, d_bias)
    return log_norm[:count], d_queries[:count], d_bias


class _Exponentials(NamedTuple):
    """The exponentials of a chunk of n rows of logits."""

    values: Tensor
    """(n, C) exp of the logits, less the largest of their row where they are large"""
    norm: Tensor
    """(n,) sums of `values`"""
    log_norm: Tensor
    """(n,) logarithms of the sums of exp of the logits"""


def _exponentials(queries: Tensor, keys: Tensor, buffer: Tensor, safe: bool) -> _Exponentials:
    """Exponentials of the logits of `queries` (n, D + 2) and `keys` (C, D + 2), in `buffer` (n, C).

    With `safe`, all logits are small.
    """
    logits = torch.mm(queries.to(keys.dtype), keys.T, out=buffer)
    peak = None if safe else logits.amax(1)
    values = (logits if peak is None else logits.sub_(peak[:, None])).exp_()
    norm = values.sum(1).to(queries.dtype)
    return _Exponentials(values, norm, norm.log() if peak is None else norm.log() + peak)


def _add_gradients(values: Tensor, shares: Tensor, d_weight: Tensor, so_far: Tensor, d_bias: Tensor) -> None:
    """Write `so_far`, (C, D) or (D,), and a chunk's part to `d_weight` (C, D), and add the chunk's to `d_bias` (C,).

    `values` (n, C) are its exponentials, `shares` (n, D + 1) its queries and a column of ones, over the sums of these.
    """
    width = d_weight.shape[1]
    if values.dtype == d_weight.dtype:
        torch.addmm(so_far, values.T, shares[:, :width], out=d_weight)
        d_bias.addmv_(values.T, shares[:, width])
    else:  # in bfloat16 one product for both: the sum over chunks stays in the type of the weight
        step = values.T @ shares
        torch.add(step[:, :width], so_far, out=d_weight)
        d_bias += step[:, width]


def _with_bias(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """[W | b], (C, D + 2): the bias takes two columns, which in bfloat16 hold it nearly as it is."""
    width = weight.shape[1]
    keys = weight.new_empty(len(weight), width + 2, dtype=dtype)
    keys[:, :width], keys[:, width] = weight, bias
    keys[:, width + 1] = bias - keys[:, width]
    return keys


def _chunks(count: int, classes: int, half: bool) -> tuple[int, int]:
    """Number of chunks for `count` rows, and the rows of each; all have the same, so that the last needs padding."""
    rows, tile = (HALF_LOGITS_PER_CHUNK // classes, HALF_TILE) if half else (rows_per_chunk(classes), 1)
    chunks = max(-(-count // max(rows, tile)), 1)
    return chunks, max(-(-count // (chunks * tile)), 1) * tile


_memory = local()


def _buffer(rows: int, keys: Tensor) -> Tensor:
    """Memory for logits, (`rows`, classes), on the device and of the type of `keys` (classes, …).

    On a CPU each thread keeps it from step to step: in new memory each 4 kB cost a page fault, which together may
    take as long as the product itself.
    """
    size = rows * len(keys)
    if keys.device.type != "cpu":
        return keys.new_empty(rows, len(keys))
    buffer: Tensor | None = getattr(_memory, "buffer", None)
    if buffer is None or buffer.dtype != keys.dtype or len(buffer) < size:
        _memory.buffer = buffer = None  # frees the old buffer first
        with torch.inference_mode(False):  # a tensor of that mode can't be written outside it
            _memory.buffer = buffer = torch.empty(size, dtype=keys.dtype)
    return buffer[:size].view(rows, len(keys))


def _stay_small(queries: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """True if exp of every logit is certain to be a normal number, by |q·w + b| ≤ |q| |w| + |b|.

    False on an accelerator, where reading the bound would wait for it.
    """
    if queries.device.type != "cpu" or not len(queries):
        return False
    bound = queries.norm(dim=1).max() * weight.norm(dim=1).max() + bias.abs().max()
    return bool(bound < SAFE_LOGIT)
