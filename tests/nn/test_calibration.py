"""Calibration, lists and slices beside brute force; the fitted temperature beside a grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from t4r_lab.nn.metrics.calibration import Calibration, fit_temperature
from t4r_lab.nn.metrics.ranking import Ranks, ranks
from t4r_lab.nn.metrics.recommended_lists import Lists
from t4r_lab.nn.metrics.slices import popularity_group, slices

N, ITEMS = 200, 30


@pytest.fixture
def case() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(N, ITEMS) * 2, torch.randint(1, ITEMS + 1, (N,))


def in_chunks(calibration: Calibration, scores: Tensor, targets: Tensor) -> Calibration:
    for rows in torch.arange(len(scores)).split(37):
        calibration.add(scores[rows], targets[rows])
    return calibration


def test_nll_and_brier_as_of_one_hot_labels(case: tuple[Tensor, Tensor]) -> None:
    scores, targets = case
    metrics = in_chunks(Calibration(), scores, targets).metrics()
    probability, one_hot = torch.softmax(scores.double(), 1), torch.nn.functional.one_hot(targets - 1, ITEMS)
    assert metrics["nll"] == pytest.approx(float(torch.nn.functional.cross_entropy(scores.double(), targets - 1)))
    assert metrics["brier"] == pytest.approx(float((probability - one_hot).square().sum(1).mean()), rel=1e-5)


def test_ece_and_curve_case_by_case(case: tuple[Tensor, Tensor]) -> None:
    scores, targets = case
    calibration = in_chunks(Calibration(bins=10), scores, targets)
    boxes: dict[int, list[tuple[float, float]]] = {}
    for row, target in zip(torch.softmax(scores, 1).tolist(), targets.tolist(), strict=True):
        confidence = max(row)
        boxes.setdefault(min(int(confidence * 10), 9), []).append(
            (confidence, float(row.index(confidence) + 1 == target))
        )
    expected = sum(abs(sum(h - c for c, h in box)) for box in boxes.values()) / N
    assert calibration.metrics()["ece"] == pytest.approx(expected, abs=1e-6)
    curve = [
        (np.mean([c for c, _ in boxes[b]]), np.mean([h for _, h in boxes[b]]), len(boxes[b])) for b in sorted(boxes)
    ]
    for point, (confidence, accuracy, cases) in zip(calibration.curve(), curve, strict=True):
        assert (point["confidence"], point["accuracy"], point["cases"]) == pytest.approx((confidence, accuracy, cases))


def test_the_curve_the_error_and_the_likelihood_of_scikit_learn(case: tuple[Tensor, Tensor]) -> None:
    """scikit-learn comes with mlflow; it has no ECE, which is the mean distance of its curve from the diagonal."""
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import log_loss

    scores, targets = case
    calibration = in_chunks(Calibration(), scores, targets)
    probability = torch.softmax(scores.double(), 1)
    confidence, top = probability.max(1)
    hit = (top + 1 == targets).numpy()
    accuracy, mean = calibration_curve(hit, confidence.numpy(), n_bins=15)
    cases = np.histogram(confidence.numpy(), np.linspace(0, 1, 16))[0]
    curve = calibration.curve()
    assert [row["accuracy"] for row in curve] == pytest.approx(accuracy.tolist())
    assert [row["confidence"] for row in curve] == pytest.approx(mean.tolist(), rel=1e-5)
    metrics = calibration.metrics()
    assert metrics["ece"] == pytest.approx(np.abs(accuracy - mean) @ cases[cases > 0] / N, abs=1e-6)
    assert metrics["nll"] == pytest.approx(log_loss(targets.numpy(), probability.numpy(), labels=range(1, ITEMS + 1)))


def test_a_distribution_that_is_true_is_calibrated() -> None:
    torch.manual_seed(1)
    scores = torch.randn(20_000, 10) * 1.5
    targets = torch.distributions.Categorical(logits=scores).sample() + 1
    good, sharp = Calibration(), Calibration()
    good.add(scores, targets)
    sharp.add(scores * 3, targets)
    assert good.metrics()["ece"] < 0.02 < 0.15 < sharp.metrics()["ece"]
    assert good.metrics()["nll"] < sharp.metrics()["nll"]
    assert good.metrics()["brier"] < sharp.metrics()["brier"]


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_fitted_temperature_is_the_best_of_a_grid(true: float) -> None:
    torch.manual_seed(2)
    queries, weight, bias = torch.randn(3000, 8), torch.randn(25, 8) * 0.7, torch.randn(25) * 0.1
    scores = torch.addmm(bias, queries, weight.T)
    labels = torch.distributions.Categorical(logits=scores / true).sample()
    fitted = fit_temperature(queries, weight, bias, labels, rows=700)
    grid = torch.logspace(-1.5, 1.5, 1501)
    best = min(grid.tolist(), key=lambda t: float(torch.nn.functional.cross_entropy(scores / t, labels)))
    assert fitted == pytest.approx(best, rel=0.005)
    assert fitted == pytest.approx(true, rel=0.15)


@pytest.mark.parametrize("filtered", [0, 4, 3 * ITEMS])
def test_lists_item_by_item(case: tuple[Tensor, Tensor], filtered: int) -> None:
    """With many seen items fewer than k candidates are left, and the lists are shorter."""
    scores, _ = case
    counts = np.arange(ITEMS, dtype=np.int64)  # the first item has no event
    seen = torch.randint(0, ITEMS + 1, (N, filtered)) if filtered else None
    lists = Lists(counts, [3, 5])
    for rows in torch.arange(N).split(64):
        lists.add(scores[rows], seen[rows] if seen is not None else None)
    share = counts / counts.sum()
    for k in (3, 5):
        listed = []
        for row in range(N):
            allowed = [j for j in range(ITEMS) if seen is None or j + 1 not in seen[row].tolist()]
            listed += sorted(allowed, key=lambda j: -float(scores[row, j]))[:k]
        metrics = lists.metrics()
        assert metrics[f"coverage@{k}"] == len(set(listed)) / ITEMS
        assert metrics[f"novelty@{k}"] == pytest.approx(np.mean([-np.log2(max(share[j], share[1])) for j in listed]))
        assert metrics[f"popularity@{k}"] == pytest.approx(np.mean([share[j] for j in listed]))
        exposure = np.bincount(listed, minlength=ITEMS)
        apart = np.abs(exposure[:, None] - exposure).mean()  # of every pair of items
        assert metrics[f"gini@{k}"] == pytest.approx(apart / (2 * exposure.mean()))


def test_slices_by_hand() -> None:
    counts = np.array([50, 20, 20, 10, 0])
    assert popularity_group(counts).tolist() == [0, 1, 1, 2, 2]  # 0, .5, .7, .9 and 1 of the events come before
    ranked = Ranks(np.arange(4), np.array([1, 2, 3, 20]), np.array([1, 1, 2, 5]), np.array([1.0, 3.0, 1.0, 9.0]), (2,))
    rows = {row["slice"]: row for row in slices(ranked, counts)}
    assert {name: row["cases"] for name, row in rows.items()} == {
        "1 event": 1,
        "2 to 3": 2,
        "16 and more": 1,
        "head": 2,
        "middle": 1,
        "tail": 1,
    }
    assert rows["2 to 3"]["recall@2"]["mean"] == 0.5
    half = 1.96 * np.std([0.0, 1.0], ddof=1) / 2**0.5
    assert rows["2 to 3"]["recall@2"]["high"] == pytest.approx(0.5 + half)
    assert rows["tail"]["mrr@2"]["mean"] == 0.0


def test_slices_join_to_the_whole(case: tuple[Tensor, Tensor]) -> None:
    scores, targets = case
    rank = ranks(scores, targets).numpy()
    ranked = Ranks(np.arange(N), np.arange(N) % 20 + 1, targets.numpy(), rank, (5,))
    rows = slices(ranked, np.arange(1, ITEMS + 1))
    for by in ("length", "popularity"):
        mine = [row for row in rows if row["by"] == by]
        assert sum(row["cases"] for row in mine) == N
        whole = sum(row["cases"] * row["ndcg@5"]["mean"] for row in mine) / N
        assert whole == pytest.approx(ranked.metrics()["ndcg@5"])
