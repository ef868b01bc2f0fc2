"""Comparison and record: names, bootstrap, tags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.runs.compare import paired_bootstrap


def cases(rank: np.ndarray, per_session: int = 2) -> np.ndarray:
    return np.rec.fromarrays([np.arange(len(rank)) // per_session, rank], names=["session", "rank"])


def test_the_interval_holds_the_normal_one_of_independent_sessions() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.integers(1, 40, 3000).astype(float), rng.integers(1, 40, 3000).astype(float)
    interval = paired_bootstrap(cases(one, 1), cases(two, 1), "recall@10", "one", "two")
    difference = (one <= 10).astype(float) - (two <= 10)
    if difference.mean() < 0:
        difference = -difference
    half = 1.96 * difference.std() / len(difference) ** 0.5
    assert interval.mean == pytest.approx(difference.mean())
    assert interval.low == pytest.approx(difference.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(difference.mean() + half, abs=0.1 * half)


def test_events_of_one_session_count_as_one_draw() -> None:
    rank = np.repeat(np.where(np.random.default_rng(0).random(100) < 0.5, 1.0, 99.0), 20)
    alike = paired_bootstrap(cases(rank, 20), cases(np.full(2000, 99.0), 20), "recall@10", "a", "b")
    apart = paired_bootstrap(cases(rank, 1), cases(np.full(2000, 99.0), 1), "recall@10", "a", "b")
    assert alike.high - alike.low > 3 * (apart.high - apart.low)  # √20 in theory


def test_a_clear_difference_and_noise_are_said_in_words() -> None:
    better, worse = cases(np.full(400, 1.0)), cases(np.full(400, 50.0))
    assert paired_bootstrap(worse, better, "mrr@10", "worse", "better").sentence.startswith(
        "better beats worse by 1.0000"
    )
    same = paired_bootstrap(better, better, "mrr@10", "a", "b").sentence
    assert same.startswith("no difference beyond noise")


def test_names_of_the_record_come_back() -> None:
    for part, metric, baseline in (("valid", "ndcg@10", None), ("test", "recall@5", "popularity")):
        assert tracking.from_key(tracking.to_key(part, metric, baseline)) == (baseline, part, metric)
    assert tracking.from_key("train/loss") is None


def test_the_home_is_found_and_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("T4R_LAB_HOME")
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert homes.locate() == tmp_path / "mlruns"  # the nearest one above
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path / "new"))
    assert homes.ensure() == tmp_path / "new"
    assert (tmp_path / "new").is_dir()


def test_an_empty_record_says_what_to_do(tmp_path: Path) -> None:
    assert tracking.runs(tmp_path) == []
    with pytest.raises(InputError, match="train one with"):
        tracking.find(tmp_path, "anything")
    assert not list(tmp_path.iterdir())  # who only asks makes nothing
