"""Sequence masking: what is hidden, what is predicted and who may attend to whom.

A masking is a pure policy. It keeps no state; randomness comes from torch's default generator, which the
training loop seeds at every step.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from t4r_lab.errors import InputError, did_you_mean
from t4r_lab.nn.flow import Batch, Masked, positions
from t4r_lab.spec import CLM, MLM, MaskingSpec


class Masking(Protocol):
    """The policy of one training approach."""

    kind: str
    causal: bool
    training_extra: int
    """events a training session may have beyond the body's length (the last one is only a target)"""
    inference_reserve: int
    """positions that inference needs beside the observed events"""

    def training(self, batch: Batch) -> Masked: ...

    def inference(self, batch: Batch, start: Tensor | None = None) -> Masked: ...


class CausalLM:
    """Causal: position i sees 0..i and predicts item i+1."""

    kind = "clm"
    causal = True
    training_extra = 1
    inference_reserve = 0

    def __init__(self, predict: str = "all") -> None:
        self.predict = predict

    def training(self, batch: Batch) -> Masked:
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
    training_extra = 0
    inference_reserve = 1

    def __init__(self, probability: float = 0.2) -> None:
        if not 0 < probability < 1:
            raise InputError(f"model.masking.probability: {probability} must lie between 0 and 1, for example 0.2")
        self.probability = probability

    def training(self, batch: Batch) -> Masked:
        valid = batch.valid
        draw = torch.rand(valid.shape, device=valid.device)
        least = draw.masked_fill(~valid, 2.0).argmin(1, keepdim=True)
        most = draw.masked_fill(~valid, -1.0).argmax(1, keepdim=True)
        hidden = (draw < self.probability).scatter(1, least, True).scatter(1, most, False)
        hidden &= valid & (batch.lengths[:, None] >= 2)
        return Masked(batch, hidden, hidden, batch.ids[hidden], self.causal)

    def inference(self, batch: Batch, start: Tensor | None = None) -> Masked:
        """One hidden position is appended and read. `start` must be None: each prefix is its own case."""
        if start is not None:
            raise ValueError("a body that isn't causal reads one position per case: give each prefix as a session")
        extended = batch.with_empty_last()
        hidden = positions(extended.ids) == batch.lengths[:, None]
        return Masked(extended, hidden, hidden, batch.ids.new_empty(0), self.causal)


MASKINGS = {"clm": CausalLM, "mlm": MaskedLM}


def make_masking(spec: MaskingSpec | str) -> Masking:
    """The policy that a spec or a bare name asks for."""
    if isinstance(spec, str):
        if spec not in MASKINGS:
            raise InputError(f"masking {spec!r} is not known; {did_you_mean(spec, MASKINGS)}")
        return MASKINGS[spec]()
    if isinstance(spec, CLM):
        return CausalLM(spec.predict)
    assert isinstance(spec, MLM)
    return MaskedLM(spec.probability)
