"""Sessions of raw events: the order of rows and the beginning of each session."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from t4r_lab.data.sessions.arrays import ranges
from t4r_lab.data.sessions.codes import Codes, order_by


@dataclass(frozen=True)
class Log:
    """N events of S sessions in order: session s has the events ``offsets[s]`` to ``offsets[s + 1]``.

    Attributes
    ----------
    row: (N,) row of the event in the raw table.
    item: (N,) code of its item.
    offsets: (S+1,).
    group: (S,) code of the session's id, or of its user.
    number: (S,) number of the session among those of its user, from 1; None without a gap.
    given_as_test: (S,) True for sessions of the given test part.
    part: (S,) 0 train, 1 valid, 2 test.
    """

    row: NDArray[np.int64]
    item: Codes
    offsets: NDArray[np.int64]
    group: Codes
    number: NDArray[np.int64] | None
    given_as_test: NDArray[np.bool_]
    part: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.group)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Number of events of each session, (S,)."""
        return np.diff(self.offsets)

    def over_events(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Repeat a value per session, (S,), for each of its events, (N,)."""
        return np.repeat(values, self.lengths)

    def keep_events(self, keep: NDArray[np.bool_]) -> Log:
        """Keep the events where `keep`, (N,), is True; sessions stay, even empty."""
        before = np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)
        return replace(self, row=self.row[keep], item=self.item[keep], offsets=before[self.offsets])

    def keep_sessions(self, keep: NDArray[np.bool_]) -> Log:
        """Keep the sessions where `keep`, (S,), is True."""
        return self.take(np.flatnonzero(keep))

    def take(self, order: NDArray[np.integer]) -> Log:
        """The sessions at `order`, in that order."""
        flat, offsets = ranges(self.offsets[order], self.offsets[order + 1])
        number = None if self.number is None else self.number[order]
        return Log(
            self.row[flat],
            self.item[flat],
            offsets,
            self.group[order],
            number,
            self.given_as_test[order],
            self.part[order],
        )

    def repeats(self) -> NDArray[np.bool_]:
        """True where an event repeats the item of the one before it in its session, (N,)."""
        same = np.zeros(len(self.item), bool)
        same[1:] = self.item[1:] == self.item[:-1]
        same[self.offsets[:-1][self.lengths > 0]] = False
        return same


def find_sessions(
    group: Codes, item: Codes, time: NDArray[np.float64] | None, rows_before_test: int, gap_seconds: float | None
) -> Log:
    """Order rows by group, time and position in the file, and cut them into sessions.

    Parameters
    ----------
    group: (N,) code of session or user. Those of a given test part, from row `rows_before_test` on, are sessions of
        their own even if an id is the same.
    gap_seconds: a user's events further apart than this belong to different sessions.
    """
    groups = int(group.max(initial=0)) + 1
    is_test = np.arange(len(group)) >= rows_before_test
    apart = np.where(is_test, group + groups, group) if rows_before_test < len(group) else group
    row = order_by(apart, time)
    ordered = apart[row]
    new = np.ones(len(row), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    number = None
    if gap_seconds is not None and time is not None:
        new_group = new.copy()
        at = time[row]
        new[1:] |= at[1:] - at[:-1] > gap_seconds
        sessions = np.cumsum(new) - 1
        number = (sessions - np.maximum.accumulate(np.where(new_group, sessions, 0)))[new] + 1
    start = np.flatnonzero(new)
    offsets = np.append(start, len(row)).astype(np.int64)
    group_of = ordered[start]
    return Log(row, item[row], offsets, group_of % groups, number, group_of >= groups, np.zeros(len(start), np.int8))
