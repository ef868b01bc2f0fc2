"""Longformer."""

from __future__ import annotations

from typing import Literal

from t4r_lab.families.bodies.shared.layer_knobs import AttentionLayers
from t4r_lab.families.bodies.shared.library import PADDED, WORDS, bert_config, model
from t4r_lab.families.bodies.shared.row import BOTH_WAYS, Configuration, Sizes, transformer_body


class Longformer(AttentionLayers):
    """Longformer: attention both ways to the events nearby."""

    kind: Literal["longformer"] = "longformer"


def configuration(s: Sizes) -> object:
    """Each event attends to those within 64 places (Beltagy et al., 2020)."""
    window = 2 * min(s.total_seq_length, 64)
    padded = -(-s.total_seq_length // window) * window  # sessions are padded to whole windows, with positions
    return bert_config(
        "LongformerConfig", s, attention_window=window, max_position_embeddings=padded + 1, sep_token_id=0
    )


GLOBAL = tuple(f"{name}_global.{part}" for name in ("query", "key", "value") for part in ("weight", "bias"))
"""Attention of chosen events to all others, of which there are none."""


LongformerConfig = Configuration("LongformerConfig", Longformer, configuration)
BODY = transformer_body(
    LongformerConfig,
    BOTH_WAYS,
    model("LongformerModel", add_pooling_layer=False),
    PADDED,
    (*WORDS, *GLOBAL),
)
