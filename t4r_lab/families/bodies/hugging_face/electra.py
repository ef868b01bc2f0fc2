"""ELECTRA."""

from __future__ import annotations

from typing import Literal

from t4r_lab.families.bodies.shared.layer_knobs import AttentionLayers
from t4r_lab.families.bodies.shared.library import EITHER_WAY, WORDS, bert_config, packed_model, packed_reading
from t4r_lab.families.bodies.shared.row import BOTH_WAYS, Configuration, Sizes, transformer_body


class ELECTRA(AttentionLayers):
    """ELECTRA: BERT's body, made to tell original from replaced."""

    kind: Literal["electra"] = "electra"


def configuration(s: Sizes) -> object:
    """The body of ELECTRA's discriminator (Clark et al., 2020)."""
    return bert_config("ElectraConfig", s, embedding_size=s.d_model)


ElectraConfig = Configuration("ElectraConfig", ELECTRA, configuration)
BODY = transformer_body(
    ElectraConfig,
    (*BOTH_WAYS, "clm"),
    packed_model("ElectraModel"),
    packed_reading(EITHER_WAY),
    WORDS,
)
