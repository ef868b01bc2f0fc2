"""A body that a user writes: a class with knobs, which a spec names by module and name."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from t4r_lab.families.bodies.shared.layer_knobs import Layers
from t4r_lab.families.bodies.shared.row import CAUSAL, Body

if TYPE_CHECKING:
    from torch import nn


class CustomBody(Layers):
    """A custom body: derive from it, give it knobs, and build its block.

    It has the knobs `d_model`, `n_layer` and `dropout` already.
    """

    maskings: ClassVar[tuple[str, ...]] = CAUSAL
    """that train it, the usual one first; a causal body reads no later event"""

    @abstractmethod
    def build(self, length: int) -> nn.Module:
        """The block, a module (B, T, d_model) → (B, T, d_model), for sessions of up to `length` events.

        Padding stands after the events of a session. What stands there in the output means nothing.
        """


def row_of(body: type[CustomBody]) -> Body:
    """Its row, as the bodies of the table have one."""

    def build(knobs: CustomBody, length: int) -> nn.Module:
        return knobs.build(length)

    build.__doc__ = body.__doc__
    return Body(body, body.maskings, build)
