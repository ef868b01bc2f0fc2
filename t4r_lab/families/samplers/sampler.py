"""A sampler of negatives in a spec."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from t4r_lab.families.custom import Member

if TYPE_CHECKING:
    from torch import Tensor

    from t4r_lab.nn.losses.sampled import Sampler


class ItemSampler(Member):
    """The distribution of a sampled loss's negatives, which are drawn once for a whole batch."""

    if TYPE_CHECKING:
        kind: str  # each sampler gives its own
    words: ClassVar[str] = ""
    """how, in the help of the knob"""

    @abstractmethod
    def build(self, counts: Tensor) -> Sampler:
        """The sampler of items 0..I-1, whose events in training are `counts` (I,)."""
