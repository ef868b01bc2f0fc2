"""GRU."""

from __future__ import annotations

from typing import Literal

from t4r_lab.families.bodies.shared.layer_knobs import Layers
from t4r_lab.families.bodies.shared.recurrent_rows import recurrent_body


class GRU(Layers):
    """Gated recurrent unit, as in GRU4Rec."""

    kind: Literal["gru"] = "gru"


BODY = recurrent_body(GRU, "The body of GRU4Rec (Hidasi et al., 2016).")
