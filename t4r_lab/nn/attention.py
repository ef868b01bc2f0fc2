"""Two small transformers of our own, on PyTorch's scaled dot-product attention: SASRec and LiGR.

Both are pre-norm with learned absolute positions; causal or both ways, as the masking asks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t4r_lab.nn.configurations import Sizes

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}


class SelfAttention(nn.Module):
    """Multi-head attention over (B, T, D)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.n_head, self.dropout = sizes.n_head, sizes.dropout
        self.read = nn.Linear(sizes.d_model, 3 * sizes.d_model)
        self.write = nn.Linear(sizes.d_model, sizes.d_model)

    def forward(self, hidden: Tensor, keys: Tensor | None) -> Tensor:
        """`keys` (B, 1, 1, T) is True where all may look; None: position i looks at 0..i."""
        q, k, v = self.read(hidden).unflatten(-1, (3, self.n_head, -1)).permute(2, 0, 3, 1, 4)  # (B, H, T, D/H) each
        dropout = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=keys, dropout_p=dropout, is_causal=keys is None)
        out: Tensor = self.write(seen.transpose(1, 2).flatten(2))
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

    def forward(self, hidden: Tensor, keys: Tensor | None) -> Tensor:
        hidden = hidden + self.dropout(self.attention(self.attention_norm(hidden), keys))
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

    def forward(self, hidden: Tensor, keys: Tensor | None) -> Tensor:
        attended = self.dropout(self.attention(self.attention_norm(hidden), keys))
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

    def forward(self, hidden: Tensor, valid: Tensor, causal: bool) -> Tensor:
        """`valid` (B, T) is False at padding, which stands on the right: a causal read never meets it."""
        # a session without events looks at its first place: a softmax over nothing is no number
        keys = None if causal else valid.index_fill(1, valid.new_zeros(1, dtype=torch.long), True)[:, None, None]
        hidden = self.dropout(hidden + self.positions.weight[: hidden.shape[1]])
        for layer in self.layers:
            hidden = layer(hidden, keys)
        out: Tensor = self.norm(hidden)
        return out
