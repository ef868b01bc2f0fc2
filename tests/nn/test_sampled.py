"""Sampled losses beside formulas written out case by case, and the samplers beside counting."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from t4r_lab.families.samplers.in_batch import InBatchSampler
from t4r_lab.families.samplers.log_uniform import LogUniformSampler
from t4r_lab.families.samplers.sampler_table import SAMPLERS
from t4r_lab.families.samplers.uniform import UniformSampler
from t4r_lab.nn.losses import sampled
from t4r_lab.spec import GBCE, LOSSES

ITEMS = 12


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def loss_of(kind: str) -> sampled.PairLoss:
    loss: Any = LOSSES[kind].model_validate({})
    return partial(loss.pair_loss, items=ITEMS)


def by_hand(kind: str, target: float, negatives: list[float]) -> float:
    """The loss of one case over the negatives that count, in plain Python."""
    n, total = len(negatives), sum(math.exp(s) for s in negatives)
    weights = [math.exp(s) / total for s in negatives]
    if kind == "sampled_softmax":
        return math.log(math.exp(target) + total) - target
    if kind == "bce":
        return -math.log(sigmoid(target)) - sum(math.log(1 - sigmoid(s)) for s in negatives)
    if kind == "bpr":
        return -sum(math.log(sigmoid(target - s)) for s in negatives) / n
    if kind == "top1":
        return sum(sigmoid(s - target) + sigmoid(s * s) for s in negatives) / n
    if kind == "top1_max":
        return sum(w * (sigmoid(s - target) + sigmoid(s * s)) for w, s in zip(weights, negatives, strict=True))
    likelihood = sum(w * sigmoid(target - s) for w, s in zip(weights, negatives, strict=True))
    return -math.log(likelihood) + sum(w * s * s for w, s in zip(weights, negatives, strict=True))


@pytest.mark.parametrize("kind", ["sampled_softmax", "bce", "bpr", "top1", "bpr_max", "top1_max"])
def test_each_loss_case_by_case(kind: str) -> None:
    torch.manual_seed(0)
    target, negatives = torch.randn(6), torch.randn(6, 5)
    hit = torch.rand(6, 5) < 0.3
    hit[:, 0] = False
    losses = loss_of(kind)(target, negatives, hit)
    for row in range(6):
        counted = [float(s) for s, h in zip(negatives[row], hit[row], strict=True) if not h]
        assert float(losses[row]) == pytest.approx(by_hand(kind, float(target[row]), counted), rel=1e-5)


@pytest.mark.parametrize("kind", ["sampled_softmax", "bce", "bpr", "top1", "bpr_max", "top1_max"])
def test_negatives_that_all_are_the_target_give_a_finite_loss(kind: str) -> None:
    target, negatives = torch.zeros(2, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    loss = loss_of(kind)(target, negatives, torch.ones(2, 3, dtype=torch.bool)).sum()
    loss.backward()
    assert loss.isfinite() and target.grad is not None and target.grad.isfinite().all()
    assert negatives.grad is not None and not negatives.grad.nan_to_num(1.0).any()


def test_beta_of_gbce() -> None:
    assert GBCE(negatives=256, calibration=0.0).beta(10_001) == 1.0  # plain BCE
    assert GBCE(negatives=256, calibration=1.0).beta(10_001) == pytest.approx(256 / 10_000)
    assert GBCE(negatives=10_000, calibration=0.7).beta(10_001) == 1.0  # every item is drawn: nothing to correct


def test_gbce_learns_the_probability_of_the_target() -> None:
    """With t = 1 the optimum of one item's score has σ(s) = P(item), though negatives are a sample."""
    items, drawn, p = 1001, 100, 0.2
    score = torch.zeros(1, requires_grad=True)
    beta = GBCE(negatives=drawn, calibration=1.0).beta(items)
    optimizer = torch.optim.SGD([score], lr=50.0)
    for _ in range(300):  # expected loss: a target with probability p, else drawn as a negative K/(I-1) of the time
        loss = -p * beta * torch.nn.functional.logsigmoid(score)
        loss = loss - (1 - p) * drawn / (items - 1) * torch.nn.functional.logsigmoid(-score)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    assert score.sigmoid().item() == pytest.approx(p, abs=1e-3)


COUNTS = torch.tensor([5, 0, 90, 1, 40, 7, 7, 300, 2, 20, 3, 11])


@pytest.mark.parametrize("kind", list(SAMPLERS))
def test_samplers_draw_by_the_probabilities_they_state(kind: str) -> None:
    torch.manual_seed(0)
    sampler = SAMPLERS[kind].model_validate({}).build(COUNTS)
    labels = torch.distributions.Categorical(COUNTS.clamp(min=1).float()).sample((200_000,))
    drawn = sampler.draw(300_000, labels)
    share = torch.bincount(drawn, minlength=ITEMS).double() / len(drawn)
    stated = sampler.log_probability(torch.arange(ITEMS)).double().exp()
    assert float(stated.sum()) == pytest.approx(1.0, abs=1e-5)
    deviation = (stated * (1 - stated) * (1 / 300_000 + (1 / 200_000 if kind == "in_batch" else 0))).sqrt()
    assert ((share - stated).abs() < 5 * deviation).all()


def test_log_uniform_follows_popularity() -> None:
    stated = LogUniformSampler(COUNTS).log_probability(COUNTS.argsort(descending=True, stable=True))
    expected = [math.log((r + 2) / (r + 1)) / math.log(ITEMS + 1) for r in range(ITEMS)]
    assert stated.exp().tolist() == pytest.approx(expected, rel=1e-5)


def test_in_batch_draws_targets_only() -> None:
    drawn = InBatchSampler(COUNTS).draw(50, torch.tensor([3, 8]))
    assert set(drawn.tolist()) <= {3, 8}


def tensors() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(4)
    return torch.randn(9, 4), torch.randn(ITEMS, 4), torch.randn(ITEMS), torch.randint(0, ITEMS, (9,))


def test_a_softmax_over_every_item_is_the_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, weight, bias, labels = tensors()
    loss = sampled.SampledLoss(loss_of("sampled_softmax"), UniformSampler, ITEMS, ITEMS, correct=True)
    monkeypatch.setattr(UniformSampler, "draw", lambda self, count, labels: torch.arange(ITEMS))
    full = torch.nn.functional.cross_entropy((queries @ weight.T + bias) / 0.7, labels, reduction="sum")
    torch.testing.assert_close(len(labels) * loss(queries, weight, bias, labels, 0.7), full)


@pytest.mark.parametrize("kind", list(SAMPLERS))
def test_corrected_samples_estimate_the_full_softmax(kind: str) -> None:
    """The gradient over many draws is that of the full softmax; without log Q it is another one for a skewed law."""
    torch.manual_seed(5)
    queries, weight, labels = torch.randn(4, 3), torch.randn(ITEMS, 3) * 0.5, torch.tensor([7, 2, 4, 9])
    bias = torch.zeros(ITEMS, requires_grad=True)
    full = torch.nn.functional.cross_entropy(queries @ weight.T + bias, labels, reduction="sum")
    (expected,) = torch.autograd.grad(full, bias)
    errors = {}
    for correct in (True, False):
        loss = sampled.SampledLoss(
            loss_of("sampled_softmax"), SAMPLERS[kind].model_validate({}).build, 3000, ITEMS, correct
        )
        loss.counts.copy_(COUNTS)
        if kind == "in_batch":  # a batch whose targets follow the counts
            draw = torch.distributions.Categorical(COUNTS.clamp(min=1).float()).sample((3000,))
            loss.forward = partial(_with_batch, loss, draw)  # type: ignore[method-assign]
        (gradient,) = torch.autograd.grad(len(labels) * loss(queries, weight, bias, labels, 1.0), bias)
        errors[correct] = float((gradient - expected).abs().max())
    assert errors[True] < 0.25
    if kind != "uniform":
        assert errors[True] < errors[False] / 2


def _with_batch(loss: sampled.SampledLoss, batch: Tensor, *arguments: object) -> Tensor:
    draw = InBatchSampler.draw
    try:
        InBatchSampler.draw = lambda self, count, labels: draw(self, count, batch)  # type: ignore[method-assign]
        return sampled.SampledLoss.forward(loss, *arguments)  # type: ignore[arg-type]
    finally:
        InBatchSampler.draw = draw  # type: ignore[method-assign]


def test_no_target_no_loss() -> None:
    queries, weight, bias, labels = tensors()
    loss = sampled.SampledLoss(loss_of("bce"), InBatchSampler, 5, ITEMS)
    assert float(loss(queries[:0], weight, bias, labels[:0], 1.0)) == 0.0
