"""The row of a baseline in the table, and the protocol of its scorer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from t4r_lab.data.sessions.arrays import Sessions
    from t4r_lab.nn.layers.flow import Batch


class Scorer(Protocol):
    """A fitted baseline, which scores every item after each session of a batch."""

    n_items: int

    def scores(self, batch: Batch) -> Tensor:
        """Return the scores (B, I) of all items after each session; column j is item id j+1."""


class Baseline(NamedTuple):
    """The row of a baseline."""

    name: str
    """short name, in records and tables"""
    words: str
    """long name, for display"""
    fit: Callable[[Sessions, int], Scorer]
    """(training sessions, number of items) → scorer"""
