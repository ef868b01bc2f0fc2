"""Sequence masking: what is hidden, what is predicted and who may attend to whom.

A masking is a pure policy. It keeps no state; randomness comes from torch's default generator, which the
training loop seeds at every step.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.nn.flow import Batch, Masked, positions
from t4r_lab.spec import MaskingSpec


class Masking(Protocol):
    """The policy of one training approach."""

    kind: str
    causal: bool
    hides: bool
    """whether the input block replaces hidden events by a learned vector"""
    training_extra: int
    """events a training session may have beyond the body's length (the last one is only a target)"""
    inference_reserve: int
    """positions that inference needs beside the observed events"""

    def training(self, batch: Batch) -> Masked:
        """What is hidden of a training batch, and the targets with their positions."""

    def inference(self, batch: Batch, start: Tensor | None = None) -> Masked:
        """The batch as inference reads it: at its last position or, given `start` (B,), from there on."""


class CausalLM:
    """Causal: position i sees 0..i and predicts item i+1."""

    kind = "clm"
    causal = True
    hides = False
    training_extra = 1
    inference_reserve = 0

    def __init__(self, predict: str = "all") -> None:
        self.predict = predict

    def training(self, batch: Batch) -> Masked:
        """Inputs without each session's last event; every position, or the last alone, predicts its successor."""
        inputs = batch.without_last()
        predict = inputs.valid
        if self.predict == "last":
            predict = predict & (positions(inputs.ids) == inputs.lengths[:, None] - 1)
        return Masked(inputs, None, predict, batch.ids[:, 1:][predict], self.causal)

    def inference(self, batch: Batch, start: Tensor | None = None) -> Masked:
        """Read the last position or, given `start` (B,), every real position from there on."""
        first = batch.lengths - 1 if start is None else start
        predict = batch.valid & (positions(batch.ids) >= first[:, None])
        return Masked(batch, None, predict, batch.ids.new_empty(0), self.causal)


class MaskedLM:
    """Masked: each real position is hidden with probability p and predicted from both sides.

    At least one position is hidden and at least one visible; a session of one event can't be trained on.
    """

    kind = "mlm"
    causal = False
    hides = True
    training_extra = 0
    inference_reserve = 1

    def __init__(self, probability: float = 0.2) -> None:
        if not 0 < probability < 1:
            raise InputError(
                "model.masking.probability", f"{probability} is not between 0 and 1", "use for example 0.2"
            )
        self.probability = probability

    def training(self, batch: Batch) -> Masked:
        """Each event is hidden with the given probability: at least one of each session, and never all."""
        trained = batch.valid & (batch.lengths[:, None] >= 2)
        draw = torch.rand(trained.shape, device=trained.device)
        least, most = _extremes(draw, trained)
        hidden = ((draw < self.probability) | least) & ~most & trained
        return Masked(batch, hidden, hidden, batch.ids[hidden], self.causal)

    def inference(self, batch: Batch, start: Tensor | None = None) -> Masked:
        """One hidden position is appended and read. `start` must be None: each prefix is its own case."""
        extended, query = _append(batch, start)
        return Masked(extended, query, query, batch.ids.new_empty(0), self.causal)


class PermutationLM:
    """Permutation: chosen events are predicted in a random order, wherever they stand (XLNet; Yang et al., 2019).

    Each is predicted from the events that aren't chosen and from the chosen ones before it in the order. Spans are
    chosen as in the paper: each stretch of span / probability events holds one span of 1 to `max_span_length`; with
    `permute_all`, every event. At least one is predicted and one visible, which of all events is the first of the
    order; a session of one event can't be trained on. In the body nothing is hidden from the content stream; the
    query stream starts from a learned vector (`query_stream.py`), so blocks before the transformer must not mix
    positions.
    """

    kind = "plm"
    causal = False
    hides = False
    training_extra = 0
    inference_reserve = 1

    def __init__(self, probability: float = 0.2, max_span_length: int = 5, permute_all: bool = False) -> None:
        if not 0 <= probability <= 1:
            raise InputError("model.masking.probability", f"{probability} is outside of [0, 1]", "use for example 0.2")
        if max_span_length < 1:
            raise InputError("model.masking.max_span_length", f"{max_span_length} is less than 1", "use for example 5")
        self.probability, self.max_span_length, self.permute_all = probability, max_span_length, permute_all

    def training(self, batch: Batch) -> Masked:
        """Predicted events in a random order, at least one of each session, that see only what precedes them in it."""
        trained = batch.valid & (batch.lengths[:, None] >= 2)
        draw = 1 - torch.rand(trained.shape, device=trained.device)  # in (0, 1]: never the 0 of visible events
        least, most = _extremes(draw, trained)
        chosen = trained if self.permute_all else trained & self._spans(batch.ids)
        chosen = torch.where(chosen.any(1, keepdim=True), chosen, most)
        chosen = chosen & ~(least & (chosen == trained).all(1, keepdim=True))
        return Masked(batch, None, chosen, batch.ids[chosen], self.causal, order=draw * chosen)

    def inference(self, batch: Batch, start: Tensor | None = None) -> Masked:
        """The appended position is the query and sees every observed event. `start` must be None."""
        extended, query = _append(batch, start)
        order = query.float() * (batch.lengths[:, None] > 0)  # where there is no event, the query sees its empty place
        return Masked(extended, None, query, batch.ids.new_empty(0), self.causal, order=order)

    def _spans(self, ids: Tensor) -> Tensor:
        """(B, T) True within spans."""
        count, longest = ids.shape
        places, begin = positions(ids), torch.zeros(count, 1, device=ids.device)
        chosen = torch.zeros_like(ids, dtype=torch.bool)
        while bool((begin < longest).any()):
            span = torch.randint(1, self.max_span_length + 1, (count, 1), device=ids.device)
            rounding, place = torch.rand(2, count, 1, device=ids.device)
            stretch = (span / max(self.probability, 1e-6) + rounding).floor()  # span / probability on average
            start = begin + (place * (stretch - span + 1)).floor()
            chosen |= (start <= places) & (places < start + span)
            begin += stretch
        return chosen


class ReplacedItems:
    """Replaced items: a masked model is the generator, which a discriminator is trained with (`rtd.py`).

    `weight` multiplies the discriminator's loss, `temperature` divides the scores that replacements are drawn by.
    """

    kind = "rtd"
    causal = MaskedLM.causal
    hides = MaskedLM.hides
    training_extra = MaskedLM.training_extra
    inference_reserve = MaskedLM.inference_reserve

    def __init__(
        self,
        probability: float = 0.2,
        weight: float = 10.0,
        discriminator: str = "shared",
        temperature: float = 1.0,
    ) -> None:
        self._generator = MaskedLM(probability)
        if weight < 0:
            raise InputError("model.masking.weight", f"{weight} is negative", "use for example 10")
        if discriminator not in ("shared", "separate"):
            raise InputError(
                "model.masking.discriminator", f"{discriminator!r} is not known", "use 'shared' or 'separate'"
            )
        if temperature <= 0:
            raise InputError("model.masking.temperature", f"{temperature} is not above 0", "use for example 1.0")
        self.weight, self.discriminator, self.temperature = weight, discriminator, temperature

    def training(self, batch: Batch) -> Masked:
        """As the generator's masking; the discriminator then reads the filled-in sessions."""
        return self._generator.training(batch)

    def inference(self, batch: Batch, start: Tensor | None = None) -> Masked:
        """As the generator's masking."""
        return self._generator.inference(batch, start)


MASKINGS = {"clm": CausalLM, "mlm": MaskedLM, "plm": PermutationLM, "rtd": ReplacedItems}


def make_masking(spec: MaskingSpec | str) -> Masking:
    """The policy that a spec or a bare name asks for; a spec's knobs are the policy's arguments."""
    if isinstance(spec, str):
        if spec not in MASKINGS:
            raise InputError("", f"masking {spec!r} is not known", did_you_mean(spec, MASKINGS))
        return MASKINGS[spec]()
    return MASKINGS[spec.kind](**spec.model_dump(exclude={"kind"}))


def _extremes(draw: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T) True at the least and at the greatest draw of each session, `among` the events that count."""
    least = draw.masked_fill(~among, 2.0).argmin(1, keepdim=True)
    most = draw.masked_fill(~among, -1.0).argmax(1, keepdim=True)
    places = positions(draw)
    return (places == least) & among, (places == most) & among


def _append(batch: Batch, start: Tensor | None) -> tuple[Batch, Tensor]:
    """The batch with an empty event after each session, and True there, (B, T+1)."""
    if start is not None:
        raise ValueError("a body that isn't causal reads one position per case: give each prefix as a session")
    extended = batch.with_empty_last()
    return extended, positions(extended.ids) == batch.lengths[:, None]
