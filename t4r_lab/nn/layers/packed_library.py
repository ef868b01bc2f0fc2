"""Packed attention for models of `transformers` that accept an attention function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from t4r_lab.nn.kernels.packed_attention import attend
from t4r_lab.nn.kernels.packing import Packing

PACKED = "packed"
"""Name of `_packed_attention` among the attentions of `transformers`."""


def use_packed_attention(model: Any, library: Any) -> None:
    """Let `model` of `library`, the module `transformers`, read packed events."""
    library.AttentionInterface.register(PACKED, _packed_attention)
    model.set_attn_implementation(PACKED)


def read_packed(model: Any, hidden: Tensor, lengths: Tensor, causal: bool, first_position: int) -> Tensor:
    """(B, T, D) of `hidden` (B, T, D) with `lengths` (B,) real events; `first_position` is the number that the model
    gives to the first."""
    packing = Packing.of(lengths, hidden.shape[1], model.config.num_attention_heads)
    position = packing.position[None] + first_position
    packed = model(inputs_embeds=packing.pack(hidden)[None], position_ids=position, packing=packing, causal=causal)
    return packing.pad(packed.last_hidden_state[0])


def _packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packing: Packing,
    causal: bool,
    scaling: float | None = None,
    dropout: float = 0.0,
    **unused: Any,
) -> tuple[Tensor, None]:
    """Attention of packed events, (1, H, N, E) each, as `transformers` calls it; `unused` are its other arguments.

    Returns (1, N, H, E).
    """
    heads = query.shape[1]
    key, value = (part.repeat_interleave(heads // part.shape[1], 1) for part in (key, value))
    read = torch.stack([part[0].transpose(0, 1) for part in (query, key, value)], 2)
    return attend(read, packing, causal, scaling, dropout).unflatten(1, (heads, -1))[None], None
