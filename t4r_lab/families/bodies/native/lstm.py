"""LSTM."""

from __future__ import annotations

from typing import Literal

from t4r_lab.families.bodies.shared.layer_knobs import Layers
from t4r_lab.families.bodies.shared.recurrent_rows import recurrent_body


class LSTM(Layers):
    """Long short-term memory."""

    kind: Literal["lstm"] = "lstm"


BODY = recurrent_body(LSTM, "Hochreiter & Schmidhuber (1997).")
