"""Attention of packed events, group by group, with a custom backward pass where torch's kernels are slow."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from t4r_lab.base.private import softmax_backward
from t4r_lab.nn.kernels.dropout import factors
from t4r_lab.nn.kernels.packing import Packing

FORBIDDEN = -1e30
"""Added to the score of a key that a query may not attend to; in float16 it is -∞."""


def attend(
    read: Tensor,
    packing: Packing,
    causal: bool,
    scale: float | None = None,
    dropout: float = 0.0,
    distances: Tensor | None = None,
) -> Tensor:
    """Softmax attention (Vaswani et al., 2017) of each event to those of its session, or where `causal` to those up to
    it; (N, H·E), or (K, H·E) of those that `packing` keeps.

    Parameters
    ----------
    read: (N, H, 3, E) query, key and value of N events by head; with `distances`, (N, H, 4, E): a query for distances
        comes last.
    distances: (H, 2T, E) keys of the distances T … 1-T between a query and a key, with T the length of the longest
        session (Dai et al., 2019); query times key is added to the score.
    scale: of query times key, 1/√E if None.
    """
    scale = read.shape[-1] ** -0.5 if scale is None else scale
    if distances is None and not (dropout and read.device.type == "cpu"):
        groups = [
            _by_torch(read.index_select(0, group.flatten()).unflatten(0, group.shape), valid, causal, scale, dropout)
            for group, valid in zip(packing.groups, packing.valid, strict=True)
        ]
        return (torch.cat(groups) if len(groups) > 1 else groups[0]).index_select(0, packing.kept_events)
    out: Tensor = _Attention.apply(read, distances, packing, causal, scale, dropout)
    return out


def forbidden(valid: Tensor, causal: bool, dtype: torch.dtype) -> Tensor:
    """The mask to add to the score of each key (row) with each query: (T, T) if `causal`, else (b, 1, T, 1) by the
    `valid` keys (b, T).

    Padding is on the right, so that a causal query never attends to it.
    """
    length = valid.shape[1]
    if causal:
        return torch.full((length, length), FORBIDDEN, device=valid.device).tril(-1).to(dtype)
    return torch.where(valid, 0.0, FORBIDDEN).to(dtype)[:, None, :, None]


def _by_torch(read: Tensor, valid: Tensor, causal: bool, scale: float, dropout: float) -> Tensor:
    """(b, T, H, 3, E) to (b·T, H·E); torch's attention, which is fast without dropout on a CPU."""
    q, k, v = read.permute(3, 0, 2, 1, 4).unbind()
    keys = None if causal else valid[:, None, None]
    seen = F.scaled_dot_product_attention(q, k, v, keys, dropout, is_causal=causal, scale=scale)
    return seen.transpose(1, 2).flatten(2).flatten(0, 1)  # in torch's layout: nothing is copied


class _Attention(torch.autograd.Function):
    """Attention with shares by key, then by query: torch's softmax over a short last dimension is ten times as slow."""

    @staticmethod
    def forward(
        ctx: Any, read: Tensor, distances: Tensor | None, packing: Packing, causal: bool, scale: float, dropout: float
    ) -> Tensor:
        _, heads, _, width = read.shape
        out, keep = read.new_empty(heads * packing.size, width), list[Tensor]()  # in the order of the groups, (b, H, T)
        with torch.autocast(read.device.type, enabled=False):
            for group, valid, seen in zip(packing.groups, packing.valid, _split(out, packing, heads), strict=True):
                sessions, length = group.shape
                events = read.index_select(0, group.T.flatten())
                q, k, v = _parts(events, sessions)
                scores = forbidden(valid, causal, read.dtype)
                if distances is None:
                    scores = scores.expand(sessions, heads, length, length)
                else:
                    scores = _add_by_distance(scores, events, distances, length)
                shares = torch.baddbmm(scores.flatten(0, 1), k, q.transpose(1, 2), alpha=scale).softmax(1)
                mask = factors(shares, dropout) if dropout else None
                left = shares if mask is None else shares * mask
                torch.bmm(left.transpose(1, 2), v, out=seen.unflatten(0, (-1, length)))
                if any(ctx.needs_input_grad):
                    keep += [events, shares, shares[:0] if mask is None else mask]
        ctx.save_for_backward(distances, *keep)
        ctx.packing, ctx.scale = packing, scale
        return out.index_select(0, packing.kept_heads).view(-1, heads * width)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), packing = grads, ctx.packing
        distances, *saved = ctx.saved_tensors
        _, heads, parts, width = saved[0].shape
        d_out = grad.new_zeros(heads * packing.size, width)
        d_out.index_copy_(0, packing.kept_heads, grad.reshape(-1, width))
        d_parts = grad.new_empty(len(d_out), parts, width)
        d_distances = None if distances is None else torch.zeros_like(distances)
        for group, d_seen, d_read, events, shares, mask in zip(
            packing.groups,
            _split(d_out, packing, heads),
            _split(d_parts, packing, heads),
            saved[::3],
            saved[1::3],
            saved[2::3],
            strict=True,
        ):
            sessions, length = group.shape
            q, k, v = _parts(events, sessions)
            d_seen, d_read = d_seen.unflatten(0, (-1, length)), d_read.unflatten(0, (-1, length))
            d_shares, left = torch.bmm(v, d_seen.transpose(1, 2)), shares
            if len(mask):
                d_shares, left = d_shares.mul_(mask), shares * mask
            d_scores = softmax_backward(d_shares, shares, 1)
            d_last = []
            if d_distances is not None:
                d_last = [_distance_gradients(d_scores, events, distances, d_distances)]
            if ctx.scale != 1:
                d_scores.mul_(ctx.scale)
            d_query, d_key, d_value = (
                torch.bmm(*pair) for pair in ((d_scores.transpose(1, 2), k), (d_scores, q), (left, d_seen))
            )
            torch.stack([d_query, d_key, d_value, *d_last], 2, out=d_read)
        d_read = d_parts.flatten(1).index_select(0, packing.grouped.flatten()).view(-1, heads, parts, width)
        return d_read, d_distances, None, None, None, None


def _split(rows: Tensor, packing: Packing, heads: int) -> tuple[Tensor, ...]:
    """Rows (M, …) by group."""
    return rows.split([heads * group.numel() for group in packing.groups])


def _parts(events: Tensor, sessions: int) -> tuple[Tensor, ...]:
    """(T·b, H, P, E), the first events, the second ones and so on, to queries, keys and values, (b·H, T, E) each.

    In this order products read them without a copy.
    """
    return events.view(-1, sessions * events.shape[1], *events.shape[2:]).transpose(0, 1)[:, :, :3].unbind(2)


def _add_by_distance(scores: Tensor, events: Tensor, distances: Tensor, length: int) -> Tensor:
    """`scores`, (T, T) or (b, 1, T, 1), and what the `events` (T·b, H, 4, E) score `distances`, (b, H, T, T)."""
    near = _near(distances, length).to(events.dtype).transpose(1, 2)
    by_distance = _shifted(torch.bmm(events[:, :, 3].transpose(0, 1), near), len(events) // length)
    return torch.add(by_distance, scores, out=events.new_empty(by_distance.shape))


def _distance_gradients(d_scores: Tensor, events: Tensor, distances: Tensor, d_distances: Tensor) -> Tensor:
    """The gradient of the queries for distances, (b·H, T, E), from that of the scores (b·H, T, T); the gradient of the
    distances is added to `d_distances`."""
    heads, length = events.shape[1], d_scores.shape[1]
    sessions = len(events) // length
    d_product = d_scores.new_zeros(heads, length * sessions, 2 * length)
    _shifted(d_product, sessions).copy_(d_scores.unflatten(0, (sessions, heads)))
    _near(d_distances, length).add_(torch.bmm(d_product.transpose(1, 2), events[:, :, 3].transpose(0, 1)))
    d_query = torch.bmm(d_product, _near(distances, length).to(d_scores.dtype))
    return d_query.unflatten(1, (length, sessions)).permute(2, 0, 1, 3).flatten(0, 1)


def _near(distances: Tensor, length: int) -> Tensor:
    """The keys of distances between events of a session of `length`, (H, 2·length, E)."""
    middle = distances.shape[1] // 2
    return distances[:, middle - length : middle + length]


def _shifted(product: Tensor, sessions: int) -> Tensor:
    """A view of scores by distance, (H, T·b, 2T) for distances T … 1-T, as scores of each key with each query,
    (b, H, T, T)."""
    heads, rows, twice = product.shape
    length = twice // 2
    return product.as_strided((sessions, heads, length, length), (twice, rows * twice, 1, sessions * twice - 1), length)
