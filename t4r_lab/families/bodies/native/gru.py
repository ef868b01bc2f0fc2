"""GRU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from t4r_lab.families.bodies.shared.layer_knobs import Layers
from t4r_lab.families.bodies.shared.row import CAUSAL, Body

if TYPE_CHECKING:
    from torch import nn


class GRU(Layers):
    """Gated recurrent unit, as in GRU4Rec."""

    kind: Literal["gru"] = "gru"


def code(body: GRU) -> tuple[str, list[Any]]:
    """The block and its arguments."""
    return "RNNBlock", [body.kind, body.d_model, body.d_model, body.n_layer, body.dropout]


def build(body: GRU, length: int) -> nn.Module:
    """The body of GRU4Rec (Hidasi et al., 2016)."""
    from t4r_lab.nn.layers.recurrent import RNNBlock

    return RNNBlock(*code(body)[1])


BODY = Body(GRU, CAUSAL, build, code=code)
