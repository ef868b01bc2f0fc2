"""Comparison and record: names, bootstrap, tags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.runs.compared.differences import LEVEL, differences, holm, paired_bootstrap


def cases(rank: np.ndarray, per_session: int = 2) -> dict[str, np.ndarray]:
    return {"session": np.arange(len(rank)) // per_session, "rank": rank}


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


@pytest.mark.parametrize(
    ("p_values", "rejected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [True, False, False, True]),  # .005 < .05/4, .01 < .05/3, .03 > .05/2 ends it
        ([0.0125, 0.0125, 0.2, 0.9], [False, False, False, False]),  # not below .05/4, so nothing is
        ([0.001, 0.016, 0.024, 0.049], [True, True, True, True]),
        ([0.03, 0.06], [False, False]),
        ([0.049], [True]),
        ([], []),
    ],
)
def test_holms_procedure_rejects_as_by_hand(p_values: list[float], rejected: list[bool]) -> None:
    assert [p < level for p, level in zip(p_values, holm(p_values), strict=True)] == rejected


def test_with_many_runs_noise_is_called_a_difference_no_more_often_than_with_two() -> None:
    """Under no difference at all, in twelve families of ten runs; uncorrected, about half of them have such a pair."""
    names, wrong = [f"r{n}" for n in range(10)], {False: 0, True: 0}
    family = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    for trial in range(12):
        rng = np.random.default_rng(trial)
        ranks = {name: cases(rng.integers(1, 30, 400).astype(float), 1) for name in names}
        for corrected in wrong:
            judged, unlike = differences([family], ranks, "recall@10", 0, corrected)
            assert len(judged) == 45 and not unlike
            wrong[corrected] += any(d.low > 0 for d in judged)
            if not corrected:  # each is what it would be alone
                one = judged[3]
                alone = paired_bootstrap(ranks[one.better], ranks[one.other], "recall@10", one.better, one.other)
                assert (one.mean, one.low, one.high) == pytest.approx((alone.mean, alone.low, alone.high))
            else:
                assert "corrected for 45 comparisons" in judged[0].sentence
    assert wrong[False] >= 4 and wrong[True] <= 1, wrong
    assert LEVEL == 0.05


def test_a_clear_difference_among_many_is_kept_and_other_cases_are_not_paired() -> None:
    rng = np.random.default_rng(0)
    ranks = {name: cases(rng.integers(1, 30, 300).astype(float), 1) for name in "abc"}
    ranks["best"] = cases(np.ones(300), 1)
    ranks["elsewhere"] = cases(np.ones(200), 1)
    family = [(a, b) for i, a in enumerate(ranks) for b in list(ranks)[i + 1 :]]
    judged, unlike = differences([family], ranks, "mrr@10", 0, True)
    clear = {(d.better, d.other) for d in judged if d.low > 0}
    assert {("best", name) for name in "abc"} <= clear
    assert set(unlike) == {(name, "elsewhere") for name in (*"abc", "best")}


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
