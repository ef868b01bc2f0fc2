"""DeBERTa-v2."""

from __future__ import annotations

from typing import Literal

from t4r_lab.families.bodies.shared.layer_knobs import AttentionLayers
from t4r_lab.families.bodies.shared.library import PADDED, WORDS, bert_config, model
from t4r_lab.families.bodies.shared.row import BOTH_WAYS, Configuration, Sizes, transformer_body


class DeBERTa(AttentionLayers):
    """DeBERTa-v2: attention to content and to relative position apart."""

    kind: Literal["deberta-v2"] = "deberta-v2"


def configuration(s: Sizes) -> object:
    """Attention disentangled into content and relative position (He et al., 2021)."""
    return bert_config(
        "DebertaV2Config",
        s,
        relative_attention=True,
        max_relative_positions=s.total_seq_length,
        position_biased_input=False,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        type_vocab_size=0,
    )


DebertaV2Config = Configuration("DebertaV2Config", DeBERTa, configuration)
BODY = transformer_body(DebertaV2Config, BOTH_WAYS, model("DebertaV2Model"), PADDED, WORDS)
