"""XLNet's content stream on packed events, with the weights of `transformers`' model."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from t4r_lab.nn.kernels.packed_attention import attend
from t4r_lab.nn.kernels.packing import Packing


def content_stream(model: Any, hidden: Tensor, lengths: Tensor, causal: bool, predict: Tensor | None = None) -> Tensor:
    """Output of an ``XLNetModel`` for `hidden` (B, T, D) with padding masked, (B, T, D); zero at padding, and where
    `predict` (B, T) is False, since the last layer computes only predicted events after attention.

    Attention with relative positions as in Dai et al. (2019), both ways or, where `causal`, to earlier events.
    The same as the model's ``forward`` without memories and segments, but computes real events
    alone, and queries with both biases, keys and values come from one product.
    """
    packing = Packing.of(lengths, hidden.shape[1], model.config.n_head)
    last = packing.only(predict)
    longest = max(group.shape[1] for group in packing.groups)
    positions = model.dropout(model.relative_positional_encoding(longest, longest, None, hidden.device)[:, 0])
    packed = model.dropout(packing.pack(hidden))
    for layer in model.layer:
        ahead = last if layer is model.layer[-1] else packing
        packed = _feed_forward(layer.ff, _attention(layer.rel_attn, packed, positions, ahead, causal))
    return last.pad(model.dropout(packed))


def _attention(layer: Any, packed: Tensor, positions: Tensor, packing: Packing, causal: bool) -> Tensor:
    """(N, D) events and (2T, D) encoded distances T … 1-T to (N, D), or (K, D) of those that `packing` keeps."""
    content_bias, position_bias = (bias * layer.scale for bias in (layer.r_w_bias, layer.r_r_bias))  # (H, E)
    q, no_bias = layer.q * layer.scale, torch.zeros_like(content_bias)
    weight = torch.stack([q, layer.k, layer.v, q], 2).flatten(1)  # (D, H·4·E)
    bias = torch.stack([content_bias, no_bias, no_bias, position_bias], 1).flatten()
    read = torch.addmm(bias, packed, weight).unflatten(1, (layer.n_head, 4, -1))
    keys = (positions @ layer.r.flatten(1)).unflatten(1, (layer.n_head, -1)).transpose(0, 1)  # (H, 2T, E)
    seen = attend(read, packing, causal, 1.0, layer.dropout.p if layer.training else 0.0, keys)
    out: Tensor = layer.layer_norm(layer.dropout(F.linear(seen, layer.o.flatten(1))) + packing.keep(packed))
    return out


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
