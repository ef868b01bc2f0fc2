"""The chunked loss beyond its reference: memory, precision, processors, extremes; and what a loss starts from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from t4r_lab.base.homes import ensure
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.nn import NextItemPredictionTask
from t4r_lab.nn.kernels import fast_types
from t4r_lab.nn.kernels import linear_cross_entropy as kernel
from t4r_lab.nn.kernels.linear_cross_entropy import linear_cross_entropy
from t4r_lab.runs.evaluate import load_model
from t4r_lab.runs.run import run
from t4r_lab.spec import BCE, BPR, CrossEntropy, SampledSoftmax
from t4r_lab.tracking import find
from tests.support.small import small_data, small_spec


def inputs(n: int, classes: int, width: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(seed)
    real = [
        torch.randn(shape, generator=g, dtype=torch.float64) for shape in ((n, width), (classes, width), (classes,))
    ]
    return (*(t.requires_grad_() for t in real), torch.randint(0, classes, (n,), generator=g))


def test_a_weighted_loss_has_weighted_gradients_and_may_go_backward_twice() -> None:
    hidden, weight, bias, labels = inputs(23, 11, 5)
    plain = 3 * F.cross_entropy(hidden @ weight.T + bias, labels)
    ours = 3 * linear_cross_entropy(hidden, weight, bias, labels)
    for _ in range(2):
        plain.backward(retain_graph=True)
    expected = [t.grad.clone() for t in (hidden, weight, bias) if t.grad is not None]
    for t in (hidden, weight, bias):
        t.grad = None
    for _ in range(2):
        ours.backward(retain_graph=True)
    for t, want in zip((hidden, weight, bias), expected, strict=True):
        torch.testing.assert_close(t.grad, want)


def test_memory_for_logits_is_used_again_and_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    like = torch.empty(7, 2)
    first = kernel._buffer(5, like)
    assert kernel._buffer(3, like).data_ptr() == first.data_ptr()
    assert kernel._buffer(9, like).shape == (9, 7)
    assert kernel._buffer(2, like.double()).dtype == torch.float64
    hidden, weight, bias, labels = inputs(40, 11, 5)
    whole = linear_cross_entropy(hidden, weight, bias, labels).item()
    for rows in (20, 3, 7):  # what an earlier chunk left there is never read
        monkeypatch.setattr(kernel, "rows_per_chunk", lambda classes, rows=rows: rows)
        assert linear_cross_entropy(hidden, weight, bias, labels).item() == pytest.approx(whole, rel=1e-12)


def test_a_loss_read_in_inference_mode_does_not_spoil_training() -> None:
    hidden, weight, bias, labels = inputs(23, 13, 5)
    kernel._memory.__dict__.clear()
    with torch.inference_mode():
        read = linear_cross_entropy(hidden, weight, bias, labels)
    trained = linear_cross_entropy(hidden, weight, bias, labels)
    trained.backward()
    assert trained.item() == read.item() and weight.grad is not None


def test_a_large_catalog_goes_by_quick_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they were one, so that it is done in a moment; and the switch is back where it was."""
    monkeypatch.setattr(kernel, "HALF_CLASSES", range(0))
    switches: list[Any] = []
    mm = torch.mm
    monkeypatch.setattr(torch, "mm", lambda *args, **kw: (switches.append(_switch()), mm(*args, **kw))[1])
    before = _switch()
    hidden, weight, bias = (t.detach().float().requires_grad_() for t in inputs(70, 300, 16)[:3])
    labels = inputs(70, 300, 16)[3]
    plain = F.cross_entropy(hidden @ weight.T + bias, labels, label_smoothing=0.1)
    ours = linear_cross_entropy(hidden, weight, bias, labels, 0.1)
    torch.testing.assert_close(ours, plain)
    wanted = torch.autograd.grad(plain, (hidden, weight, bias))
    for got, want in zip(torch.autograd.grad(ours, (hidden, weight, bias)), wanted, strict=True):
        torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-4)
    assert switches and _switch() == before
    assert all((now != before) == fast_types._onednn_keeps_float32() for now in switches)


def _switch() -> Any:
    return getattr(fast_types._PRODUCTS, "fp32_precision", None)


def test_gradcheck() -> None:
    hidden, weight, bias, labels = inputs(4, 6, 3)
    assert torch.autograd.gradcheck(
        lambda h, w, b: linear_cross_entropy(h, w, b, labels, 0.2, 0.7), (hidden, weight, bias)
    )


def test_a_batch_without_targets_has_no_loss_and_no_gradient() -> None:
    hidden, weight, bias, labels = inputs(0, 6, 3)
    loss = linear_cross_entropy(hidden, weight, bias, labels)
    loss.backward()
    assert float(loss.detach()) == 0 and weight.grad is not None and float(weight.grad.abs().sum()) == 0


def test_large_logits_stay_finite() -> None:
    hidden, weight, bias, labels = inputs(5, 6, 3)
    assert torch.isfinite(linear_cross_entropy(hidden * 1e4, weight, bias, labels, 0.1))


def test_logits_of_the_whole_batch_are_never_held() -> None:
    assert kernel.rows_per_chunk(20_000) * 20_000 <= kernel.LOGITS_PER_CHUNK
    assert kernel.rows_per_chunk(10**9) == 32


@pytest.mark.parametrize("body_dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_bodies_get_gradients_of_their_own_type(body_dtype: torch.dtype) -> None:
    hidden, weight, bias, labels = (t.detach() for t in inputs(8, 6, 3))
    low = hidden.to(body_dtype).requires_grad_()
    loss = linear_cross_entropy(low, weight.float(), bias.float(), labels)
    loss.backward()
    assert loss.dtype == torch.float32 and low.grad is not None and low.grad.dtype == body_dtype


@pytest.mark.parametrize("temperature", [1.0, 0.02])  # the second makes logits that need their peak taken off
@pytest.mark.parametrize("n", [1, 33, 100])
def test_products_in_bfloat16_are_close_to_torch(n: int, temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "HALF_LOGITS_PER_CHUNK", 40 * 300)  # two chunks and a rest, filled up to tiles
    hidden, weight, bias, labels = (t.detach().float() if t.is_floating_point() else t for t in inputs(n, 300, 16))
    hidden, weight, bias = ((t * 0.3).requires_grad_() for t in (hidden, weight, bias))
    plain = F.cross_entropy((hidden @ weight.T + bias) / temperature, labels, label_smoothing=0.1)
    expected = torch.autograd.grad(plain, (hidden, weight, bias))
    ours = linear_cross_entropy(hidden, weight, bias, labels, 0.1, temperature, "bfloat16")
    assert abs(ours.item() - plain.item()) < 2e-3 * plain.item()
    for got, want in zip(torch.autograd.grad(ours, (hidden, weight, bias)), expected, strict=True):
        assert float((got - want).norm() / want.norm()) < (0.01 if temperature == 1 else 0.1)


def test_auto_takes_bfloat16_only_where_it_pays_and_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(kernel, "multiplies_bfloat16", lambda: True)
    assert kernel.multiplies_half("auto", 20_000, cpu, safe=True)
    assert not kernel.multiplies_half("auto", 20_000, cpu, safe=False)
    assert not kernel.multiplies_half("auto", 2_000, cpu, safe=True)
    assert not kernel.multiplies_half("auto", 1_000_000, cpu, safe=True)
    assert not kernel.multiplies_half("float32", 20_000, cpu, safe=True)
    monkeypatch.setattr(kernel, "multiplies_bfloat16", lambda: False)
    assert not kernel.multiplies_half("auto", 20_000, cpu, safe=True)
    assert kernel.multiplies_half("bfloat16", 20, cpu, safe=False)


@pytest.mark.parametrize("scale", [1.0, 30.0])  # within and beyond what exp may be taken of as it is
def test_large_and_small_logits_agree_with_torch_in_float32(scale: float) -> None:
    hidden, weight, bias, labels = inputs(23, 50, 8)
    hidden, weight, bias = (t.detach().float().requires_grad_() for t in (hidden, weight, bias))
    plain = F.cross_entropy(scale * hidden @ weight.T + bias, labels, label_smoothing=0.2)
    ours = linear_cross_entropy(scale * hidden, weight, bias, labels, 0.2)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)
    expected = torch.autograd.grad(plain, (hidden, weight, bias))
    for got, want in zip(torch.autograd.grad(ours, (hidden, weight, bias)), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("amx", [False, True])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_quick_products_are_those_of_float32_on_every_processor(
    amx: bool, bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    has = {"amx_tile": amx, "avx512_bf16": bfloat16}
    monkeypatch.setattr(fast_types, "has_instructions", lambda cpu, name: has[name])
    fast_types._onednn_keeps_float32.cache_clear()
    left, right = torch.randn(130, 64), torch.randn(2_000, 64)
    before = fast_types._PRODUCTS.fp32_precision
    try:
        with fast_types.quick_float32():
            quick = left @ right.T
            assert (fast_types._PRODUCTS.fp32_precision == before) or (bfloat16 and not amx)
    finally:
        fast_types._onednn_keeps_float32.cache_clear()
    assert fast_types._PRODUCTS.fp32_precision == before
    torch.testing.assert_close(quick.double(), left.double() @ right.double().T, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("loss", [CrossEntropy(), SampledSoftmax(), CrossEntropy(prior="uniform"), BCE(), BPR()])
def test_before_training_a_softmax_gives_each_item_its_share_of_the_events(loss: Any) -> None:
    task = NextItemPredictionTask(loss=loss, temperature=0.5)
    task.build(SimpleNamespace(inputs=SimpleNamespace(item_embedding=torch.nn.Embedding(5, 3)), output_dim=3))  # type: ignore[arg-type]
    task.count(torch.tensor([0, 8, 1, 3]))
    shares = task.scores(torch.zeros(1, 3)).softmax(1)[0]
    popular = getattr(loss, "prior", None) == "popularity"
    expected = [1 / 16, 9 / 16, 2 / 16, 4 / 16] if popular else [0.25] * 4
    assert shares.tolist() == pytest.approx(expected)


def test_the_prior_comes_from_what_is_trained_on_alone(tmp_path: Path) -> None:
    data = Dataset.open(small_data(tmp_path / "d", 200))
    for fit_on, parts in (("train", ["train"]), ("train+valid", ["train", "valid"])):
        spec = small_spec(data.path, train__fit_on=fit_on, train__learning_rate=1e-8)
        home = ensure(tmp_path / fit_on)
        model, *_ = load_model(home, find(home, run(spec, home=home).run_id))
        ids = np.concatenate([data.part(name).values["item_id"] for name in parts])
        share = np.log(np.bincount(ids, minlength=data.schema.n_items + 1)[1:] + 1.0)
        np.testing.assert_allclose(model.next_item.bias.detach().numpy(), share - share.mean(), atol=1e-4)
