"""The policy of a masking: knobs, and the targets and hidden events that they choose in a batch."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from t4r_lab.families.custom import Member

if TYPE_CHECKING:
    from torch import Tensor

    from t4r_lab.nn.layers.flow import Batch, Masked

Attention = Literal["causal", "both ways", "two streams"]


class Sketch(NamedTuple):
    """A masking in the picture of a model."""

    words: str
    share: float | None = None
    """of the events, that are predicted; None: it isn't drawn, or the last event alone where attention is causal"""
    longest_span: int | None = None
    """predicted events stand in spans of up to so many; None: anywhere"""


class Detection(NamedTuple):
    """A discriminator that is trained to tell original items from those that the model has drawn in their place."""

    weight: float
    """of its loss beside that of the next item"""
    temperature: float
    """items are drawn from softmax(scores / temperature)"""
    separate: bool
    """whether it has a body of its own"""


class Masking(Member):
    """A masking is a pure policy: it keeps no state but its knobs.

    Randomness comes from torch's default generator, which the training loop seeds at every step.
    """

    if TYPE_CHECKING:
        kind: str  # each masking gives its own, as its first field
    needs: ClassVar[tuple[str, ...]] = ("attention",)
    attention: ClassVar[Attention]
    """what it needs of a body: who may attend to whom"""
    hides: ClassVar[bool] = False
    """whether the input block replaces hidden events by a learned vector"""
    training_extra: ClassVar[int] = 0
    """events a training session may have beyond the body's length (the last one is only a target)"""
    inference_reserve: ClassVar[int] = 0
    """positions that inference needs beside the observed events"""

    @property
    def causal(self) -> bool:
        """True if a position sees only itself and earlier ones."""
        return self.attention == "causal"

    @property
    def detection(self) -> Detection | None:
        """The discriminator that is trained beside the next item; None: there is none."""
        return None

    @abstractmethod
    def training(self, batch: Batch) -> Masked:
        """A training batch with its hidden events, and the targets with their positions."""

    @abstractmethod
    def inference(self, batch: Batch, start: Tensor | None = None) -> Masked:
        """The batch as inference reads it: at its last position or, given `start` (B,), from there on."""

    def sketch(self) -> Sketch:
        """The masking as the picture of a model shows it; by default the first line of its docstring."""
        return Sketch((type(self).__doc__ or self.kind).partition("\n")[0].removesuffix("."))

    def check(self, length: int, limit: str) -> None:
        """Refuse knobs that leave nothing to see of sessions of up to `length` events, which the user calls `limit`.

        Raises
        ------
        InputError
            at the knob.
        """
