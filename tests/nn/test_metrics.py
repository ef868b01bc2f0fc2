"""Ranks and metrics against hand-worked cases, brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from t4r_lab.nn.metrics.ranking import Ranks, ranks, summarize


def test_rank_counts_greater_and_half_of_equal() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5, 0.5, 0.2]])
    assert ranks(scores.clone(), torch.tensor([2])).tolist() == [1.0]
    assert ranks(scores.clone(), torch.tensor([3])).tolist() == [2.5]
    assert ranks(scores.clone(), torch.tensor([1])).tolist() == [5.0]


def test_one_score_for_all_is_chance_and_not_a_hit() -> None:
    tied = ranks(torch.zeros(3, 101), torch.tensor([1, 50, 101]))
    assert tied.tolist() == [51.0, 51.0, 51.0]
    assert summarize(tied.numpy(), [20])["recall@20"] == 0.0


def test_scores_that_are_no_numbers_rank_last() -> None:
    assert ranks(torch.full((1, 7), float("nan")), torch.tensor([3])).tolist() == [7.0]
    infinite = torch.tensor([[0.0, float("-inf"), float("inf"), 1.0]] * 2)
    assert ranks(infinite, torch.tensor([4, 2])).tolist() == [2.0, 4.0]


def test_seen_items_are_no_candidates() -> None:
    scores = torch.tensor([[9.0, 8.0, 7.0, 6.0]] * 3)
    seen = torch.tensor([[1, 2, 0], [1, 0, 0], [4, 1, 1]])
    # third case: the target itself was seen, so it can't be recommended
    assert ranks(scores.clone(), torch.tensor([3, 3, 4]), seen).tolist() == [1.0, 2.0, 4.0]


def test_against_brute_force() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (50, 12)).astype(float)  # many ties
    target = rng.integers(1, 13, 50)
    expected = []
    for row, t in zip(scores, target, strict=True):
        places = [(sorted(row, reverse=True)).index(row[t - 1]) + 1, 12 - sorted(row).index(row[t - 1])]
        expected.append(sum(places) / 2)  # mean of the best and the worst place among equals
    assert ranks(torch.from_numpy(scores), torch.from_numpy(target)).tolist() == expected


def test_ndcg_equals_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn comes with mlflow")
    rng = np.random.default_rng(1)
    scores, target = rng.normal(size=(40, 30)), rng.integers(0, 30, 40)
    truth = np.zeros((40, 30))
    truth[np.arange(40), target] = 1
    metrics = summarize(ranks(torch.from_numpy(scores), torch.from_numpy(target + 1)).numpy(), [10])
    assert metrics["ndcg@10"] == pytest.approx(sklearn.ndcg_score(truth, scores, k=10))
    assert metrics["recall@10"] == pytest.approx(sklearn.top_k_accuracy_score(target, scores, k=10, labels=range(30)))


def test_hand_worked_means() -> None:
    metrics = summarize(np.array([1.0, 3.0, 11.0]), [10])
    assert metrics == pytest.approx({"ndcg@10": (1 + 0.5) / 3, "recall@10": 2 / 3, "mrr@10": (1 + 1 / 3) / 3})


def test_no_case_gives_zero_and_cases_come_in_order() -> None:
    assert Ranks.gather([], [5]).metrics() == {"ndcg@5": 0.0, "recall@5": 0.0, "mrr@5": 0.0}
    part = lambda *v: tuple(np.array([x]) for x in v)  # noqa: E731
    joined = Ranks.gather([part(2, 1, 7, 1.0), part(0, 3, 8, 2.0), part(0, 1, 9, 3.0)], [5])
    assert joined.frame().rows() == [(0, 1, 9, 3.0), (0, 3, 8, 2.0), (2, 1, 7, 1.0)]
