"""Sessions: one part of the data in flat arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from t4r_lab.base.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

PARTS = ("train", "valid", "test")
SLAB = 2_000_000
"""Events processed at once, to avoid copies of a whole column."""
Arrays = dict[str, NDArray[Any]]
"""Columns by name, each of its own type of values."""


class Texts:
    """Strings of an Arrow array, created on access: all together would take more memory than the events."""

    def __init__(self, array: pa.Array) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    @overload
    def __getitem__(self, rows: int | np.integer) -> str: ...

    @overload
    def __getitem__(self, rows: slice | NDArray[np.integer | np.bool_]) -> NDArray[np.object_]: ...

    def __getitem__(self, rows: int | np.integer | slice | NDArray[np.integer | np.bool_]) -> object:
        if isinstance(rows, int | np.integer):
            return self._array[int(rows)].as_py()
        return self._array.take(np.arange(len(self))[rows]).to_numpy(zero_copy_only=False)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tolist())

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self._array.__arrow_c_array__(requested_schema)  # polars takes it without a copy

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[np.object_]:
        return np.asarray(self._array.to_numpy(zero_copy_only=False), dtype)

    def tolist(self) -> list[str]:
        """All texts as a list."""
        texts: list[str] = self._array.to_pylist()
        return texts


@dataclass(frozen=True)
class Sessions:
    """S sessions with N events, flat: session s has the events ``offsets[s]`` to ``offsets[s + 1]``.

    The columns of prepared data are memory-mapped, so they may be larger than memory.

    Attributes
    ----------
    values: columns of the events by name, (N,) each; ``item_id`` is int32, ids from 1.
    offsets: (S+1,) int64.
    target_start: (S,) int32, at least 1; events from this index within the session on are targets of this part,
        earlier ones are context only.
    context: columns that are constant over a session, (S,) each.
    ids: (S,) raw session ids as text.
    dropped: number of events left out because their item is unknown (by `Vocabulary.encode`).
    unknown: feature column → number of its values that are unknown categories or no numbers (by `Vocabulary.encode`).
    absent: columns of the training data that the events lack (by `Vocabulary.encode`).
    """

    values: Arrays
    offsets: NDArray[np.int64]
    target_start: NDArray[np.int32]
    context: Arrays
    ids: NDArray[np.object_] | Texts
    dropped: int = 0
    unknown: dict[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of events of each session, (S,)."""
        return np.diff(self.offsets)

    def item_counts(self, n_items: int) -> NDArray[np.int64]:
        """Number of events of each item 1..I, (I,)."""
        ids, counts = self.values["item_id"], np.zeros(n_items + 1, np.int64)
        for start in range(0, len(ids), SLAB):
            counts += np.bincount(ids[start : start + SLAB], minlength=n_items + 1)
        return counts[1:]

    def take(self, rows: NDArray[np.integer]) -> Sessions:
        """The sessions at `rows`, in that order."""
        flat, offsets = ranges(self.offsets[rows], self.offsets[rows + 1])
        return Sessions(
            {name: column[flat] for name, column in self.values.items()},
            offsets,
            self.target_start[rows],
            {name: column[rows] for name, column in self.context.items()},
            self.ids[rows],
            self.dropped,
        )


def check_sessions(train: Sessions, path: str, shortest: int) -> None:
    """Refuse training data at `path` without any session of at least `shortest` events, the least to learn from."""
    if train.lengths.max(initial=0) < shortest:
        events = {1: "an event", 2: "two events"}[shortest]
        raise InputError(path, f"no training session has {events}", "prepare with longer sessions, or split by time")


def ranges(start: NDArray[np.int64], stop: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Concatenated indices of the ranges [start, stop), and their offsets.

    >>> ranges(np.array([5, 0]), np.array([7, 3]))
    (array([5, 6, 0, 1, 2]), array([0, 2, 5]))
    """
    length = stop - start
    offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    return np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], length), offsets


def join(first: Sessions, second: Sessions) -> Sessions:
    """The sessions of both, `first` before `second`."""
    return Sessions(
        {name: np.concatenate([first.values[name], second.values[name]]) for name in first.values},
        np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]]),
        np.concatenate([first.target_start, second.target_start]),
        {name: np.concatenate([first.context[name], second.context[name]]) for name in first.context},
        np.concatenate([first.ids, second.ids]),
        first.dropped + second.dropped,
    )
