"""Masked items."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from t4r_lab.families.knobs import knob
from t4r_lab.families.maskings.policy import Attention, Masking, Sketch

if TYPE_CHECKING:
    from torch import Tensor

    from t4r_lab.nn.layers.flow import Batch, Masked


class MLM(Masking):
    """Masked: hidden items are predicted from both sides.

    Each real position is hidden with probability p, at least one and never all; a session of one event can't be
    trained on.
    """

    kind: Literal["mlm"] = "mlm"
    probability: float = knob(0.2, "share of the positions hidden in training", low=0.01, high=0.99, search=(0.05, 0.7))

    attention: ClassVar[Attention] = "both ways"
    hides: ClassVar[bool] = True
    inference_reserve: ClassVar[int] = 1

    def training(self, batch: Batch) -> Masked:
        """Each event is hidden with the given probability: at least one of each session, and never all."""
        import torch

        from t4r_lab.nn.layers.flow import Masked, extremes

        trained = batch.valid & (batch.lengths[:, None] >= 2)
        draw = torch.rand(trained.shape, device=trained.device)
        least, most = extremes(draw, trained)
        hidden = ((draw < self.probability) | least) & ~most & trained
        return Masked(batch, hidden, hidden, batch.ids[hidden], self.causal)

    def inference(self, batch: Batch, start: Tensor | None = None) -> Masked:
        """One hidden position is appended and read. `start` must be None: each prefix is its own case."""
        from t4r_lab.nn.layers.flow import Masked

        extended, query = batch.with_query(start)
        return Masked(extended, query, query, batch.ids.new_empty(0), self.causal)

    def sketch(self) -> Sketch:
        """The share of hidden events."""
        return Sketch(f"{self.probability:.0%} hidden", self.probability)
