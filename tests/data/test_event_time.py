"""The sole column of dates as the time of the events."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.data.pipeline.inspection import inspect
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.read.raw_table import RawTable

START = datetime(2026, 1, 31, 12)
MOMENTS = [START + timedelta(hours=s, minutes=2 - i) for s in range(40) for i in range(3)]


def clicks(**more: Any) -> pl.DataFrame:
    """Sessions whose events are in the wrong order in the file."""
    session, item = zip(*((s, (s + i) % 5) for s in range(40) for i in range(3)), strict=True)
    return pl.DataFrame({"session_id": session, "item_id": item, **more})


@pytest.mark.parametrize(
    "moments", [MOMENTS, [f"{m:%Y-%m-%d %H:%M}" for m in MOMENTS], [f"{m:%Y/%m/%dT%H:%M:%SZ}" for m in MOMENTS]]
)
def test_the_sole_column_of_dates_is_the_time(tmp_path: Path, moments: list[Any]) -> None:
    data = prepare(clicks(seen=moments), tmp_path / "d")
    named = prepare(clicks(seen=moments), tmp_path / "n", PrepareOptions(time="seen"))
    assert data.schema == named.schema
    assert data.schema["timestamp"].source == "seen" and "seen" not in [c.name for c in data.schema]
    train = data.part("train")
    assert data.own_ids(train.values["item_id"])[:3] == [2, 1, 0]  # session 0 backwards, as the times say
    readings, refusal = inspect(RawTable(clicks(seen=moments)), PrepareOptions())
    assert refusal is None
    assert (readings[-1].role, readings[-1].note) == (
        "time",
        "taken as the time of the events: the only column of dates",
    )
    named_reading = inspect(RawTable(clicks(seen=moments)), PrepareOptions(time="seen"))[0][-1]
    assert (named_reading.role, named_reading.note) == ("time", "")


@pytest.mark.parametrize(
    "more",
    [
        {"seen": MOMENTS, "sent": MOMENTS},  # two could be it
        {"released": [date(2026, 1, 1 + (s + i) % 5) for s in range(40) for i in range(3)]},  # a day of the item
        {"seen": ["yesterday"] * 120},
        {"seen": [None] * 120},
    ],
)
def test_several_dates_or_those_of_an_item_are_not_taken(tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="no time column among"):
        prepare(clicks(**more), tmp_path / "d")


def test_a_usual_name_wins_and_an_ignored_column_is_not_taken(tmp_path: Path) -> None:
    frame = clicks(timestamp=[1e9 + n for n in range(120)], seen=MOMENTS)
    assert prepare(frame, tmp_path / "d").schema["timestamp"].source == "timestamp"
    with pytest.raises(InputError, match="no time column among"):
        prepare(clicks(seen=MOMENTS), tmp_path / "e", PrepareOptions(ignore=["seen"]))
    assert "seen" in [
        c.name for c in prepare(clicks(seen=MOMENTS), tmp_path / "f", PrepareOptions(split="leave_one_out")).schema
    ]
