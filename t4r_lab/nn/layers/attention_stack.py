"""Two small transformers: SASRec and LiGR.

Both are pre-norm with learned absolute positions, and causal or bidirectional by the masking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t4r_lab.nn.kernels.packed_attention import attend
from t4r_lab.nn.kernels.packing import Packing

if TYPE_CHECKING:
    from t4r_lab.families.bodies.shared.row import Sizes

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}


class SelfAttention(nn.Module):
    """Multi-head attention over packed events (N, D)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.n_head, self.dropout = sizes.n_head, sizes.dropout
        self.read = nn.Linear(sizes.d_model, 3 * sizes.d_model)
        self.write = nn.Linear(sizes.d_model, sizes.d_model)

    def forward(self, packed: Tensor, packing: Packing, causal: bool) -> Tensor:
        """(N, D) to (N, D), or (K, D) of those that `packing` keeps: every event attends to those of its session, or
        where `causal` to those up to it."""
        weight, bias = (  # by head, then queries, keys and values
            part.unflatten(0, (3, self.n_head, -1)).transpose(0, 1).flatten(0, 2)
            for part in (self.read.weight, self.read.bias)
        )
        read = F.linear(packed, weight, bias).unflatten(1, (self.n_head, 3, -1))
        out: Tensor = self.write(attend(read, packing, causal, dropout=self.dropout if self.training else 0.0))
        return out


class GatedFeedForward(nn.Module):
    """(act(x·W) ⊙ x·V)·O; with silu, SwiGLU (Shazeer, 2020)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.read = nn.Linear(sizes.d_model, 2 * sizes.d_gated)
        self.activation = ACTIVATIONS[sizes.activation]()
        self.dropout = nn.Dropout(sizes.dropout)
        self.write = nn.Linear(sizes.d_gated, sizes.d_model)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) to (…, D)."""
        gate, value = self.read(hidden).chunk(2, -1)
        out: Tensor = self.write(self.dropout(self.activation(gate) * value))
        return out


class SASRecLayer(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)) (Kang & McAuley, 2018; norms first)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.d_model
        self.attention, self.dropout = SelfAttention(sizes), nn.Dropout(sizes.dropout)
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width),
            ACTIVATIONS[sizes.activation](),
            nn.Dropout(sizes.dropout),
            nn.Linear(4 * width, width),
        )

    def forward(self, hidden: Tensor, packing: Packing, causal: bool) -> Tensor:
        """Packed events (N, D) to (M, D), M the events that `packing` keeps after attention."""
        attended = self.dropout(self.attention(self.attention_norm(hidden), packing, causal))
        hidden = packing.keep(hidden) + attended
        out: Tensor = hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))
        return out


class LiGRLayer(nn.Module):
    """x + σ(x·W)·f(norm(x)), with f the attention, then the gated feed-forward (Borisyuk et al., 2025)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.d_model
        self.attention, self.feed_forward = SelfAttention(sizes), GatedFeedForward(sizes)
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_gate, self.feed_forward_gate = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, hidden: Tensor, packing: Packing, causal: bool) -> Tensor:
        """Packed events (N, D) to (M, D), M the events that `packing` keeps after attention."""
        attended = self.dropout(self.attention(self.attention_norm(hidden), packing, causal))
        hidden = packing.keep(hidden)
        hidden = hidden + torch.sigmoid(self.attention_gate(hidden)) * attended
        fed = self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))
        return hidden + torch.sigmoid(self.feed_forward_gate(hidden)) * fed


class AttentionStack(nn.Module):
    """Positions, layers of one kind and a last norm, (B, T, D) to (B, T, D)."""

    def __init__(self, sizes: Sizes, layer: type[SASRecLayer] | type[LiGRLayer]) -> None:
        super().__init__()
        self.positions = nn.Embedding(sizes.total_seq_length, sizes.d_model)
        self.n_head, self.dropout = sizes.n_head, nn.Dropout(sizes.dropout)
        self.layers = nn.ModuleList(layer(sizes) for _ in range(sizes.n_layer))
        self.norm = nn.LayerNorm(sizes.d_model)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=sizes.initializer_range)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, hidden: Tensor, lengths: Tensor, causal: bool, predict: Tensor | None = None) -> Tensor:
        """`lengths` (B,) counts the real events of `hidden` (B, T, D); zero at padding, and where `predict` (B, T) is
        False."""
        packing = Packing.of(lengths, hidden.shape[1], self.n_head)
        last = packing.only(predict)
        packed = self.dropout(packing.pack(hidden) + self.positions(packing.position))
        for layer in self.layers:
            packed = layer(packed, last if layer is self.layers[-1] else packing, causal)
        return last.pad(self.norm(packed))
