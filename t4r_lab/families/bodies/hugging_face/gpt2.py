"""GPT-2."""

from __future__ import annotations

from typing import Literal

from t4r_lab.families.bodies.shared.layer_knobs import AttentionLayers
from t4r_lab.families.bodies.shared.library import PADDED, config, packed_model, packed_reading
from t4r_lab.families.bodies.shared.row import CAUSAL, Configuration, Sizes, transformer_body


class GPT2(AttentionLayers):
    """GPT-2: causal attention, absolute positions."""

    kind: Literal["gpt2"] = "gpt2"


def configuration(s: Sizes) -> object:
    """Causal attention, pre-norm (Radford et al., 2019)."""
    return config(
        "GPT2Config",
        n_embd=s.d_model,
        n_head=s.n_head,
        n_layer=s.n_layer,
        n_positions=s.total_seq_length,
        resid_pdrop=s.dropout,
        embd_pdrop=s.dropout,
        attn_pdrop=s.dropout,
        activation_function=s.activation,
        initializer_range=s.initializer_range,
        use_cache=False,
    )


GPT2Config = Configuration("GPT2Config", GPT2, configuration)
BODY = transformer_body(
    GPT2Config,
    CAUSAL,
    packed_model("GPT2Model"),
    packed_reading(PADDED),
    ("wte.weight",),
)
