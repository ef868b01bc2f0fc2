"""The profile of prepared data against plain loops over the raw events."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.profile import BINS, LONGEST

Session = list[dict[str, Any]]
QUARTERS = ("0.0", "0.25", "0.5", "0.75", "0.95", "1.0")


def clicks() -> list[Session]:
    """Sessions one after another: one of 70 events, items that come up late, shelves that are not known."""
    rng = np.random.default_rng(0)
    sessions: list[Session] = []
    for s in range(60):
        n = 70 if s == 3 else int(rng.integers(3, 9))
        sessions.append(
            [
                {
                    "session_id": s,
                    "item_id": int(min(rng.zipf(1.6), 6 + s)),
                    "timestamp": 1e9 + 1000.0 * s + i,
                    "price": float(rng.normal(30, 9)),
                    "shelf": [None, "a", "b", "b", "c"][rng.integers(0, 5)],
                }
                for i in range(n)
            ]
        )
    return sessions


def trained(sessions: list[Session], split: str) -> list[Session]:
    """What training holds: by time the first 48 sessions (a tenth of those before the test's tenth is validation)."""
    return sessions[:48] if split == "time" else [session[:-2] for session in sessions]


@pytest.mark.parametrize("split", ["time", "leave_one_out"])
def test_every_figure_by_plain_loops(tmp_path: Path, split: Any) -> None:
    sessions = clicks()
    frame = pl.DataFrame([event for session in sessions for event in session])
    profile = prepare(frame, tmp_path / "d", PrepareOptions(split=split, unseen_items="keep")).profile
    train = trained(sessions, split)
    events = [event for session in train for event in session]
    assert profile["parts"]["train"]["sessions"] == len(train) and profile["parts"]["train"]["events"] == len(events)

    lengths = [len(session) for session in train]
    bars = Counter(min(n, LONGEST) for n in lengths)
    assert profile["lengths"]["histogram"] == {str(n): bars[n] for n in sorted(bars)}
    assert profile["lengths"]["last_is_longer"] and profile["lengths"]["mean"] == round(float(np.mean(lengths)), 3)
    assert profile["lengths"]["quantiles"] == {q: int(np.quantile(lengths, float(q))) for q in QUARTERS}

    counts = Counter(event["item_id"] for event in events)
    ranked = sorted(counts.values(), reverse=True) + [0] * (frame["item_id"].n_unique() - len(counts))
    assert profile["popularity"]["curve"][0] == [1, ranked[0]] and profile["popularity"]["curve"][-1][0] == len(ranked)
    assert all(count == ranked[rank - 1] for rank, count in profile["popularity"]["curve"])
    assert profile["popularity"]["top_1_percent_share"] == round(ranked[0] / len(events), 4)
    assert profile["popularity"]["top_10_percent_share"] == round(sum(ranked[: len(ranked) // 10]) / len(events), 4)

    later = sum(lengths) - len(train)
    again = sum(e["item_id"] in [o["item_id"] for o in s[:i]] for s in train for i, e in enumerate(s))
    next_to = sum(s[i]["item_id"] == s[i - 1]["item_id"] for s in train for i in range(1, len(s)))
    assert profile["checks"]["repeat_share"] == round(again / later, 4)
    assert profile["checks"]["consecutive_repeat_share"] == round(next_to / later, 4)

    apart = {"train": train, "valid": sessions[48:54], "test": sessions[54:]}
    if split == "leave_one_out":  # of a session in every part, validation and test have one event each
        apart |= {"valid": [s[-2:-1] for s in sessions], "test": [s[-1:] for s in sessions]}
    for part, part_sessions in apart.items():
        assert sum(profile["time"]["events"][part]) == sum(map(len, part_sessions))
        assert len(profile["time"]["edges"]) == BINS + 1
        last = [s[-1]["item_id"] not in counts for s in part_sessions]
        if part != "train":
            assert profile["checks"][f"{part}_last_items_without_training"] == round(float(np.mean(last)), 4)

    prices = profile["features"]["price"]["quantiles"]  # in their own unit
    wanted = [np.quantile([e["price"] for e in events], float(q)) for q in QUARTERS]
    assert list(prices) == list(QUARTERS) and [*prices.values()] == pytest.approx(wanted, rel=1e-4)
    shelves = Counter(e["shelf"] for e in events)
    unknown = shelves.pop(None)
    shelf = profile["features"]["shelf"]
    assert shelf["unknown_share"] == round(unknown / len(events), 4) and shelf["values"] == 3
    assert dict(zip(shelf["top_values"], shelf["top"], strict=True)) == shelves and shelf["rows"] == len(events)
