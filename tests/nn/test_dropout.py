"""Dropout drops what it says, keeps the expectation, and reaches the bodies."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from t4r_lab.nn.kernels.dropout import Dropout, keep_mask
from t4r_lab.training.assembly import build
from tests.support.toy import SCHEMA, Toy, toy_spec


@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
def test_share_and_scale(p: float) -> None:
    torch.manual_seed(0)
    n = 400_003  # not a multiple of four
    out = Dropout(p).train()(torch.ones(n))
    deviation = (p * (1 - p) / n) ** 0.5
    assert abs(float((out == 0).double().mean()) - p) < 5 * deviation + 1 / 65_536
    assert torch.unique(out[out != 0]).tolist() == pytest.approx([1 / (1 - p)], rel=1e-4 / (1 - p))


def test_neighbors_are_independent() -> None:
    torch.manual_seed(1)
    mask = (keep_mask(torch.Size([400_000]), 0.3, torch.float32) > 0).double()
    for lag in (1, 2, 3, 4):  # four elements share a random word
        pair = torch.stack([mask[lag:], mask[:-lag]])
        assert abs(float(torch.corrcoef(pair)[0, 1])) < 0.01


def test_gradient_is_the_mask() -> None:
    x = torch.randn(7, 5, requires_grad=True)
    out = Dropout(0.4).train()(x)
    out.sum().backward()
    torch.testing.assert_close(x.grad * x, out)


def test_evaluation_and_zero_change_nothing() -> None:
    x = torch.randn(3, 4)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x
    assert not Dropout(1.0).train()(x).any()


def test_seed_decides() -> None:
    drop, x = Dropout(0.5).train(), torch.ones(100)
    torch.manual_seed(3)
    first = drop(x)
    torch.manual_seed(3)
    assert torch.equal(first, drop(x))
    assert not torch.equal(first, drop(x))


@pytest.mark.parametrize("body", ["xlnet", "gpt2", "bert"])
def test_bodies_have_no_other(body: str) -> None:
    model = build(
        toy_spec(body, "clm" if body == "gpt2" else "mlm", model__body__dropout=0.3), SCHEMA, Toy().item_table()
    )
    kinds = {type(m) for m in model.modules() if isinstance(m, nn.Dropout)}
    assert kinds == {Dropout}
