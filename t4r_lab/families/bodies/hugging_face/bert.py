"""BERT."""

from __future__ import annotations

from typing import Literal

from t4r_lab.families.bodies.shared.layer_knobs import AttentionLayers
from t4r_lab.families.bodies.shared.library import EITHER_WAY, WORDS, bert_config, packed_model, packed_reading
from t4r_lab.families.bodies.shared.row import BOTH_WAYS, Configuration, Sizes, transformer_body


class BERT(AttentionLayers):
    """BERT: attention both ways, absolute positions."""

    kind: Literal["bert"] = "bert"


def configuration(s: Sizes) -> object:
    """Attention both ways, post-norm (Devlin et al., 2019); causal by a 4-D mask."""
    return bert_config("BertConfig", s)


BertConfig = Configuration("BertConfig", BERT, configuration)
BODY = transformer_body(
    BertConfig,
    (*BOTH_WAYS, "clm"),
    packed_model("BertModel", add_pooling_layer=False),
    packed_reading(EITHER_WAY),
    WORDS,
)
