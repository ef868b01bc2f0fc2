"""SASRec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from t4r_lab.families.bodies.shared.attention_layers import STACKED, AttentionConfig
from t4r_lab.families.bodies.shared.layer_knobs import AttentionLayers
from t4r_lab.families.bodies.shared.row import EITHER, Configuration, Sizes, transformer_body

if TYPE_CHECKING:
    from torch import nn


class SASRec(AttentionLayers):
    """SASRec: small and quick, either direction of attention."""

    kind: Literal["sasrec"] = "sasrec"


def configuration(s: Sizes) -> AttentionConfig:
    """Pre-norm, learned absolute positions (Kang & McAuley, 2018)."""
    return AttentionConfig("sasrec", s)


def model(config: AttentionConfig) -> nn.Module:
    """A stack of such layers."""
    from t4r_lab.nn.layers.attention_stack import AttentionStack, SASRecLayer

    return AttentionStack(config.sizes, SASRecLayer)


SASRecConfig = Configuration("SASRecConfig", SASRec, configuration)
BODY = transformer_body(SASRecConfig, EITHER, model, STACKED)
