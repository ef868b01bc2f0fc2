"""Successor baseline: items that followed the last items in training."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from t4r_lab.baselines.baseline_row import Baseline
from t4r_lab.data.sessions.arrays import SLAB, Sessions

if TYPE_CHECKING:
    from torch import Tensor

    from t4r_lab.nn.layers.flow import Batch


GAPS = 3
"""Largest gap between an event and its successors, weighted 1/gap."""
RECENT = 10
"""Last events of a session that are used, with weight 1/distance from the end."""


class Successors:
    """Scores of items that followed the session's last ones in training, then all others by popularity.

    S[a, b] sums 1/gap over all positions at which b follows a by 1 to 3 events; the score of b is
    Σ S[event, b] / distance over the last 10 events. Popularity, scaled below any successor, orders all other items.
    """

    def __init__(self, sessions: Sessions, n_items: int) -> None:
        slabs = [_pairs(sessions, rows, n_items) for rows in _slabs(sessions.offsets)]
        pair, self.weight = _summed(*(np.concatenate(parts) for parts in zip(*slabs, strict=True)))
        self.successor = pair % (n_items + 1)
        self.rows = np.searchsorted(pair // (n_items + 1), np.arange(n_items + 2))  # CSR offsets by item
        self.n_items = n_items
        popularity = sessions.item_counts(n_items).astype(np.float64)
        least = self.weight.min(initial=1.0) / RECENT
        self.behind = popularity * (0.5 * least / max(popularity.max(initial=1.0), 1.0))

    def scores(self, batch: Batch) -> Tensor:
        """Return the successor scores (B, I) of each session's last events."""
        ids, lengths = batch.ids.numpy(), batch.lengths.numpy()
        out = np.tile(self.behind, len(ids))
        for distance in range(1, RECENT + 1):
            row = np.flatnonzero(lengths >= distance)
            item = ids[row, lengths[row] - distance]
            begin, end = self.rows[item], self.rows[item + 1]
            entry, of = _ranges(begin, end)
            # within one distance a row has each successor once, so plain indexed addition is correct
            out[row[of] * self.n_items + self.successor[entry] - 1] += self.weight[entry] / distance
        import torch

        return torch.from_numpy(out.reshape(len(ids), -1))


def _slabs(offsets: NDArray[np.int64]) -> Iterator[slice]:
    """Ranges of sessions with about `SLAB` events each."""
    first = np.searchsorted(offsets, np.arange(0, max(offsets[-1], 1), SLAB))
    for begin, end in pairwise([*np.unique(first).tolist(), len(offsets) - 1]):
        yield slice(begin, end)


def _pairs(sessions: Sessions, rows: slice, n_items: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The pairs of item and successor in the sessions of `rows`, coded as one number each, and their weights."""
    offsets = sessions.offsets[rows.start : rows.stop + 1]
    ids = sessions.values["item_id"][offsets[0] : offsets[-1]].astype(np.int64)
    session = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    keys, weights = [], []
    for gap in range(1, GAPS + 1):
        same = session[gap:] == session[:-gap]
        keys.append(ids[:-gap][same] * (n_items + 1) + ids[gap:][same])
        weights.append(np.full(int(same.sum()), 1.0 / gap))
    return _summed(np.concatenate(keys), np.concatenate(weights))


def _summed(pair: NDArray[np.int64], weight: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The unique pairs in rising order, each with the sum of its weights."""
    unique, where = np.unique(pair, return_inverse=True)
    return unique, np.bincount(where, weight, minlength=len(unique)).astype(np.float64, copy=False)


def _ranges(begin: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Concatenated indices of the ranges [begin_i, end_i), and the i of each."""
    count = end - begin
    of = np.repeat(np.arange(len(begin)), count)
    return np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(begin, count), of


BASELINE = Baseline("successors", "successor counts", Successors)
