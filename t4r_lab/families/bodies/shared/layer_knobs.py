"""Knobs that bodies share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from t4r_lab.base.errors import InputError
from t4r_lab.families.custom import Member
from t4r_lab.families.knobs import knob

MOST_HEADS = 64

Activation = Literal["gelu", "relu", "silu"]


class Layers(Member):
    """Knobs of every body: a width, layers and dropout."""

    if TYPE_CHECKING:
        kind: str  # each body gives its own, as its last field
    d_model: int = knob(64, "width of the body", low=2, high=4096, search=(64, 448), step=64)
    n_layer: int = knob(2, "number of layers", low=1, high=48, search=(1, 4))
    dropout: float = knob(0.1, "dropout inside the body", low=0, high=0.95, search=(0, 0.5))


class AttentionLayers(Layers):
    """Knobs of a body with attention."""

    n_head: int = knob(4, "attention heads; must divide d_model", low=1, high=MOST_HEADS, search=[1, 2, 4, 8, 16])
    activation: Activation = knob("gelu", "activation of the feed-forward layers")
    initializer_range: float = knob(0.01, "standard deviation of the initial weights", low=1e-4, high=1)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> AttentionLayers:
        check_heads(self.n_head, self.d_model)
        return self


class RotaryLayers(AttentionLayers):
    """Positions are rotations of pairs of channels."""

    @model_validator(mode="after")
    def _heads_have_pairs(self) -> RotaryLayers:
        if self.d_model // self.n_head % 2:
            choices = [n for n in range(1, MOST_HEADS + 1) if self.d_model % (2 * n) == 0]
            remedy = f"choose n_head from {choices}" if choices else "choose an even d_model"
            raise InputError(
                "",
                f"n_head {self.n_head} leaves heads {self.d_model // self.n_head} wide, which rotary "
                "positions can't pair up",
                remedy,
            )
        return self


def check_heads(n_head: int, d_model: int) -> None:
    """Refuse a number of heads that doesn't divide the width."""
    if n_head < 1 or d_model % n_head:
        choices = [n for n in range(1, min(d_model, MOST_HEADS) + 1) if d_model % n == 0]
        raise InputError("", f"n_head {n_head} does not divide d_model {d_model}", f"choose n_head from {choices}")
