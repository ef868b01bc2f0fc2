"""ModernBERT."""

from __future__ import annotations

from typing import Literal

from t4r_lab.families.bodies.shared.layer_knobs import RotaryLayers
from t4r_lab.families.bodies.shared.library import PADDED, config, model
from t4r_lab.families.bodies.shared.row import BOTH_WAYS, Configuration, Sizes, transformer_body


class ModernBERT(RotaryLayers):
    """ModernBERT: attention both ways, rotary positions, gated layers."""

    kind: Literal["modernbert"] = "modernbert"


def configuration(s: Sizes) -> object:
    """Rotary positions, gated feed-forward layers, every third layer global (Warner et al., 2024)."""
    return config(
        "ModernBertConfig",
        hidden_size=s.d_model,
        num_attention_heads=s.n_head,
        num_hidden_layers=s.n_layer,
        intermediate_size=s.d_gated,
        max_position_embeddings=s.total_seq_length,
        hidden_activation=s.activation,
        attention_dropout=s.dropout,
        embedding_dropout=s.dropout,
        mlp_dropout=s.dropout,
        initializer_range=s.initializer_range,
        cls_token_id=0,
        sep_token_id=0,
    )


ModernBertConfig = Configuration("ModernBertConfig", ModernBERT, configuration)
BODY = transformer_body(
    ModernBertConfig,
    BOTH_WAYS,
    model("ModernBertModel"),
    PADDED,
    ("tok_embeddings.weight",),
)
