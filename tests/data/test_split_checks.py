"""Leakage and cold-start checks of a split against plain loops over the prepared sessions, and with leaks planted."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from t4r_lab.data.pipeline.describe import describe
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.split_checks import Finding, findings
from t4r_lab.data.prepared.prepared_data import Dataset

Click = tuple[Any, Any, float]
"""session, item, second"""


def frame(clicks: list[Click], **more: Any) -> pl.DataFrame:
    session, item, time = zip(*clicks, strict=True)
    return pl.DataFrame({"session_id": session, "item_id": item, "timestamp": time, **more})


def random_clicks(seed: int, sessions: int = 80) -> list[Click]:
    """Sessions that overlap in time, with items that come up late, repeated events and copies among them."""
    rng = np.random.default_rng(seed)
    clicks: list[Click] = []
    for s in range(sessions):
        at = 6.0 * s
        for _ in range(rng.integers(2, 6)):
            at += float(rng.integers(0, 40))
            clicks.append((s, int(rng.integers(0, 12 + s // 4)), at))
    return clicks


def by_session(clicks: list[Click]) -> dict[Any, list[tuple[Any, float]]]:
    sessions: dict[Any, list[tuple[Any, float]]] = defaultdict(list)
    for session, item, at in sorted(clicks, key=lambda c: c[2]):  # stable: the order of the file stays
        sessions[session].append((item, at))
    return sessions


def ids(data: Dataset, part: str) -> list[str]:
    return data.part(part).ids.tolist()


def finding(data: Dataset, beginning: str) -> Finding:
    (match,) = [f for f in findings(data.profile) if f.words.startswith(beginning)]
    return match


# ── by brute force ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("keep", ["drop", "keep"])
@pytest.mark.parametrize("seed", range(4))
def test_a_split_by_time_by_plain_loops(tmp_path: Path, seed: int, keep: Any) -> None:
    clicks = random_clicks(seed)
    data = prepare(frame(clicks), tmp_path / "d", PrepareOptions(unseen_items=keep, min_item_support=2))
    figures, raw, cuts = data.profile["split_checks"], by_session(clicks), data.profile["cuts"]
    part_of = {
        s: "test" if e[-1][1] >= cuts["test"] else "valid" if e[-1][1] >= cuts["valid"] else "train"
        for s, e in raw.items()
    }
    train = data.part("train")
    trained = set(data.own_ids(train.values["item_id"]))
    end = train.values["timestamp"].max()
    for part in ("valid", "test"):
        came = [events for s, events in raw.items() if part_of[s] == part]
        items = [item for events in came for item, _ in events]
        assert figures["unseen"][part] == {
            "events": [sum(i not in trained for i in items), len(items)],
            "sessions": [sum(any(i not in trained for i, _ in events) for events in came), len(came)],
            "items": [len(set(items) - trained), len(set(items))],
        }
        sessions = data.part(part)
        times = np.split(sessions.values["timestamp"], sessions.offsets[1:-1])
        assert figures["early"][part] == {
            "events": [sum(t < end for session in times for t in session), sum(map(len, times))],
            "targets": [
                sum(t < end for session in times for t in session[1:]),
                sum(len(session) - 1 for session in times),
            ],
        }
        assert figures["sessions"][part] == [0, len(sessions)]
    assert figures["repeated"] == [len(clicks) - len(set(clicks)), len(clicks)]
    assert figures["early"]["valid"]["events"][0] > 0 and figures["unseen"]["test"]["events"][0] > 0
    assert "users" not in figures


@pytest.mark.parametrize("seed", range(3))
def test_leave_one_out_by_plain_loops(tmp_path: Path, seed: int) -> None:
    clicks = random_clicks(seed)
    data = prepare(frame(clicks), tmp_path / "d", PrepareOptions(split="leave_one_out"))
    figures, raw = data.profile["split_checks"], by_session(clicks)
    trained = [e for events in raw.values() for e in (events[:-2] if len(events) > 2 else events)]
    known, end = {i for i, _ in trained}, max(t for _, t in trained)
    for part, position in (("valid", -2), ("test", -1)):
        targets = [events[position] for events in raw.values() if len(events) > 2]
        new, early = sum(i not in known for i, _ in targets), sum(t < end for _, t in targets)
        assert figures["unseen"][part]["events"] == figures["unseen"][part]["sessions"] == [new, len(targets)]
        assert figures["early"][part] == {of: [early, len(targets)] for of in ("events", "targets")}
    assert finding(data, "events before the end of training").level == "warning"
    assert finding(data, "each session is in every part").level == "ok"


@pytest.mark.parametrize("seed", range(3))
def test_users_by_plain_loops(tmp_path: Path, seed: int) -> None:
    clicks = random_clicks(seed)
    rng = np.random.default_rng(seed)
    user = {s: None if s % 9 == 0 else int(rng.integers(0, 60)) for s in range(80)}
    more = {"user_id": [user[s] for s, _, _ in clicks]}
    data = prepare(frame(clicks, **more), tmp_path / "d", PrepareOptions(unseen_items="keep"))
    known = {user[int(s)] for s in ids(data, "train")} - {None}
    for part in ("valid", "test"):
        users = [user[int(s)] for s in ids(data, part)]
        assert data.profile["split_checks"]["users"][part] == [sum(u in known for u in users), len(users)]
    assert finding(data, "sessions of users that training holds").level == "note"


# ── leaks planted ───────────────────────────────────────────────────────────────────────────────


def given(tmp_path: Path, test: list[Click], start: float = 0, **options: Any) -> Dataset:
    """Forty sessions of their own times beside a given test part."""
    train = [(s, (s + i) % 5, start + 1000.0 * s + i) for s in range(40) for i in range(3)]
    return prepare(frame(train), tmp_path / "d", PrepareOptions(**options), test=frame(test))


def test_a_clean_split_is_all_ok(tmp_path: Path) -> None:
    data = given(tmp_path, [(100 + s, (i + s) % 5, 1.1e9 + 10 * s + i) for s in range(10) for i in range(3)], start=1e9)
    assert {f.level for f in findings(data.profile)} == {"ok"}
    assert all(f.remedy == "" for f in findings(data.profile))


def test_a_session_in_two_parts_is_found(tmp_path: Path) -> None:
    data = given(tmp_path, [(s, i, 1e6 + i) for s in (3, 4, 200, 201) for i in (4, 1)])
    check = finding(data, "sessions with the id")
    assert (check.level, check.words) == (
        "warning",
        "sessions with the id of a training session: validation 0, test 2 (50.0 %)",
    )


def test_test_events_of_the_past_are_found(tmp_path: Path) -> None:
    data = given(tmp_path, [(100, 4, 5.5), (100, 1, 9e5), (101, 4, 9e5), (101, 1, 9e5 + 1)])
    check = finding(data, "events before the end of training")
    assert check.level == "warning"
    assert check.words.endswith("validation 0, test 1 (25.0 %); of the targets validation 0, test 0")
    assert "begins later" in check.remedy


@pytest.mark.parametrize(("across", "level"), [(1, "note"), (3, "warning")])
def test_many_sessions_over_the_cut_are_a_warning(tmp_path: Path, across: int, level: str) -> None:
    """Of the ten test sessions of two events, twice `across` begin a day before: 10 %, which is allowed, or 30 %."""
    clicks: list[Click] = []
    for s in range(100):
        early = 86_400.0 if s in range(90, 90 + 2 * across) else 50.0
        clicks += [(s, 0, 1e9 + 1000.0 * s - early), (s, 1, 1e9 + 1000.0 * s)]
    data = prepare(frame(clicks), tmp_path / "d", PrepareOptions())
    figures = data.profile["split_checks"]["early"]["test"]["events"]
    assert figures == [2 * across, 20]
    check = finding(data, "events before the end of training")
    assert check.level == level
    assert "--valid-from" in check.remedy and ("--gap-minutes" in check.remedy) == (level == "warning")


def test_a_copied_session_is_found_by_items_and_times(tmp_path: Path) -> None:
    copy = [(100, (7 + i) % 5, 7000.0 + i) for i in range(3)]  # session 7 of training under another id
    other = [(101, i % 5, 1e6 + i) for i in range(3)] + [(102, (i + 1) % 5, 7000.0 + i) for i in range(3)]
    data = given(tmp_path, copy + other)
    check = finding(data, "sessions with the items and times")
    assert (check.level, check.words.split("session: ")[1]) == ("warning", "validation 0, test 1 (33.3 %)")


def test_without_times_copies_are_a_note(tmp_path: Path) -> None:
    train = pl.DataFrame({"session_id": [s for s in range(20) for _ in range(3)], "item_id": [0, 1, 2] * 20})
    test = pl.DataFrame({"session_id": [50, 50, 50, 51, 51, 51], "item_id": [0, 1, 2, 2, 1, 0]})
    data = prepare(train, tmp_path / "d", test=test)
    assert data.profile["split_checks"]["copies"]["test"] == [1, 2]
    assert finding(data, "sessions with the items in order").level == "note"
    assert "have no times" in finding(data, "events have no times").words
    assert not [f for f in findings(data.profile) if f.words.startswith("events with session")]


def test_unseen_items_are_found_whether_dropped_or_kept(tmp_path: Path) -> None:
    new = [
        (100, 0, 1e6),
        (100, 77, 1e6 + 1),
        (100, 1, 1e6 + 2),
        (101, 78, 1e6),
        (101, 79, 1e6 + 1),
        (102, 1, 1e6),
        (102, 2, 2e6),
    ]
    for keep, remedy in (("drop", "left out"), ("keep", "candidates")):
        data = given(tmp_path / keep, new, unseen_items=keep)
        check = finding(data, "items that training does not hold")
        assert check.words.endswith("test 3 (42.9 %) of the events, validation 0, test 2 (66.7 %) of the sessions")
        assert check.level == "warning"
        assert remedy in check.remedy


def test_beside_a_given_test_part_every_item_of_the_other_file_is_known(tmp_path: Path) -> None:
    clicks = [(s, i, 1e5 * s + i) for s in range(40) for i in (0, 1)] + [(40, 0, 1e8), (40, 9, 1e8 + 1)]
    later = [(100, 0, 1e9), (100, 9, 1e9 + 1)]
    for more, left, remedy in (([], 0, "they count as candidates"), ([(100, 77, 1e9 + 2)], 1, "are left out")):
        data = prepare(
            frame(clicks), tmp_path / f"{left}", PrepareOptions(time_format="seconds"), test=frame(later + more)
        )
        assert data.profile["left_out"]["unseen_item_events"] == left
        assert data.part("test").lengths.tolist() == [2]
        assert remedy in finding(data, "items that training does not hold").remedy


def test_repeated_events_are_counted_before_they_are_dropped(tmp_path: Path) -> None:
    clicks = [(s, i % 4, 1000.0 * s + i) for s in range(40) for i in range(3)]
    # the same moment with other items between
    twice = [*clicks, (5, 1, 5001.0), (6, 9, 6001.0), (6, 1, 6001.0), (7, 1, 8001.0)]
    data = prepare(frame(twice), tmp_path / "d")
    assert data.profile["split_checks"]["repeated"] == [2, len(twice)]
    assert finding(data, "events with session, item and time").words.endswith("2 (1.6 %)")


# ── faces ───────────────────────────────────────────────────────────────────────────────────────


def test_describe_says_the_checks(tmp_path: Path) -> None:
    data = given(tmp_path, [(s, i, 1e6 + i) for s in (3, 200) for i in (4, 1)])
    text = " ".join(describe(data).split())  # lines are wrapped
    for check in findings(data.profile):
        assert check.words in text and check.remedy in text


def test_the_same_item_at_the_same_time_in_another_session_is_no_repeat(tmp_path: Path) -> None:
    clicks: list[Click] = [(0, "a", 1.0), (0, "b", 9.0), (1, "b", 9.0), (1, "a", 12.0), (2, "a", 12.0), (2, "c", 13.0)]
    later: list[Click] = [(s, item, 20.0 * s + at) for s in range(3, 12) for at, item in enumerate("abc")]
    options = PrepareOptions(split="leave_one_out")
    data = prepare(frame([*clicks, *later]), tmp_path / "d", options)
    assert data.profile["split_checks"]["repeated"] == [0, 33]
