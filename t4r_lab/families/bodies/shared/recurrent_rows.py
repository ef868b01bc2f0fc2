"""The row of a recurrent body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from t4r_lab.families.bodies.shared.layer_knobs import Layers
from t4r_lab.families.bodies.shared.row import CAUSAL, Body

if TYPE_CHECKING:
    from torch import nn


def recurrent_body(knobs: type[Layers], source: str) -> Body:
    """The row of a body that `RNNBlock` runs; `source` is where it was described."""

    def arguments(body: Layers) -> tuple[str, int, int, int, float]:
        return body.kind, body.d_model, body.d_model, body.n_layer, body.dropout

    def code(body: Layers) -> tuple[str, list[object]]:
        return "RNNBlock", [*arguments(body)]

    def build(body: Layers, length: int) -> nn.Module:
        from t4r_lab.nn.layers.recurrent import RNNBlock

        return RNNBlock(*arguments(body))

    build.__doc__ = source  # the line of the tables
    return Body(knobs, CAUSAL, build, code=code)
