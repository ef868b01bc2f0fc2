"""Permutation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from t4r_lab.base.errors import InputError
from t4r_lab.families.knobs import knob
from t4r_lab.families.maskings.policy import Attention, Masking, Sketch

if TYPE_CHECKING:
    from torch import Tensor

    from t4r_lab.nn.layers.flow import Batch, Masked


class PLM(Masking):
    """Permutation: chosen events are predicted in a random order, each from those before it in that order.

    As in XLNet (Yang et al., 2019) each is predicted from the events that aren't chosen and from the chosen ones
    before it, wherever they stand. Spans are chosen as in the paper: each stretch of span / probability events holds
    one span of 1 to `max_span_length`; with `permute_all`, every event. At least one is predicted and one visible,
    which of all events is the first of the order; a session of one event can't be trained on. In the body nothing is
    hidden from the content stream; the query stream starts from a learned vector (`query_stream.py`), so blocks before
    the transformer must not mix positions.
    """

    kind: Literal["plm"] = "plm"
    probability: float = knob(
        0.2, "share of the positions predicted in training; 0: one per session", low=0, high=1, search=(0, 0.7)
    )
    max_span_length: int = knob(
        5, "longest span of predicted positions; below data.max_length", low=1, high=1023, search=(2, 6)
    )
    permute_all: bool = knob(False, "predict every position after the first in the random order, instead of spans")

    attention: ClassVar[Attention] = "two streams"
    inference_reserve: ClassVar[int] = 1

    def training(self, batch: Batch) -> Masked:
        """Predicted events in a random order, at least one of each session, that see only what precedes them in it."""
        import torch

        from t4r_lab.nn.layers.flow import Masked, extremes

        trained = batch.valid & (batch.lengths[:, None] >= 2)
        draw = 1 - torch.rand(trained.shape, device=trained.device)  # in (0, 1]: never the 0 of visible events
        least, most = extremes(draw, trained)
        chosen = trained if self.permute_all else trained & self._spans(batch.ids)
        chosen = torch.where(chosen.any(1, keepdim=True), chosen, most)
        chosen = chosen & ~(least & (chosen == trained).all(1, keepdim=True))
        return Masked(batch, None, chosen, batch.ids[chosen], self.causal, order=draw * chosen)

    def inference(self, batch: Batch, start: Tensor | None = None) -> Masked:
        """The appended position is the query and sees every observed event. `start` must be None."""
        from t4r_lab.nn.layers.flow import Masked

        extended, query = batch.with_query(start)
        order = query.float() * (batch.lengths[:, None] > 0)  # where there is no event, the query sees its empty place
        return Masked(extended, None, query, batch.ids.new_empty(0), self.causal, order=order)

    def _spans(self, ids: Tensor) -> Tensor:
        """(B, T) True within spans."""
        import torch

        from t4r_lab.nn.layers.flow import positions

        count, longest = ids.shape
        columns, begin = positions(ids), torch.zeros(count, 1, device=ids.device)
        chosen = torch.zeros_like(ids, dtype=torch.bool)
        while bool((begin < longest).any()):
            span = torch.randint(1, self.max_span_length + 1, (count, 1), device=ids.device)
            rounding, shift = torch.rand(2, count, 1, device=ids.device)
            stretch = (span / max(self.probability, 1e-6) + rounding).floor()  # span / probability on average
            start = begin + (shift * (stretch - span + 1)).floor()
            chosen |= (start <= columns) & (columns < start + span)
            begin += stretch
        return chosen

    def sketch(self) -> Sketch:
        """The share of predicted events, and the length of their spans."""
        if self.permute_all:
            return Sketch("all but the first of a random order predicted", 1.0)
        words = f"{self.probability:.0%} predicted in random order, spans to {self.max_span_length}"
        return Sketch(words, self.probability, self.max_span_length)

    def check(self, length: int, limit: str) -> None:
        """Refuse spans that may cover a session of `length` events."""
        if self.max_span_length >= length:
            raise InputError(
                "max_span_length",
                f"{self.max_span_length} must be below {limit} {length}, so that something of a session stays visible",
                f"lower it to {length - 1} or raise {limit}",
            )
