"""A preview of the split of raw events: parts, cuts and checks, as `prepare` would make them, without encoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from t4r_lab.data.pipeline.inspection import Keys, read_keys
from t4r_lab.data.pipeline.split import Split, split_sessions
from t4r_lab.data.pipeline.split_checks import Finding, findings, split_figures
from t4r_lab.data.prepared.profile_content import Profile, TimeFigures
from t4r_lab.data.read.raw_table import RawTable, null_missing
from t4r_lab.data.sessions.arrays import PARTS, ranges
from t4r_lab.data.sessions.codes import factorize
from t4r_lab.data.sessions.session_rows import by_schema, unroll
from t4r_lab.spec.preparation import PrepareOptions

BINS = 40
"""Bars of the events over time."""


@dataclass(frozen=True)
class SplitPreview:
    """A split before it is written."""

    kind: str
    """time or leave_one_out"""
    parts: Mapping[str, Mapping[str, int]]
    """part → sessions, events, items"""
    cuts: Mapping[str, float]
    """part → the second since 1970 at which it begins; empty without times"""
    time: TimeFigures
    """events over time, each in one part only; empty without times"""
    dated: bool
    """False if only the order of the times is known"""
    checks: tuple[Finding, ...]


def preview_split(table: RawTable, options: PrepareOptions) -> SplitPreview:
    """Split the events of `table` as `prepare` would, on the raw rows alone.

    Raises
    ------
    InputError
        as `prepare` does, for roles, ids, times, and a part without sessions.
    """
    options = by_schema(options)
    table = unroll(null_missing(table, options.missing), options)
    keys = read_keys(table, options)
    left_out: dict[str, int] = {}
    log = keys.log
    if options.drop_repeats:
        log = log.keep_events(~log.repeats())
    split = split_sessions(log, keys.time, options, False, left_out)
    figures = {
        "split_checks": split_figures(split, keys.time, _users(table, keys, options)),
        "split": split.kind,
        "options": options.model_dump(mode="json"),
        "left_out": left_out,
        "time_form": keys.time_form,
    }
    return SplitPreview(
        split.kind,
        {part: _counts(split, part) for part in PARTS},
        split.cuts,
        {} if keys.time is None else _over_time(split, keys.time),
        keys.time_form != "order",
        findings(cast(Profile, figures)),
    )


def _users(table: RawTable, keys: Keys, options: PrepareOptions) -> NDArray[np.int32] | None:
    """User code of each row, (R,); None without users, or if each user is one session."""
    if keys.roles.user is None or (keys.roles.session is None and options.gap_minutes is None):
        return None
    return factorize(table.frame[keys.roles.user])[0]


def _counts(split: Split, part: str) -> dict[str, int]:
    session, start, stop, _ = split.session_ranges(part)
    items = split.log.item[ranges(start, stop)[0]]
    return {"sessions": len(session), "events": len(items), "items": len(np.unique(items))}


def _over_time(split: Split, time: NDArray[np.float64]) -> TimeFigures:
    """First and last event of each part, and its events in bins; with leave-one-out, later parts have their targets."""
    times = {}
    for part in PARTS:
        _, start, stop, _ = split.session_ranges(part)
        alone = stop - 1 if split.leave_one_out and part != "train" else start
        times[part] = time[split.log.row[ranges(alone, stop)[0]]]
    low, high = min(float(t.min()) for t in times.values()), max(float(t.max()) for t in times.values())
    edges = np.linspace(low, max(high, low + 1), BINS + 1)
    return {
        "parts": {part: [float(t.min()), float(t.max())] for part, t in times.items()},
        "edges": edges.tolist(),
        "events": {part: np.histogram(t, edges)[0].tolist() for part, t in times.items()},
    }
