"""Llama."""

from __future__ import annotations

from typing import Literal

from t4r_lab.families.bodies.shared.layer_knobs import Activation, RotaryLayers
from t4r_lab.families.bodies.shared.library import PADDED, llama_config, packed_model, packed_reading
from t4r_lab.families.bodies.shared.row import CAUSAL, Configuration, Sizes, transformer_body
from t4r_lab.families.knobs import knob


class Llama(RotaryLayers):
    """Llama: causal, rotary positions, gated layers."""

    kind: Literal["llama"] = "llama"
    activation: Activation = knob("silu", "activation of the gate")


def configuration(s: Sizes) -> object:
    """Causal, rotary positions, gated feed-forward layers (Touvron et al., 2023)."""
    return llama_config("LlamaConfig", s)


LlamaConfig = Configuration("LlamaConfig", Llama, configuration)
BODY = transformer_body(
    LlamaConfig,
    CAUSAL,
    packed_model("LlamaModel"),
    packed_reading(PADDED),
    ("embed_tokens.weight",),
)
