"""Split sessions into training, validation and test, and filter items by their support in training."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import PART_WORDS
from t4r_lab.data.sessions.arrays import PARTS
from t4r_lab.data.sessions.sessionize import Log
from t4r_lab.spec.preparation import PrepareOptions

DAY = 86_400.0


@dataclass(frozen=True)
class Split:
    """The events that are kept, and the cuts between the parts in seconds since 1970."""

    log: Log
    kind: str
    """time, given or leave_one_out"""
    cuts: dict[str, float]
    left_out: dict[str, int]
    unfiltered: Log
    """all events, before the filters"""
    last: NDArray[np.bool_] | None = None
    """(R,) True for the raw rows that are targets in the test part; None: every event is a target"""

    @property
    def leave_one_out(self) -> bool:
        """True if each session's last events are held out instead of whole sessions."""
        return self.kind == "leave_one_out"

    def session_ranges(
        self, part: str
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
        """Sessions of `part`, (P,); start and end of each in the log; index of its first target within it."""
        number, log = PARTS.index(part), self.log
        if not self.leave_one_out:
            session = np.flatnonzero(log.part == number)
            target = np.ones(len(session), np.int32)
            if part == "test" and self.last is not None:
                session = session[self.last[log.row[log.offsets[session + 1] - 1]]]
                target = (log.lengths[session] - 1).astype(np.int32)
            stop = log.offsets[session + 1]
        else:  # the last event is the test's, the one before it validation's, unless there is no third
            session = np.flatnonzero(log.lengths >= (2 if part == "train" else 3))
            length = log.lengths[session]
            shown = np.where(length >= 3, length - 2 + number, length)
            stop = log.offsets[session] + shown
            target = (shown - 1 if number else np.ones_like(shown)).astype(np.int32)
        return session, log.offsets[session], stop, target

    def trained(self) -> NDArray[np.bool_]:
        """(N,) True for the events of the training part."""
        return _trained(self.log, self.leave_one_out)


def split_sessions(
    log: Log,
    time: NDArray[np.float64] | None,
    options: PrepareOptions,
    test_is_given: bool,
    left_out: dict[str, int],
    last: NDArray[np.bool_] | None = None,
) -> Split:
    """Assign every session to a part and drop what the filters leave out, counting it in `left_out`.

    If `last` marks the targets of the test part, a test session whose target is filtered out is dropped.

    By time a session belongs to the part in which it ends: one whose last event comes at or after a cut belongs
    to the later part, so that nothing in training is later than the cut.

    Raises
    ------
    InputError
        if nothing is left, or a part is empty.
    """
    _check_lengths(log, options)
    kind = "given" if test_is_given else options.split
    cuts: dict[str, float] = {}
    if kind != "leave_one_out":
        log, cuts = _split_by_time(log, time, options, test_is_given)
    unfiltered, log = log, _filter(log, options, kind, left_out)
    split = Split(log, kind, cuts, left_out, unfiltered, last)
    if last is not None:
        left_out["test_cases_without_their_target"] = int((log.part == 2).sum()) - len(split.session_ranges("test")[0])
    _check_parts(split, options)
    return split


def _check_lengths(log: Log, options: PrepareOptions) -> None:
    """Refuse events without one session that is long enough."""
    if log.lengths.max(initial=0) < options.min_session_length:
        raise InputError(
            "min_session_length",
            f"no session has {options.min_session_length} events or more",
            "check the session column, or lower --min-session-length",
        )


def _check_parts(split: Split, options: PrepareOptions) -> None:
    """Refuse a split of which nothing, or no session of one part, is left."""
    if not len(split.log):
        raise InputError(
            "",
            f"no session has {options.min_session_length} events or more of items with enough support",
            "lower --min-item-support or --min-session-length",
        )
    for part in PARTS:
        if not len(split.session_ranges(part)[0]):
            raise _empty(part, split.kind, options)


def _empty(part: str, kind: str, options: PrepareOptions) -> InputError:
    """The error for an empty `part`, at the option that can fill it."""
    problem = f"the {PART_WORDS[part]} is empty"
    if kind == "leave_one_out":
        return InputError(
            "split",
            problem,
            "leave-one-out needs sessions of at least three events; use --split time or longer sessions",
        )
    if part == "train":
        return InputError(
            "",
            problem,
            "no session before the cut is left; cut later, or lower --min-item-support or --min-session-length",
        )
    if part == "test" and kind == "given":
        return InputError(
            "test",
            problem,
            "no given test session has two events of items in the training file; check that both have the same ids",
        )
    sooner = {"from": f"an earlier --{part}-from", "days": f"a larger --{part}-days"}
    sooner |= {"share": f"an earlier --{part}-from or a larger --{part}-share"}
    how = _cut_option(part, options)
    remedy = f"no session of known items ends after the cut; choose {sooner[how]}"
    return InputError(f"{part}_{how}", problem, remedy)


def _cut_too_early(part: str, options: PrepareOptions) -> InputError:
    """The error for a `part` that begins before any session has ended."""
    how = _cut_option(part, options)
    word = {"from": "later", "days": "smaller", "share": "smaller"}[how]
    return InputError(
        f"{part}_{how}",
        f"the {PART_WORDS['train']} is empty; no session ends before the cut",
        f"choose a {word} --{part}-{how}",
    )


def _cut_option(part: str, options: PrepareOptions) -> str:
    """The option that sets the beginning of `part`: ``from``, ``days`` or ``share``."""
    return next((how for how in ("from", "days") if getattr(options, f"{part}_{how}") is not None), "share")


# ── Cuts ────────────────────────────────────────────────────────────────────────────────────────


def _split_by_time(
    log: Log, time: NDArray[np.float64] | None, options: PrepareOptions, test_is_given: bool
) -> tuple[Log, dict[str, float]]:
    """Assign sessions to parts by their end; without times, the order of the file takes their role."""
    last = log.row[log.offsets[1:] - 1]
    ends = last.astype(np.float64) if time is None else time[last]
    sorted_ends = np.sort(ends[~log.given_as_test])
    test = math.inf if test_is_given else _cut("test", options, sorted_ends)
    before = sorted_ends[sorted_ends < test]
    if not len(before):
        raise _cut_too_early("test", options)
    valid = _cut("valid", options, before)
    part = np.where(log.given_as_test | (ends >= test), 2, np.where(ends >= valid, 1, 0)).astype(np.int8)
    if not (part == 0).any():
        raise _cut_too_early("valid", options)
    cuts = {"valid": valid} if test_is_given else {"valid": valid, "test": test}
    return replace(log, part=part), cuts if time is not None else {}


def _cut(part: str, options: PrepareOptions, ends: NDArray[np.float64]) -> float:
    """The second at which `part` begins, by date, days or share of the sessions that end before the next part.

    `ends` is sorted.
    """
    date: str | None = getattr(options, f"{part}_from")
    days: float | None = getattr(options, f"{part}_days")
    if date is not None:
        try:
            moment = datetime.fromisoformat(date)
        except ValueError:
            raise InputError(
                f"{part}_from", f"{date!r} is not a date", "use for example 2026-01-31 or 2026-01-31T12:00"
            ) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if days is not None:
        return float(ends[-1]) - days * DAY
    share = getattr(options, f"{part}_share")
    return float(ends[min(math.floor(len(ends) * (1 - share)), len(ends) - 1)])


# ── Filters ─────────────────────────────────────────────────────────────────────────────────────


def _filter(log: Log, options: PrepareOptions, kind: str, left_out: dict[str, int]) -> Log:
    """Drop rare or unseen items and short sessions until none is left, as each step can produce new ones.

    Support is counted on the training part; on all events if unseen items are kept; on the whole main file if there
    is a separate test file.
    """
    items = int(log.item.max(initial=0)) + 1
    left_out.update({"rare_item_events": 0, "unseen_item_events": 0, "short_sessions": 0, "short_later_sessions": 0})
    while True:
        if options.keeps_unseen:
            counted = log.item
        elif kind == "given":
            counted = log.item[log.over_events(~log.given_as_test)]
        else:
            counted = log.item[_trained(log, kind == "leave_one_out")]
        support = np.bincount(counted, minlength=items)
        count = support[log.item]
        keep = count >= options.min_item_support
        left_out["unseen_item_events"] += int((count == 0).sum())
        left_out["rare_item_events"] += int((~keep & (count > 0)).sum())
        if not keep.all():
            log = log.keep_events(keep)
        long = log.lengths >= options.min_session_length
        left_out["short_sessions"] += int((~long & (log.part == 0)).sum())
        left_out["short_later_sessions"] += int((~long & (log.part > 0)).sum())
        if long.all():
            if keep.all():
                return log
        else:
            log = log.keep_sessions(long)


def _trained(log: Log, leave_one_out: bool) -> NDArray[np.bool_]:
    if not leave_one_out:
        return np.repeat(log.part == 0, log.lengths)
    left = np.repeat(log.offsets[1:], log.lengths) - np.arange(len(log.item))
    return (left > 2) | np.repeat(log.lengths < 3, log.lengths)
