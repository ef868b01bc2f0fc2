"""Qwen3."""

from __future__ import annotations

from typing import Literal

from t4r_lab.families.bodies.shared.layer_knobs import Activation, RotaryLayers
from t4r_lab.families.bodies.shared.library import PADDED, llama_config, packed_model, packed_reading
from t4r_lab.families.bodies.shared.row import CAUSAL, Configuration, Sizes, transformer_body
from t4r_lab.families.knobs import knob


class Qwen3(RotaryLayers):
    """Qwen3: Llama with normalized queries and keys."""

    kind: Literal["qwen3"] = "qwen3"
    activation: Activation = knob("silu", "activation of the gate")


def configuration(s: Sizes) -> object:
    """Llama with normalized queries and keys (Yang et al., 2025)."""
    return llama_config("Qwen3Config", s)


Qwen3Config = Configuration("Qwen3Config", Qwen3, configuration)
BODY = transformer_body(
    Qwen3Config,
    CAUSAL,
    packed_model("Qwen3Model"),
    packed_reading(PADDED),
    ("embed_tokens.weight",),
)
