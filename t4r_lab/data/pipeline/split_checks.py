"""Checks of a split: leakage between the parts, and content of later parts that training never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from t4r_lab.data.pipeline.split import Split
from t4r_lab.data.prepared.profile_content import Profile, Share, SplitFigures
from t4r_lab.data.sessions.arrays import PARTS, ranges
from t4r_lab.data.sessions.codes import MISSING
from t4r_lab.data.sessions.sessionize import Log

LATER = PARTS[1:]
MUCH = 0.1
"""A share of events above this is a warning: of unseen items, since metrics then mainly measure the change of the
catalog; before the end of training, since the model has then seen what others did at the same time."""
Level = Literal["ok", "note", "warning"]


# ── Figures, counted while preparing ────────────────────────────────────────────────────────────


def split_figures(split: Split, time: NDArray[np.float64] | None, user: NDArray[np.int32] | None) -> SplitFigures:
    """Return the counts for `findings` as plain data, small whatever the size of the data set.

    Parameters
    ----------
    time: (R,) seconds of each raw row; None where events have none.
    user: (R,) code of the user of each raw row; None without users, or if each user is one session.

    Returns
    -------
    ``sessions`` and ``copies``: sessions of a later part that are in training by id, or by items and times;
    ``users``: sessions of a user of training; ``early``: events and targets before training's last event;
    ``unseen``: events, sessions and items that training does not hold, counted before the filters;
    ``repeated``: events with session, item and time of another. Each is [count, total].
    """
    figures: SplitFigures = {"unseen": _unseen(split), "timed": time is not None}
    if not split.leave_one_out:  # leave-one-out has each session in every part by design
        log = split.log
        ids = log.group if log.number is None else None
        figures["sessions"] = {p: _shared(split, ids, p) for p in LATER}
        figures["copies"] = {p: _shared(split, fingerprints(log, time), p) for p in LATER}
        if user is not None:
            users = user[log.row[log.offsets[:-1]]].astype(np.int64)
            users = np.where(users == MISSING, -1 - np.arange(len(users)), users)  # one without a name is like no other
            figures["users"] = {p: _shared(split, users, p) for p in LATER}
    if time is not None:
        figures["early"] = _early(split, time)
        figures["repeated"] = [_repeated(split.unfiltered, time), len(split.unfiltered.item)]
    return figures


def _shared(split: Split, key: NDArray[Any] | None, part: str) -> Share:
    """The share of sessions of `part` whose key is also in training; none without a key."""
    in_part = split.log.part == PARTS.index(part)
    n_shared = 0 if key is None else int(np.isin(key[in_part], key[split.log.part == 0]).sum())
    return [n_shared, int(in_part.sum())]


def _part_events(split: Split, part: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the events that belong to this part alone, and their offsets; with leave-one-out, the targets."""
    _, start, stop, first = split.session_ranges(part)
    return ranges(start + first if split.leave_one_out else start, stop)


def _unseen(split: Split) -> dict[str, dict[str, Share]]:
    whole = replace(split, log=split.unfiltered)
    trained = np.zeros(int(split.unfiltered.item.max(initial=0)) + 1, bool)
    trained[split.log.item[split.trained()]] = True
    figures = {}
    for part in LATER:
        flat, offsets = _part_events(whole, part)
        item = split.unfiltered.item[flat]
        new = ~trained[item]
        touched = np.add.reduceat(new, offsets[:-1]) > 0 if len(new) else new
        figures[part] = {
            "events": [int(new.sum()), len(new)],
            "sessions": [int(touched.sum()), len(touched)],
            "items": [len(np.unique(item[new])), len(np.unique(item))],
        }
    return figures


def _early(split: Split, time: NDArray[np.float64]) -> dict[str, dict[str, Share]]:
    at = time[split.log.row]
    end = at[split.trained()].max(initial=-np.inf)
    figures = {}
    for part in LATER:
        _, start, stop, first = split.session_ranges(part)
        events, targets = at[_part_events(split, part)[0]], at[ranges(start + first, stop)[0]]
        figures[part] = {name: [int((t < end).sum()), len(t)] for name, t in (("events", events), ("targets", targets))}
    return figures


def _repeated(log: Log, time: NDArray[np.float64]) -> int:
    """The number of events that repeat session, item and time of an earlier one."""
    at = time[log.row]
    new = np.ones(len(at), bool)
    new[1:] = at[1:] != at[:-1]
    new[log.offsets[:-1]] = True
    moment = np.cumsum(new)  # of one session and time, in order
    keys = np.sort(moment * (int(log.item.max(initial=0)) + 1) + log.item)
    return int(np.count_nonzero(keys[1:] == keys[:-1]))


def fingerprints(log: Log, time: NDArray[np.float64] | None) -> NDArray[np.uint64]:
    """Hashes (S,), equal for sessions of the same items in the same order and at the same times, if there are times.

    64 bits, mixed as SplitMix64 does (Steele et al. 2014): among ten million sessions, two different ones collide
    in one of 10⁵ data sets.
    """
    position = np.arange(len(log.item)) - np.repeat(log.offsets[:-1], log.lengths)
    mixed = _mix(log.item.astype(np.uint64) + (_mix(position.astype(np.uint64))))
    if time is not None:
        mixed = _mix(mixed ^ time[log.row].view(np.uint64))
    return np.add.reduceat(mixed, log.offsets[:-1])


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


# ── Texts for every interface ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Finding:
    """The result of one check as text with its figures, and a remedy if one is worthwhile."""

    level: Level
    words: str
    remedy: str = ""


def findings(profile: Profile) -> tuple[Finding, ...]:
    """Return the result of every check of a prepared folder's split, from its profile."""
    figures, kind, options = profile["split_checks"], profile["split"], profile["options"]
    keeps = (options["unseen_items"] or ("keep" if kind == "leave_one_out" else "drop")) == "keep"
    if kind == "given":  # every item of the training file is in the vocabulary
        keeps = keeps or not profile["left_out"].get("unseen_item_events")
    checks = [
        _sessions(figures, kind),
        _users(figures),
        _unit(profile),
        _order(figures, kind),
        _cold(figures["unseen"], keeps),
        _copies(figures),
        _repeats(figures),
    ]
    return tuple(f for f in checks if f is not None)


def _sessions(figures: SplitFigures, kind: str) -> Finding:
    if kind == "leave_one_out":
        return Finding("ok", "each session is in every part, but its targets in one only, and none is trained on")
    shared = figures["sessions"]
    if not _any_shared(shared):
        return Finding("ok", "no session is in two parts")
    return Finding(
        "warning",
        f"sessions with the id of a training session: {_shares(shared)}",
        "give the files ids of their own, or take these sessions out of one of them",
    )


def _users(figures: SplitFigures) -> Finding | None:
    if (shared := figures.get("users")) is None:
        return None
    if not _any_shared(shared):
        return Finding("ok", "no user of validation or test is in training")
    return Finding(
        "note",
        f"sessions of users that training holds: {_shares(shared)}",
        "as in use; to measure on new users, give a test file of theirs (--test)",
    )


def _unit(profile: Profile) -> Finding | None:
    if profile.get("time_form") != "order":
        return None
    return Finding(
        "note",
        "times count from a start of their own, in a unit that isn't known: only their order counts",
        "say what they are (--time-format seconds, days, …) if time is to be measured",
    )


def _order(figures: SplitFigures, kind: str) -> Finding:
    if not figures["timed"]:
        return Finding("note", "events have no times, so their order was not checked", "name a time column (--time)")
    early = figures["early"]
    events, targets = ({p: early[p][of] for p in LATER} for of in ("events", "targets"))
    if not _any_shared(events):
        return Finding("ok", "no event of validation or test lies before the end of training")
    words = f"events before the end of training: {_shares(events)}; of the targets {_shares(targets)}"
    if kind == "leave_one_out":
        return Finding("warning", words, "training has seen the future of these; --split time keeps it out")
    if kind == "given" and events["test"][0]:
        return Finding("warning", words, "training has seen the future of these; give a test file that begins later")
    if _is_much(events):
        remedy = (
            "many sessions reach over the cut; cut at a quieter hour (--valid-from), or make them shorter by pauses"
        )
        return Finding("warning", words, f"{remedy} (--gap-minutes)")
    return Finding(
        "note", words, "of sessions that reach over the cut; to have fewer, cut at a quieter hour (--valid-from)"
    )


def _cold(unseen: Mapping[str, Mapping[str, Share]], keeps: bool) -> Finding:
    events, sessions, items = ({p: unseen[p][of] for p in LATER} for of in ("events", "sessions", "items"))
    if not _any_shared(events):
        return Finding("ok", "training holds every item of validation and test")
    remedy = (
        "they count as candidates that no model has trained on; item features help, or training up to a later day"
        if keeps
        else "these events are left out; train up to a later day, or keep them as candidates (--unseen-items keep)"
    )
    words = (
        f"items that training does not hold: {_shares(items)}; in {_shares(events)} of the events, "
        f"{_shares(sessions)} of the sessions"
    )
    return Finding("warning" if _is_much(events) else "note", words, remedy)


def _copies(figures: SplitFigures) -> Finding | None:
    if (copies := figures.get("copies")) is None:
        return None
    timed = figures["timed"]
    same = "items and times" if timed else "items in order"
    if not _any_shared(copies):
        return Finding("ok", f"no session of validation or test has the {same} of a training session")
    return Finding(
        "warning" if timed else "note",
        f"sessions with the {same} of a training session: {_shares(copies)}",
        "copies under other ids; remove duplicate rows from the raw events"
        if timed
        else "short sessions meet by chance; if many, look for duplicate rows in the raw events",
    )


def _repeats(figures: SplitFigures) -> Finding | None:
    if (repeated := figures.get("repeated")) is None:
        return None
    if not repeated[0]:
        return Finding("ok", "no event has session, item and time of another")
    return Finding(
        "note",
        f"events with session, item and time of another: {_share(repeated)}",
        "remove duplicate rows, or keep the first of repeats (--drop-repeats)",
    )


def _is_much(shares: Mapping[str, Share]) -> bool:
    return max(count / max(of, 1) for count, of in shares.values()) > MUCH


def _any_shared(shares: Mapping[str, Share]) -> bool:
    return any(count for count, _ in shares.values())


def _shares(shares: Mapping[str, Share]) -> str:
    return f"validation {_share(shares['valid'])}, test {_share(shares['test'])}"


def _share(share: Share) -> str:
    """A share as text: count and percent.

    >>> _share([0, 7]), _share([3, 50]), _share([1, 100_000])
    ('0', '3 (6.0 %)', '1 (<0.1 %)')
    """
    count, of = share
    if not count:
        return "0"
    percent = 100 * count / of
    return f"{count:,} ({f'{percent:.1f}' if percent >= 0.1 else '<0.1'} %)"
