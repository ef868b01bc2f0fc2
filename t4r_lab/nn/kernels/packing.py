"""The real events of a padded batch in one sequence, without padding, and the groups in which attention reads them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

FEWEST = 8
"""The fewest rows of a group of similar length."""


class PackingCost(NamedTuple):
    """Cost of a group of b rows, padded to T positions: b·T·(T + linear) + group, in units of a pair of positions; and
    the most pairs in a group, b·T²."""

    linear: int
    group: int
    most: int = 2**62


ATTENTION = PackingCost(16, 8_000, 300_000)
"""Cost of attention alone, measured on two cores with a few heads: half or twice as much changes little. A group's
scores stay in cache, unless one session is too long."""
WHOLE = PackingCost(160, 60_000)
"""Cost of a whole body that reads each group separately."""


@dataclass(frozen=True)
class Packing:
    """Positions of the N real events of a batch (B, T). A session without events counts as a session of one.

    Layers that read each event alone, most of a transformer on short sessions, compute N events instead of B·T.
    Attention reads them in `groups` of similar length, each padded to its longest session. The result is the same.
    """

    index: Tensor
    """(N,) index of each event in the flattened batch (B·T)"""
    position: Tensor
    """(N,) position of each event within its session"""
    groups: tuple[Tensor, ...]
    """(b, T') each: the events of some sessions as rows of (N, …); padding repeats the session's last event"""
    valid: tuple[Tensor, ...]
    """(b, T') each: True where `groups` has no padding"""
    grouped: Tensor
    """(N, H) index of each event's heads in (b, H, T'), flattened, of one group after another"""
    shape: tuple[int, int]
    kept: Tensor | None = None
    """(K,) numbers of the events that attention returns and `pad` takes; None: all"""

    @staticmethod
    def of(lengths: Tensor, longest: int, n_head: int) -> Packing:
        """The packing of a batch (B, `longest`) with `lengths` (B,)."""
        lengths = lengths.clamp(min=1)
        count = len(lengths)
        starts = lengths.cumsum(0) - lengths
        session = torch.repeat_interleave(lengths)
        position = torch.arange(len(session), device=lengths.device) - starts[session]
        groups, valid, first, step, offset = [], [], torch.empty_like(lengths), torch.empty_like(lengths), 0
        for members in length_groups(lengths, ATTENTION):
            steps = torch.arange(int(lengths[members].max()), device=lengths.device)
            last = lengths[members, None] - 1
            groups.append(starts[members, None] + torch.minimum(steps, last))
            valid.append(steps <= last)
            step[members] = len(steps)
            first[members] = offset + n_head * len(steps) * torch.arange(len(members), device=lengths.device)
            offset += n_head * len(members) * len(steps)
        index = session * longest + position
        head = torch.arange(n_head, device=lengths.device)
        grouped = (first[session] + position)[:, None] + step[session, None] * head
        return Packing(index, position, tuple(groups), tuple(valid), grouped, (count, longest))

    @property
    def size(self) -> int:
        """Events in the groups, padding included."""
        return sum(group.numel() for group in self.groups)

    @cached_property
    def kept_heads(self) -> Tensor:
        """(N·H,) `grouped`, or (K·H,) of the events kept, as attention returns them."""
        return self.keep(self.grouped).flatten()

    @cached_property
    def kept_events(self) -> Tensor:
        """(N,) index of the events, or (K,) of those kept, in `groups`, flattened, of one after another."""
        return self.keep((self.grouped[:, 0] - self.position) // self.grouped.shape[1] + self.position)

    def pack(self, padded: Tensor) -> Tensor:
        """(B, T, D) to (N, D)."""
        return padded.flatten(0, 1).index_select(0, self.index)

    def only(self, read: Tensor | None) -> Packing:
        """The packing for the last layer of a body, which keeps only the events at which `read` (B, T) is True."""
        if read is None:
            return self
        is_read = read.flatten().index_select(0, self.index)
        if bool(is_read.all()):
            return self
        numbers = is_read.nonzero()[:, 0]
        return replace(self, index=self.index[numbers], kept=numbers)

    def keep(self, packed: Tensor) -> Tensor:
        """(N, …) to (K, …)."""
        return packed if self.kept is None else packed.index_select(0, self.kept)

    def pad(self, packed: Tensor) -> Tensor:
        """(N, D), or (K, D) of the events kept, to (B, T, D), zero elsewhere."""
        flat = packed.new_zeros(self.shape[0] * self.shape[1], packed.shape[1])
        return flat.index_copy(0, self.index, packed).unflatten(0, self.shape)


def by_length(hidden: Tensor, lengths: Tensor, read: Callable[[Tensor, Tensor | slice], Tensor]) -> Tensor:
    """(B, T, D'): `read` applied to a batch (B, T, D) with `lengths` (B,), in groups of similar length.

    `read` takes the events of some sessions up to the longest of these, (b, T', D), and their rows in the batch; it
    returns (b, T', D'). The output after T' is zero.
    """

    def up_to_longest(events: Tensor, rows: Tensor | slice) -> Tensor:
        longest = max(int(lengths[rows].max()), 1)
        return F.pad(read(events[:, :longest], rows), (0, 0, 0, events.shape[1] - longest))

    groups = length_groups(lengths, WHOLE)
    if len(groups) == 1:
        return up_to_longest(hidden, slice(None))
    order = torch.cat(groups)
    parts = hidden.index_select(0, order).split([len(group) for group in groups])  # slices: fast in the backward pass
    outputs = [up_to_longest(events, group) for events, group in zip(parts, groups, strict=True)]
    return torch.cat(outputs).index_select(0, order.argsort())


def length_groups(lengths: Tensor, cost: PackingCost) -> tuple[Tensor, ...]:
    """The rows of a batch with `lengths` (B,), in groups of similar length that minimize `cost`.

    One group unless on a CPU, where time is proportional to the positions, padding included.
    """
    ordered, rows = lengths.sort(stable=True)
    return rows.split(_sizes(ordered.numpy(), cost) if lengths.device.type == "cpu" else len(rows))


def _sizes(ordered: NDArray[np.int64], cost: PackingCost) -> list[int]:
    """Sizes of groups of `ordered` lengths: split where it saves most, while it saves more than a group costs, then
    evenly into groups within the limit of `cost`."""
    sizes = np.arange(FEWEST, len(ordered) - FEWEST + 1)  # of a first group
    if len(sizes):
        row = ordered * (ordered + cost.linear)
        saved = sizes * (row[-1] - row[sizes - 1])
        first_size = sizes[saved.argmax()]
        if saved.max() > cost.group:
            return [*_sizes(ordered[:first_size], cost), *_sizes(ordered[first_size:], cost)]
    rows = max(min(cost.most // max(int(ordered[-1]), 1) ** 2, len(ordered)), 1)
    return [len(part) for part in np.array_split(ordered, math.ceil(len(ordered) / rows))]
