"""The real events of a padded batch one after another, without padding; and how attention reads them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FEWEST = 8
"""Rows of a group of like length, at least."""


class Cost(NamedTuple):
    """What a group of b rows, padded to T positions, costs: b·T·(T + linear) + group, one for a pair of positions;
    and the most pairs that a group may have, b·T²."""

    linear: int
    group: int
    most: int = 2**62


ATTENTION = Cost(16, 8_000, 300_000)
"""Of attention alone, measured on two cores with a few heads: half or twice as much changes little. A group's scores
stay in cache, unless one session is too long for it."""
WHOLE = Cost(160, 60_000)
"""Of a whole body that reads each group by itself."""


@dataclass(frozen=True)
class Packing:
    """Where each of the N real events of a batch (B, T) stands. A session without events counts as one of one.

    What is done to each event alone, which is most of a transformer on short sessions, is done to N events in place of
    B·T; attention reads them in `groups` of like length, each padded to its own longest. Nothing changes in the result.
    """

    places: Tensor
    """(N,) places of the events in the flattened batch (B·T)"""
    position: Tensor
    """(N,) place of each event within its session"""
    groups: tuple[Tensor, ...]
    """(b, T') each: the events of some sessions as rows of (N, …); at padding the session's last event stands again"""
    valid: tuple[Tensor, ...]
    """(b, T') each: True where `groups` has no padding"""
    back: Tensor
    """(N, H) places of the heads of the events in (b, H, T'), flattened, of one group after another"""
    shape: tuple[int, int]
    kept: Tensor | None = None
    """(K,) numbers of the events that attention gives and `pad` takes, if these are some of all"""

    @staticmethod
    def of(lengths: Tensor, longest: int, n_head: int) -> Packing:
        """Of a batch (B, `longest`) with `lengths` (B,)."""
        lengths = lengths.clamp(min=1)
        count = len(lengths)
        starts = lengths.cumsum(0) - lengths
        session = torch.repeat_interleave(lengths)
        position = torch.arange(len(session), device=lengths.device) - starts[session]
        groups, valid, first, step, offset = [], [], torch.empty_like(lengths), torch.empty_like(lengths), 0
        for some in length_groups(lengths, ATTENTION):
            steps = torch.arange(int(lengths[some].max()), device=lengths.device)
            last = lengths[some, None] - 1
            groups.append(starts[some, None] + torch.minimum(steps, last))
            valid.append(steps <= last)
            step[some] = len(steps)
            first[some] = offset + n_head * len(steps) * torch.arange(len(some), device=lengths.device)
            offset += n_head * len(some) * len(steps)
        places = session * longest + position
        head = torch.arange(n_head, device=lengths.device)
        back = (first[session] + position)[:, None] + step[session, None] * head
        return Packing(places, position, tuple(groups), tuple(valid), back, (count, longest))

    @property
    def padded(self) -> int:
        """Places of events in the groups."""
        return sum(group.numel() for group in self.groups)

    @cached_property
    def taken(self) -> Tensor:
        """(N·H,) places of `back`, or (K·H,) of those kept: what attention gives."""
        return self.keep(self.back).flatten()

    @cached_property
    def rows(self) -> Tensor:
        """(N,) places of the events, or (K,) of those kept, in the flattened `groups` of one after another."""
        return self.keep((self.back[:, 0] - self.position) // self.back.shape[1] + self.position)

    def pack(self, padded: Tensor) -> Tensor:
        """(B, T, D) to (N, D)."""
        return padded.flatten(0, 1).index_select(0, self.places)

    def only(self, read: Tensor | None) -> Packing:
        """For the last layer of a body, where nothing else than the True places of `read` (B, T) is needed."""
        if read is None:
            return self
        wanted = read.flatten().index_select(0, self.places)
        if bool(wanted.all()):
            return self
        kept = wanted.nonzero()[:, 0]
        return replace(self, places=self.places[kept], kept=kept)

    def keep(self, packed: Tensor) -> Tensor:
        """(N, …) to (K, …)."""
        return packed if self.kept is None else packed.index_select(0, self.kept)

    def pad(self, packed: Tensor) -> Tensor:
        """(N, D), or (K, D) of those kept, to (B, T, D), zero elsewhere."""
        flat = packed.new_zeros(self.shape[0] * self.shape[1], packed.shape[1])
        return flat.index_copy(0, self.places, packed).unflatten(0, self.shape)


def length_groups(lengths: Tensor, cost: Cost) -> tuple[Tensor, ...]:
    """The rows of a batch with `lengths` (B,) in groups of like length, so that `cost` is low.

    Several only on a CPU, where time goes with the positions, padding among them.
    """
    ordered, rows = lengths.sort(stable=True)
    return rows.split(_sizes(ordered.numpy(), cost) if lengths.device.type == "cpu" else len(rows))


def _sizes(ordered: NDArray[np.int64], cost: Cost) -> list[int]:
    """Of groups of `ordered` lengths: split where it saves most, as long as it saves more than a group costs; then
    evenly into groups that aren't too large."""
    sizes = np.arange(FEWEST, len(ordered) - FEWEST + 1)  # of a first group
    if len(sizes):
        row = ordered * (ordered + cost.linear)
        saved = sizes * (row[-1] - row[sizes - 1])
        at = sizes[saved.argmax()]
        if saved.max() > cost.group:
            return [*_sizes(ordered[:at], cost), *_sizes(ordered[at:], cost)]
    rows = max(min(cost.most // max(int(ordered[-1]), 1) ** 2, len(ordered)), 1)
    return [len(part) for part in np.array_split(ordered, math.ceil(len(ordered) / rows))]
