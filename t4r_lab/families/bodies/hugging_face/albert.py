"""ALBERT."""

from __future__ import annotations

from typing import Literal

from t4r_lab.families.bodies.shared.layer_knobs import AttentionLayers
from t4r_lab.families.bodies.shared.library import EITHER_WAY, WORDS, bert_config, model
from t4r_lab.families.bodies.shared.row import BOTH_WAYS, Configuration, Sizes, transformer_body


class ALBERT(AttentionLayers):
    """ALBERT: BERT with one set of weights for all layers."""

    kind: Literal["albert"] = "albert"


def configuration(s: Sizes) -> object:
    """BERT whose layers share their weights (Lan et al., 2020)."""
    return bert_config("AlbertConfig", s, embedding_size=s.d_model)


AlbertConfig = Configuration("AlbertConfig", ALBERT, configuration)
BODY = transformer_body(
    AlbertConfig,
    (*BOTH_WAYS, "clm"),
    model("AlbertModel", add_pooling_layer=False),
    EITHER_WAY,
    WORDS,
)
