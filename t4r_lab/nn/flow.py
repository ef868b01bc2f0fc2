"""What flows through a model: a padded batch of sessions, and what a masking decides about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        columns = {name: column.to(device, non_blocking=True) for name, column in self.columns.items()}
        return replace(self, columns=columns, lengths=self.lengths.to(device, non_blocking=True))

    def without_last(self) -> Batch:
        """Each session less its last event, (B, T-1). What stood at the dropped place is zeroed."""
        lengths = (self.lengths - 1).clamp(min=0)
        keep = positions(self.ids)[:, :-1] < lengths[:, None]
        return replace(self, columns={n: c[:, :-1] * keep for n, c in self.columns.items()}, lengths=lengths)

    def with_empty_last(self) -> Batch:
        """Each session with one empty event appended, (B, T+1)."""
        return replace(self, columns={n: F.pad(c, (0, 1)) for n, c in self.columns.items()}, lengths=self.lengths + 1)


@dataclass(frozen=True)
class Masked:
    """A batch as one training step or one inference sees it; made by a masking, remembered by nobody."""

    batch: Batch
    """what the body reads"""
    hidden: Tensor | None
    """(B, T) True where everything about the event is replaced by one learned vector; None: nowhere"""
    predict: Tensor
    """(B, T) True where the head reads"""
    labels: Tensor
    """(N,) item ids at the True places of `predict`, row by row; empty at inference"""
    causal: bool
    """position i attends to 0..i only; otherwise to every real position, or as `order` says"""
    order: Tensor | None = None
    """(B, T) place of each event in the order of permutation training: 0 is seen by all, and a predicted event sees
    those of a lower number, wherever they stand"""


def positions(ids: Tensor) -> Tensor:
    """0..T-1 in one row, (1, T), to compare with lengths."""
    return torch.arange(ids.shape[1], device=ids.device)[None]
