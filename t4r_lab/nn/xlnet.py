"""XLNet's content stream on packed events, with the weights of `transformers`' model."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from t4r_lab.nn.attention import forbidden
from t4r_lab.nn.packing import Packing


def content_stream(model: Any, hidden: Tensor, lengths: Tensor, causal: bool, predict: Tensor | None = None) -> Tensor:
    """What an ``XLNetModel`` reads from `hidden` (B, T, D) with padding masked, (B, T, D); zero at padding, and where
    `predict` (B, T) is False: what the last layer does after attention is done for the others alone.

    Attention with relative positions as in Dai et al. (2019), both ways or, where `causal`, to earlier events.
    The same as the model's own ``forward`` without memories and segments, but each event's own work is done for real
    events alone, and queries with both biases, keys and values come from one product.
    """
    packing = Packing.of(lengths, hidden.shape[1])
    last = packing if predict is None else packing.only(predict)
    longest = max(group.shape[1] for group in packing.groups)
    positions = model.dropout(model.relative_positional_encoding(longest, longest, None, hidden.device)[:, 0])
    packed = model.dropout(packing.pack(hidden))
    for layer in model.layer:
        ahead = last if layer is model.layer[-1] else packing
        packed = _feed_forward(layer.ff, _attention(layer.rel_attn, packed, positions, ahead, causal))
    return last.pad(model.dropout(packed))


def _attention(layer: Any, packed: Tensor, positions: Tensor, packing: Packing, causal: bool) -> Tensor:
    """(N, D) events and (2T, D) encoded distances T … 1-T to (N, D), or (K, D) of those that `packing` keeps."""
    q, k, v, r = (part.flatten(1) for part in (layer.q * layer.scale, layer.k, layer.v, layer.r))  # (D, H·E) each
    content, place = (bias.flatten() * layer.scale for bias in (layer.r_w_bias, layer.r_r_bias))
    none = torch.zeros_like(content)
    read = torch.addmm(torch.cat([content, place, none, none]), packed, torch.cat([q, q, k, v], 1))  # (N, 4·H·E)
    keys = (positions @ r).unflatten(1, (layer.n_head, -1)).transpose(0, 1)  # (H, 2T, E)
    seen = packing.attend(read, partial(_attend, layer=layer, keys=keys, causal=causal))
    out: Tensor = layer.layer_norm(layer.dropout(F.linear(seen, layer.o.flatten(1))) + packing.keep(packed))
    return out


def _attend(read: Tensor, valid: Tensor, layer: Any, keys: Tensor, causal: bool) -> Tensor:
    """(b, T, 4·H·E) of queries for contents and for places, keys and values to (b, T, H·E)."""
    b, length, _ = read.shape
    content, place, k, v = read.unflatten(2, (4, layer.n_head, -1)).permute(2, 3, 0, 1, 4).unbind()  # (H, b, T, E) each
    middle = keys.shape[1] // 2
    near = keys[:, middle - length : middle + length]  # of the distances T … 1-T of this group
    distance = torch.bmm(place.flatten(1, 2), near.transpose(1, 2)).unflatten(1, (b, length))  # (H, b, T, 2T)
    scores = shift(distance, length) + forbidden(valid, causal, read.dtype)
    scores = torch.baddbmm(scores.flatten(0, 1), content.flatten(0, 1), k.flatten(0, 1).transpose(1, 2))
    seen = torch.bmm(layer.dropout(scores.softmax(2)), v.flatten(0, 1))  # (H·b, T, E)
    return seen.unflatten(0, (layer.n_head, b)).permute(1, 2, 0, 3).flatten(2)


def shift(scores: Tensor, klen: int) -> Tensor:
    """Scores by relative position (…, Q, R) to scores by key (…, Q, klen): the next query's row starts one later (Dai
    et al., 2019, appendix B)."""
    *rest, queries, positions = scores.shape
    rows = scores.reshape(*rest, positions, queries)[..., 1:, :]
    return rows.reshape(*rest, queries, positions - 1)[..., :klen]


def _feed_forward(layer: Any, packed: Tensor) -> Tensor:
    wide = layer.dropout(layer.activation_function(layer.layer_1(packed)))
    out: Tensor = layer.layer_norm(layer.dropout(layer.layer_2(wide)) + packed)
    return out
