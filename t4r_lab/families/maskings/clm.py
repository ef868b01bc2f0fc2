"""Causal masking."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from t4r_lab.families.knobs import knob
from t4r_lab.families.maskings.policy import Attention, Masking, Sketch

if TYPE_CHECKING:
    from torch import Tensor

    from t4r_lab.nn.layers.flow import Batch, Masked


class CLM(Masking):
    """Causal: each position predicts the next item from those before."""

    kind: Literal["clm"] = "clm"
    predict: Literal["all", "last"] = knob("all", "train on every next item of a session, or only on the last")

    attention: ClassVar[Attention] = "causal"
    training_extra: ClassVar[int] = 1

    def training(self, batch: Batch) -> Masked:
        """Inputs without each session's last event; every position, or the last alone, predicts its successor."""
        from t4r_lab.nn.layers.flow import Masked, positions

        inputs = batch.without_last()
        predict = inputs.valid
        if self.predict == "last":
            predict = predict & (positions(inputs.ids) == inputs.lengths[:, None] - 1)
        return Masked(inputs, None, predict, batch.ids[:, 1:][predict], self.causal)

    def inference(self, batch: Batch, start: Tensor | None = None) -> Masked:
        """Read the last position or, given `start` (B,), every real position from there on."""
        from t4r_lab.nn.layers.flow import Masked, positions

        first = batch.lengths - 1 if start is None else start
        predict = batch.valid & (positions(batch.ids) >= first[:, None])
        return Masked(batch, None, predict, batch.ids.new_empty(0), self.causal)

    def sketch(self) -> Sketch:
        """The direction of attention."""
        return Sketch("each position sees those before it")
