"""The row of a baseline in the table, and what one must do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from t4r_lab.data.sessions.arrays import Sessions
    from t4r_lab.nn.layers.flow import Batch


class Scorer(Protocol):
    """Scores every item after each session of a batch, (B, I)."""

    n_items: int

    def scores(self, batch: Batch) -> Tensor:
        """Scores (B, I) of all items after each session; column j is item id j+1."""


class Baseline(NamedTuple):
    """The row of a baseline."""

    name: str
    """in records and tables"""
    words: str
    """for people, where there is room"""
    fit: Callable[[Sessions, int], Scorer]
    """(training sessions, number of items) → scorer"""
