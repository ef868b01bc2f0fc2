"""LiGR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from t4r_lab.families.bodies.shared.attention_layers import STACKED, AttentionConfig
from t4r_lab.families.bodies.shared.layer_knobs import Activation, AttentionLayers
from t4r_lab.families.bodies.shared.row import EITHER, Configuration, Sizes, transformer_body
from t4r_lab.families.knobs import knob

if TYPE_CHECKING:
    from torch import nn


class LiGR(AttentionLayers):
    """LiGR: SASRec with gated residuals and gated layers."""

    kind: Literal["ligr"] = "ligr"
    activation: Activation = knob("silu", "activation of the gate")


def configuration(s: Sizes) -> AttentionConfig:
    """x + σ(x·W) ⊙ f(norm(x)), SwiGLU (Borisyuk et al., 2025)."""
    return AttentionConfig("ligr", s)


def model(config: AttentionConfig) -> nn.Module:
    """A stack of such layers."""
    from t4r_lab.nn.layers.attention_stack import AttentionStack, LiGRLayer

    return AttentionStack(config.sizes, LiGRLayer)


LiGRConfig = Configuration("LiGRConfig", LiGR, configuration)
BODY = transformer_body(LiGRConfig, EITHER, model, STACKED)
