"""Values that flow through a model: a padded batch of sessions, and the masked batch that a masking makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B sessions of up to T events, padded on the right with zeros.

    `columns` maps a feature to its ids or values, (B, T); `lengths` counts each session's real events, (B,).
    """

    columns: dict[str, Tensor]
    lengths: Tensor
    item: str = "item_id"

    @property
    def ids(self) -> Tensor:
        """Item ids, (B, T); 0 is padding."""
        return self.columns[self.item]

    @property
    def valid(self) -> Tensor:
        """True at real events, (B, T)."""
        return positions(self.ids) < self.lengths[:, None]

    def to(self, device: torch.device | str) -> Batch:
        """The batch on another device; copies from pinned memory don't block."""
        columns = {name: column.to(device, non_blocking=True) for name, column in self.columns.items()}
        return replace(self, columns=columns, lengths=self.lengths.to(device, non_blocking=True))

    def without_last(self) -> Batch:
        """Each session less its last event, (B, T-1), zero at dropped positions."""
        lengths = (self.lengths - 1).clamp(min=0)
        keep = positions(self.ids)[:, :-1] < lengths[:, None]
        return replace(self, columns={n: c[:, :-1] * keep for n, c in self.columns.items()}, lengths=lengths)

    def first(self, lengths: Tensor) -> Batch:
        """The first `lengths` (B,) events of each session, (B, T), zero after them."""
        keep = positions(self.ids) < lengths[:, None]
        return replace(
            self,
            columns={n: torch.where(_like(keep, c), c, c.new_zeros(())) for n, c in self.columns.items()},
            lengths=lengths,
        )

    def newest(self, count: int) -> Batch:
        """The last `count` events of each session that has more, (B, min(T, count))."""
        if self.ids.shape[1] <= count:
            return self
        start = (self.lengths - count).clamp(min=0)
        position = start[:, None] + torch.arange(count, device=start.device)
        row = torch.arange(len(start), device=start.device)[:, None]
        columns = {name: column[row, position] for name, column in self.columns.items()}
        return replace(self, columns=columns, lengths=self.lengths.clamp(max=count))

    def with_empty_last(self) -> Batch:
        """Each session with one empty event appended, (B, T+1)."""
        return replace(self, columns={n: F.pad(c, (0, 1)) for n, c in self.columns.items()}, lengths=self.lengths + 1)

    def with_query(self, start: Tensor | None = None) -> tuple[Batch, Tensor]:
        """Each session with one empty event appended, and a mask (B, T+1), True at that event.

        Raises
        ------
        ValueError
            if `start` is given: a body that isn't causal needs a session for each prefix.
        """
        if start is not None:
            raise ValueError("a body that isn't causal reads one position per case: give each prefix as a session")
        extended = self.with_empty_last()
        return extended, positions(extended.ids) == self.lengths[:, None]


@dataclass(frozen=True)
class Masked:
    """A batch as a masking prepares it for one training step or one inference."""

    batch: Batch
    """the events that the body reads"""
    hidden: Tensor | None
    """(B, T) True where everything about the event is replaced by one learned vector; None: nowhere"""
    predict: Tensor
    """(B, T) True where the head reads"""
    labels: Tensor
    """(N,) item ids at the True places of `predict`, row by row; empty at inference"""
    causal: bool
    """position i attends to 0..i only; otherwise to every real position, or as `order` says"""
    order: Tensor | None = None
    """(B, T) rank of each event in the order of permutation training: all see events of rank 0, and a predicted event
    sees events of lower rank at any position"""


class Loss(NamedTuple):
    """Mean loss over the `targets` of one batch."""

    mean: Tensor
    targets: int


def _like(keep: Tensor, column: Tensor) -> Tensor:
    """`keep` (B, T) with as many dimensions as `column` (B, T, …)."""
    return keep.reshape(*keep.shape, *(1,) * (column.ndim - 2))


def positions(ids: Tensor) -> Tensor:
    """0..T-1 in one row, (1, T), to compare with lengths."""
    return torch.arange(ids.shape[1], device=ids.device)[None]


def extremes(draw: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T) True at the least and at the greatest `draw` (B, T) of each session, `among` (B, T) the events that count.

    Draws lie in [0, 1].
    """
    least = draw.masked_fill(~among, 2.0).argmin(1, keepdim=True)
    most = draw.masked_fill(~among, -1.0).argmax(1, keepdim=True)
    columns = positions(draw)
    return (columns == least) & among, (columns == most) & among
