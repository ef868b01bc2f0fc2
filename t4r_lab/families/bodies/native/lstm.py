"""LSTM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from t4r_lab.families.bodies.shared.layer_knobs import Layers
from t4r_lab.families.bodies.shared.row import CAUSAL, Body

if TYPE_CHECKING:
    from torch import nn


class LSTM(Layers):
    """Long short-term memory."""

    kind: Literal["lstm"] = "lstm"


def code(body: LSTM) -> tuple[str, list[Any]]:
    """The block and its arguments."""
    return "RNNBlock", [body.kind, body.d_model, body.d_model, body.n_layer, body.dropout]


def build(body: LSTM, length: int) -> nn.Module:
    """Hochreiter & Schmidhuber (1997)."""
    from t4r_lab.nn.layers.recurrent import RNNBlock

    return RNNBlock(*code(body)[1])


BODY = Body(LSTM, CAUSAL, build, code=code)
