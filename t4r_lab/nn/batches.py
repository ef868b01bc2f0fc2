"""Padded torch batches of sessions, gathered by offsets without a Python loop over sessions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from t4r_lab.data.sessions.arrays import Sessions, ranges
from t4r_lab.nn.layers.flow import Batch
from t4r_lab.nn.masking import Masking

Ints = NDArray[np.int64]
EVALUATION_BATCH = 512
"""Sessions per batch of an evaluation; fewer if the catalog is large or sessions are long."""
EVALUATION_EVENTS = 50_000
"""The most events of such a batch, with padding."""


@dataclass(frozen=True)
class Windows:
    """Windows of sessions, (W,) each: events [start, stop) of session `row`, counted within the session.

    `read` is the first position, counted from `start`, at which a prediction is read; the last is always read.
    """

    row: Ints
    start: Ints
    stop: Ints
    read: Ints

    def __len__(self) -> int:
        return len(self.row)

    def take(self, index: Ints) -> Windows:
        """The windows at `index`, in that order."""
        return Windows(self.row[index], self.start[index], self.stop[index], self.read[index])

    def cases(self) -> tuple[Ints, Ints]:
        """Session row and position within the session of every event that is read, in the order of reading."""
        first = self.start + self.read
        position, offsets = ranges(first, self.stop)
        return np.repeat(self.row, np.diff(offsets)), position


def training_windows(sessions: Sessions, longest: int, shortest: int = 2) -> Windows:
    """The newest `longest` events of each session of at least `shortest` events."""
    length = np.diff(sessions.offsets)
    row = np.flatnonzero(length >= shortest)
    stop = length[row]
    return Windows(row, np.maximum(stop - longest, 0), stop, np.zeros_like(row))


def whole_windows(sessions: Sessions, longest: int) -> Windows:
    """The newest `longest` events of every session, to predict the next."""
    stop = np.diff(sessions.offsets)
    row = np.arange(len(stop))
    start = np.maximum(stop - longest, 0)
    return Windows(row, start, stop, stop - start - 1)


def evaluation_windows(sessions: Sessions, longest: int, positions: str, causal: bool) -> Windows:
    """Every case of an evaluation: the window of events before each target.

    With ``last`` the target is the session's last event; with ``all`` every event from ``target_start`` on.
    A causal body reads all prefixes that fit into one window at once. Each later prefix has a window of its
    own, as has every prefix for a body that isn't causal. So the prediction of an event is that of inference
    on the events before it.
    """
    length = np.diff(sessions.offsets)
    first = np.maximum(sessions.target_start.astype(np.int64), 1)
    row = np.flatnonzero(first < length)
    length, first = length[row], first[row]
    if positions == "last":
        first = length - 1
    return _cases(row, first, length, longest, causal)


def label_windows(sessions: Sessions, longest: int, level: str, positions: str, causal: bool) -> Windows:
    """Every case of an evaluation of labels: the window of events up to each label, with its event.

    A label of level ``session`` is predicted once, from the whole session. One of level ``event`` is predicted
    at the last event or, with `positions` ``all``, at every event from ``target_start`` on, from the events up
    to it. Where `read` isn't the last position, several events are read from one window (causal bodies).
    """
    length, first = np.diff(sessions.offsets), sessions.target_start.astype(np.int64)
    row = np.flatnonzero((length > 0) if level == "session" else (first < length))
    length, first = length[row], first[row]
    if level == "session" or positions == "last":
        first = length - 1
    # the label of event t is read after it, from the prefix that predicts event t + 1
    return _cases(row, first + 1, length + 1, longest, causal)


def _cases(row: Ints, first: Ints, length: Ints, longest: int, causal: bool) -> Windows:
    """Windows that end before each position first … length-1 of each row; if `causal`, one for all that fit into it."""
    if causal:
        stop = np.minimum(length - 1, longest)
        fits = first <= stop
        shared = Windows(row[fits], np.zeros_like(row[fits]), stop[fits], first[fits] - 1)
        rest = np.where(fits, stop + 1, first)
        single = _each_prefix(row, rest, length, longest)
        return Windows(*(np.concatenate(pair) for pair in zip(_fields(shared), _fields(single), strict=True)))
    return _each_prefix(row, first, length, longest)


def _fields(w: Windows) -> tuple[Ints, Ints, Ints, Ints]:
    return w.row, w.start, w.stop, w.read


def _each_prefix(row: Ints, first: Ints, length: Ints, longest: int) -> Windows:
    """One window for each target position first … length-1 of each row."""
    count = length - first
    target = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    start = np.maximum(target - longest, 0)
    return Windows(np.repeat(row, count), start, target, target - start - 1)


def training_batches(
    windows: Windows, batch_size: int, seed: int, epoch: int, rank: int = 0, world: int = 1, first: int = 0
) -> Iterator[Windows]:
    """Yield this process's share of each batch from `first` on, in the random order of (seed, epoch)."""
    order = np.random.default_rng([seed, epoch]).permutation(len(windows))
    for start in range(first * batch_size, len(order), batch_size):
        yield windows.take(order[start : start + batch_size][rank::world])


def evaluation_batches(windows: Windows, batch_size: int) -> Iterator[Windows]:
    """Yield all windows in batches of similar length."""
    lengths = windows.stop - windows.start
    order, start = np.argsort(lengths, kind="stable"), 0
    while start < len(order):
        longest = lengths[order[start : start + batch_size][-1]]
        stop = start + min(batch_size, max(EVALUATION_EVENTS // max(longest, 1), 1))
        yield windows.take(order[start:stop])
        start = stop


def make_batch(sessions: Sessions, windows: Windows, item: str = "item_id") -> Batch:
    """The columns of the windows' events, (B, T) with T the longest, padded on the right with zeros.

    Without a window the batch is one session without events, (1, 2): a process without a share of a batch must still
    take the step that other processes take.
    """
    shortest = 1
    if not len(windows):
        windows, shortest = Windows(*np.zeros((4, 1), np.int64)), 2
    begin = sessions.offsets[windows.row] + windows.start
    length = windows.stop - windows.start
    steps = np.arange(max(int(length.max()), shortest))
    real = steps < length[:, None]
    index = np.where(real, begin[:, None] + steps, 0)
    columns = {}
    for name, values in sessions.values.items():
        if values.dtype.kind in "iuf":
            columns[name] = _column((values[index] if len(values) else np.zeros(index.shape, values.dtype)) * real)
    for name, values in sessions.context.items():
        if values.dtype.kind in "iuf":
            columns[name] = _column(values[windows.row][:, None] * real)
    return Batch(columns, torch.from_numpy(length.astype(np.int64)), item)


def _column(values: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32 if values.dtype.kind == "f" else np.int64, copy=False))


def seen_items(sessions: Sessions, row: NDArray[np.int64], stop: NDArray[np.int64]) -> torch.Tensor:
    """Item ids of the events before `stop` of each session, (N, longest), padded with 0."""
    steps = np.arange(max(int(stop.max(initial=1)), 1))
    real = steps < stop[:, None]
    index = np.where(real, sessions.offsets[row][:, None] + steps, 0)
    return torch.from_numpy((sessions.values["item_id"][index] * real).astype(np.int64))


def training_length(masking: Masking, max_length: int) -> int:
    """Events in a training window for a body of `max_length` positions."""
    return max_length + masking.training_extra


def inference_length(masking: Masking, max_length: int) -> int:
    """Observed events that fit into a body of `max_length` positions at inference."""
    return max_length - masking.inference_reserve
