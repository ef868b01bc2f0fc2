"""The preview of a split says what `prepare` then writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.split_checks import findings
from t4r_lab.data.pipeline.split_preview import preview_split
from t4r_lab.data.read.raw_table import RawTable


def overlapping(seed: int) -> pl.DataFrame:
    """Sessions that overlap in time, with repeats, and items that come up late."""
    rng, rows = np.random.default_rng(seed), []
    for s in range(80):
        at = 1.7e9 + 6.0 * s
        for _ in range(rng.integers(2, 6)):
            at += float(rng.integers(0, 40))
            rows.append((s, int(rng.integers(0, 6 + s // 4)), at, s % 30))
    return pl.DataFrame(rows, schema=["session_id", "item_id", "timestamp", "who"], orient="row")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"valid_share": 0.3, "min_item_support": 3},
        {"split": "leave_one_out"},
        {"drop_repeats": True, "min_session_length": 3, "unseen_items": "keep"},
        {"gap_minutes": 0.5, "user": "who", "ignore": ["session_id"]},
        {"user": "who", "test_days": 0.001},
    ],
)
def test_the_preview_is_what_prepare_writes(tmp_path: Path, options: dict[str, Any]) -> None:
    events = overlapping(5)
    data = prepare(events, tmp_path / "d", PrepareOptions(**options))
    split = preview_split(RawTable(events), PrepareOptions(**options))
    profile = data.profile
    assert split.parts == {part: {k: n for k, n in p.items() if k != "targets"} for part, p in profile["parts"].items()}
    assert (split.kind, split.cuts) == (profile["split"], profile["cuts"])
    assert split.time["parts"] == profile["time"]["parts"]
    for part, counts in split.time["events"].items():
        assert sum(counts) == sum(profile["time"]["events"][part])
    assert split.checks == findings(profile)
    assert split.dated


def test_without_times_there_are_counts_alone() -> None:
    events = pl.DataFrame({"user_id": [0, 0, 0, 1, 1, 1], "item_id": [1, 2, 3, 3, 2, 1]})
    split = preview_split(RawTable(events), PrepareOptions(split="leave_one_out"))
    assert (split.time, split.cuts) == ({}, {})
    assert {part: n["sessions"] for part, n in split.parts.items()} == {"train": 2, "valid": 2, "test": 2}
    assert {part: n["events"] for part, n in split.parts.items()} == {"train": 2, "valid": 4, "test": 6}


def test_a_split_that_prepare_would_refuse_is_refused() -> None:
    with pytest.raises(InputError, match="no session has 9 events") as refused:
        preview_split(RawTable(overlapping(0)), PrepareOptions(min_session_length=9))
    assert refused.value.path == "min_session_length"
