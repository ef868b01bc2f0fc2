"""Noise on the input in training: stochastic shared embeddings and stochastic swap noise.

Only what the body reads is changed. Labels are taken from the sessions before, and randomness comes from torch's
default generator, which the training loop seeds at every step.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from t4r_lab.schema.columns import PADDING


class InputNoise(nn.Module):
    """Both kinds of noise; like dropout it does nothing in evaluation mode.

    Parameters
    ----------
    sizes: rows of the embedding table of each categorical column.
    shared_embeddings: chance that an id is replaced by any other of its table (SSE-SE of Wu et al., 2019).
    swap_noise: chance that a value is replaced by the same column's at a real event of another session of the batch.
    swap: ``feature``: each column's values on their own; ``event``: all values of an event together.
    """

    def __init__(
        self, sizes: Mapping[str, int], shared_embeddings: float = 0.0, swap_noise: float = 0.0, swap: str = "feature"
    ) -> None:
        super().__init__()
        self.sizes, self.shared_embeddings = dict(sizes), shared_embeddings
        self.swap_noise, self.swap = swap_noise, swap

    def forward(self, columns: dict[str, Tensor], real: Tensor) -> dict[str, Tensor]:
        """Columns (B, T, …) with noise at the True places of `real`, (B, T)."""
        if not self.training:
            return columns
        if self.swap_noise:
            together = donors(real, self.swap_noise) if self.swap == "event" else None
            columns = {
                name: _take(values, donors(real, self.swap_noise) if together is None else together)
                for name, values in columns.items()
            }
        if self.shared_embeddings:
            columns = {
                name: swap_ids(values, self.sizes[name], self.shared_embeddings) if name in self.sizes else values
                for name, values in columns.items()
            }
        return columns


def swap_ids(ids: Tensor, size: int, probability: float) -> Tensor:
    """Each id replaced with `probability` by another of 1..size-1, all equally likely; padding is neither."""
    if size <= PADDING + 2:
        return ids  # there is no other
    other = torch.randint(PADDING + 1, size - 1, ids.shape, device=ids.device)
    other = other + (other >= ids)  # skips the id itself
    swapped = torch.rand(ids.shape, device=ids.device) < probability
    return torch.where(swapped & (ids != PADDING), other, ids)


def donors(real: Tensor, probability: float) -> Tensor:
    """For each event of a batch (B, T), flat, that whose value it takes: with `probability` one of another session.

    Never one of its own session: that may be the event which is to be predicted from here.
    """
    source = torch.arange(real.numel(), device=real.device)
    events = real.flatten().nonzero().squeeze(1)
    row, count = events // real.shape[1], real.sum(1)
    length, first = (
        count[row],
        (count.cumsum(0) - count)[row],
    )  # events of its session, and where they begin in `events`
    candidates = len(events) - length
    donor = (torch.rand(events.shape, device=real.device) * candidates).long().clamp(max=candidates - 1)
    donor = donor + length * (donor >= first)  # skips the session itself
    taken = (torch.rand(events.shape, device=real.device) < probability) & (candidates > 0)
    source[events] = torch.where(taken, events[donor], events)
    return source


def _take(values: Tensor, source: Tensor) -> Tensor:
    return values.flatten(0, 1)[source].view_as(values)
