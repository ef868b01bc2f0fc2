"""RoBERTa."""

from __future__ import annotations

from typing import Literal

from t4r_lab.families.bodies.shared.layer_knobs import AttentionLayers
from t4r_lab.families.bodies.shared.library import EITHER_WAY, WORDS, bert_config, packed_model, packed_reading
from t4r_lab.families.bodies.shared.row import BOTH_WAYS, Configuration, Sizes, transformer_body


class RoBERTa(AttentionLayers):
    """RoBERTa: BERT by another recipe."""

    kind: Literal["roberta"] = "roberta"


def configuration(s: Sizes) -> object:
    """BERT whose positions are counted from the padding id on, hence one more (Liu et al., 2019)."""
    return bert_config("RobertaConfig", s, max_position_embeddings=s.total_seq_length + 1)


RobertaConfig = Configuration("RobertaConfig", RoBERTa, configuration)
BODY = transformer_body(
    RobertaConfig,
    (*BOTH_WAYS, "clm"),
    packed_model("RobertaModel", add_pooling_layer=False),
    packed_reading(EITHER_WAY, first_position=1),
    WORDS,
)
