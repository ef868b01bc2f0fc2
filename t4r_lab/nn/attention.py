"""Attention on packed events, and two small transformers of our own: SASRec and LiGR.

Both are pre-norm with learned absolute positions; causal or both ways, as the masking asks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t4r_lab.nn.configurations import Sizes
from t4r_lab.nn.dropout import drop
from t4r_lab.nn.packing import Packing

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}


FORBIDDEN = -1e30
"""Added to the scores of what an event may not attend to."""


def attend(
    read: Tensor, valid: Tensor, n_head: int, causal: bool, scale: float | None = None, dropout: float = 0.0
) -> Tensor:
    """Scaled dot-product attention (Vaswani et al., 2017) of queries, keys and values (b, T, 3·D) to (b, T, D).

    Padding, where `valid` (b, T) is False, stands on the right: a `causal` read never meets it. `scale` is 1/√(D/H) if
    None. Torch's own attention is quick as long as nothing is dropped on a CPU.
    """
    parts = read.unflatten(2, (3, n_head, -1))  # (b, T, 3, H, D/H)
    if not dropout or read.device.type != "cpu":
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind()
        keys = None if causal else valid[:, None, None]
        seen = F.scaled_dot_product_attention(q, k, v, keys, dropout, is_causal=causal, scale=scale)  # (b, H, T, D/H)
        return seen.transpose(1, 2).flatten(2)
    b, length = valid.shape
    q, k, v = (part.flatten(0, 1) for part in parts.permute(2, 3, 0, 1, 4))  # (H·b, T, D/H)
    scores = torch.baddbmm(
        forbidden(valid, causal, read.dtype).expand(n_head, b, -1, length).flatten(0, 1), q, k.transpose(1, 2),
        alpha=scale or q.shape[2] ** -0.5,
    )  # fmt: skip
    seen = torch.bmm(drop(scores.softmax(2), dropout), v)
    return seen.unflatten(0, (n_head, b)).permute(1, 2, 0, 3).flatten(2)


def forbidden(valid: Tensor, causal: bool, dtype: torch.dtype) -> Tensor:
    """What is added to scores, (T, T) where `causal`, else (b, 1, T) by which keys are `valid`."""
    length = valid.shape[1]
    if causal:
        return torch.full((length, length), FORBIDDEN, dtype=dtype, device=valid.device).triu(1)
    return torch.where(valid, 0.0, FORBIDDEN).to(dtype)[:, None]


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
        dropout = self.dropout if self.training else 0.0
        seen = packing.attend(
            self.read(packed), lambda read, valid: attend(read, valid, self.n_head, causal, dropout=dropout)
        )
        out: Tensor = self.write(seen)
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
            nn.Linear(width, 4 * width), ACTIVATIONS[sizes.activation](), nn.Dropout(sizes.dropout),
            nn.Linear(4 * width, width),
        )  # fmt: skip

    def forward(self, hidden: Tensor, packing: Packing, causal: bool) -> Tensor:
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
        self.dropout = nn.Dropout(sizes.dropout)
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
        packing = Packing.of(lengths, hidden.shape[1])
        last = packing if predict is None else packing.only(predict)
        packed = self.dropout(packing.pack(hidden) + self.positions(packing.position))
        for layer in self.layers:
            packed = layer(packed, last if layer is self.layers[-1] else packing, causal)
        return last.pad(self.norm(packed))
