"""Splitting sessions into training, validation and test, and filtering by what training knows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from t4r_lab.errors import InputError
from t4r_lab.spec.prepare import PrepareOptions

SESSION, ITEM, TIME = "·session", "·item", "·time"
DAY = 86_400.0


@dataclass(frozen=True)
class Split:
    """Events with ``·part`` (0 train, 1 valid, 2 test), and where the parts were cut, in seconds since 1970."""

    events: pl.DataFrame
    leave_one_out: bool
    cuts: dict[str, float]
    given: bool = False

    def remedy(self, part: str) -> str:
        """What to change when `part` turns out empty."""
        if self.leave_one_out:
            return "leave-one-out needs sessions of at least three events; use --split time or longer sessions"
        if part == "train":
            return "every session ends after the cut; choose a later --valid-from or a smaller share"
        if part == "test" and self.given:
            return "no given test session has two events of items in training; check that both files have the same ids"
        return (
            f"no session of known items ends after the cut; choose an earlier --{part}-from or a larger --{part}-share"
        )


def split_sessions(events: pl.DataFrame, options: PrepareOptions, given: bool, left_out: dict[str, int]) -> Split:
    """Assign every session to a part and drop what the filters leave out, counting it in `left_out`.

    A session belongs to the part in which it ends: one whose last event comes at or after a cut belongs to
    the later part, so that nothing in training is later than the cut. Support is counted on the training
    part, and with leave-one-out on everything.

    Raises
    ------
    InputError
        if nothing is left.
    """
    if options.split == "leave_one_out" and not given:
        filtered = _filter(events, options, left_out)
        # a session's last event is the test's, the one before it validation's, unless it has no third
        length = pl.len().over(SESSION)
        from_end = length - 1 - pl.int_range(pl.len()).over(SESSION)
        part = pl.when((length < 3) | (from_end >= 2)).then(0).otherwise(2 - from_end)
        return Split(filtered.with_columns(part.cast(pl.Int8).alias("·part")), True, {})
    ends = events.group_by(SESSION, maintain_order=True).agg(pl.col(TIME).last().alias("end"), pl.col("·given").first())
    own = ends.filter(~pl.col("·given"))
    if own.is_empty():
        raise InputError("events: no session; check the session column")
    test = math.inf if given else _cut("test", options, own["end"])
    before = own.filter(pl.col("end") < test)["end"]
    if before.is_empty():
        raise InputError("the train part is empty; every session ends after the test cut, choose a later --test-from")
    valid = _cut("valid", options, before)
    part = pl.when(pl.col("·given") | (pl.col("end") >= test)).then(2).when(pl.col("end") >= valid).then(1).otherwise(0)
    parts = ends.select(SESSION, part.cast(pl.Int8).alias("·part"))
    events = events.join(parts, on=SESSION, maintain_order="left")
    training = _filter(events.filter(pl.col("·part") == 0), options, left_out)
    if training.is_empty():
        raise InputError("the train part is empty; lower --min-item-support or --min-session-length, or cut later")
    later = events.filter(pl.col("·part") > 0)
    if not options.keeps_unseen:
        known = later.join(training.select(ITEM).unique(), on=ITEM, how="semi", maintain_order="left")
        left_out["unseen_item_events"] = len(later) - len(known)
        later = known
    later = _long_enough(later, options, left_out, "short_later_sessions")
    cuts = {"valid": valid} if given else {"valid": valid, "test": test}
    return Split(pl.concat([training, later]), False, cuts, given)


def _cut(part: str, options: PrepareOptions, ends: pl.Series) -> float:
    """The second at which `part` begins, by date, days or share of the sessions that end before the next part."""
    date, days = getattr(options, f"{part}_from"), getattr(options, f"{part}_days")
    last = float(ends.max())  # type: ignore[arg-type]
    if date is not None:
        try:
            moment = datetime.fromisoformat(date)
        except ValueError:
            raise InputError(
                f"{part}_from: {date!r} is not a date; use for example 2026-01-31 or 2026-01-31T12:00"
            ) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if days is not None:
        return last - days * DAY
    share = getattr(options, f"{part}_share")
    return float(ends.sort()[min(math.floor(len(ends) * (1 - share)), len(ends) - 1)])


def _filter(events: pl.DataFrame, options: PrepareOptions, left_out: dict[str, int]) -> pl.DataFrame:
    """Drop rare items and short sessions until neither is left, each change bringing new ones about."""
    while True:
        before = len(events)
        if options.min_item_support > 1:
            counts = events.group_by(ITEM).len().filter(pl.col("len") >= options.min_item_support)
            events = events.join(counts.select(ITEM), on=ITEM, how="semi", maintain_order="left")
            left_out["rare_item_events"] = left_out.get("rare_item_events", 0) + before - len(events)
        events = _long_enough(events, options, left_out, "short_sessions")
        if len(events) == before or options.min_item_support == 1:
            break
    if events.is_empty():
        raise InputError(
            f"no session has {options.min_session_length} events or more; check the session column, "
            "or lower --min-session-length or --min-item-support"
        )
    return events


def _long_enough(events: pl.DataFrame, options: PrepareOptions, left_out: dict[str, int], key: str) -> pl.DataFrame:
    """Only sessions of the asked length."""
    lengths = events.group_by(SESSION).len()
    keep = lengths.filter(pl.col("len") >= options.min_session_length)
    left_out[key] = left_out.get(key, 0) + len(lengths) - len(keep)
    if len(keep) == len(lengths):
        return events
    return events.join(keep.select(SESSION), on=SESSION, how="semi", maintain_order="left")
