"""Windows and batches against a loop over sessions."""

from __future__ import annotations

import numpy as np
import pytest

from t4r_lab.nn import batches
from t4r_lab.nn.batches import (
    evaluation_batches,
    evaluation_windows,
    make_batch,
    seen_items,
    training_batches,
    training_windows,
)
from tests.support.toy import make_sessions


def test_training_keeps_the_newest_events_and_skips_single_ones() -> None:
    sessions = make_sessions(40, 0)
    windows = training_windows(sessions, 6)
    lengths = np.diff(sessions.offsets)
    assert windows.row.tolist() == [r for r, n in enumerate(lengths) if n >= 2]
    batch = make_batch(sessions, windows)
    for i, row in enumerate(windows.row):
        newest = sessions.values["item_id"][sessions.offsets[row] : sessions.offsets[row + 1]][-6:].tolist()
        assert batch.ids[i].tolist() == newest + [0] * (batch.ids.shape[1] - len(newest))
        assert batch.columns["device"][i, 0] == sessions.context["device"][row]  # context is repeated
    assert float((batch.columns["price"] * ~batch.valid).abs().sum()) == 0


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("positions", ["last", "all"])
@pytest.mark.parametrize("longest", [1, 4, 100])
def test_every_target_is_read_once_with_its_newest_context(causal: bool, positions: str, longest: int) -> None:
    sessions = make_sessions(60, 0)
    sessions.target_start[:] = np.random.default_rng(0).integers(1, 5, 60)
    lengths = np.diff(sessions.offsets)
    expected = []
    for row, n in enumerate(lengths):
        if n > sessions.target_start[row]:
            targets = range(sessions.target_start[row], n) if positions == "all" else [n - 1]
            expected += [(row, t) for t in targets]
    windows = evaluation_windows(sessions, longest, positions, causal)
    cases = []
    for row, start, stop, read in zip(windows.row, windows.start, windows.stop, windows.read, strict=True):
        assert 1 <= stop - start <= longest
        for target in range(start + read + 1, stop + 1):
            cases.append((row, target))
            assert target - max(0, target - longest) == min(target - start, longest)  # as much context as fits
    assert sorted(cases) == expected


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone() -> None:
    windows = training_windows(make_sessions(50, 0), 6)
    rows = lambda **k: [b.row.tolist() for b in training_batches(windows, 8, **k)]  # noqa: E731
    assert rows(seed=1, epoch=0) == rows(seed=1, epoch=0)
    assert rows(seed=1, epoch=0) != rows(seed=1, epoch=1)
    assert rows(seed=1, epoch=0) != rows(seed=2, epoch=0)
    assert sorted(r for batch in rows(seed=1, epoch=0) for r in batch) == windows.row.tolist()
    assert rows(seed=1, epoch=0, first=2) == rows(seed=1, epoch=0)[2:]


def test_processes_share_the_same_batches() -> None:
    windows = training_windows(make_sessions(50, 0), 6)
    whole = list(training_batches(windows, 8, 0, 0))
    halves = [list(training_batches(windows, 8, 0, 0, rank, 2)) for rank in (0, 1)]
    for one, left, right in zip(whole, *halves, strict=True):
        assert sorted(one.row.tolist()) == sorted(left.row.tolist() + right.row.tolist())


@pytest.mark.parametrize("events", [50_000, 40, 3])
def test_evaluation_covers_all_and_groups_by_length(events: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "EVALUATION_EVENTS", events)
    windows = evaluation_windows(make_sessions(50, 0), 9, "all", False)
    parts = list(evaluation_batches(windows, 16))
    assert sum(len(p) for p in parts) == len(windows) and (len(parts[0]) == 16 or events < 50_000)
    lengths = [p.stop - p.start for p in parts]
    assert (np.diff(np.concatenate(lengths)) >= 0).all()
    assert all(0 < len(p) <= 16 and (len(p) == 1 or len(p) * p.max() <= events) for p in lengths)


def test_seen_items_are_all_events_before() -> None:
    sessions = make_sessions(5, 0, shortest=4)
    seen = seen_items(sessions, np.array([2, 0]), np.array([3, 1]))
    events = sessions.values["item_id"]
    assert seen[0].tolist() == events[sessions.offsets[2] : sessions.offsets[2] + 3].tolist()
    assert seen[1].tolist() == [events[0], 0, 0]
