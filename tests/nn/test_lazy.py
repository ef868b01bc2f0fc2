"""Large tables: a step reads and updates some rows. Beside a dense twin, and beside AdamW by hand."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from t4r_lab.base.reports import Epoch
from t4r_lab.nn.batches import make_batch, training_windows
from t4r_lab.nn.heads.model import Model
from t4r_lab.nn.kernels import table_rows
from t4r_lab.spec import BPR, LOSSES
from t4r_lab.training import assembly, trainer
from t4r_lab.training.optimizer import LazyAdamW, clip_gradients
from tests.support.toy import Toy, toy_spec

TOY = Toy(n=60)
TABLE, BIAS = "head.body.0.inputs._encoders.feature_item_id.table.weight", "head.task.bias"


def make(loss: dict[str, Any], **changes: Any) -> Model:
    spec = toy_spec(model__heads=[{"kind": "next_item", "loss": loss, **changes}], model__body__dropout=0.0)
    return assembly.build(spec, TOY.schema, TOY.item_table(), None, TOY.part("train").item_counts(40))


def gradients(model: Model, large: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Of one batch, with tables of more than `large` rows taken for large ones."""
    monkeypatch.setattr(table_rows, "LARGE", large)
    torch.manual_seed(3)
    model.loss(make_batch(TOY.part("train"), training_windows(TOY.part("train"), 8).take(np.arange(4)))).mean.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", LOSSES)
def test_gradients_are_those_of_a_dense_twin_and_sparse_where_no_loss_reads_all(
    kind: str, tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make({"kind": kind, **({} if kind == "cross_entropy" else {"negatives": 6})}, weight_tying=tied)
    twin = copy.deepcopy(model)
    actual, expected = gradients(model, 39, monkeypatch), gradients(twin, 10**9, monkeypatch)
    monkeypatch.setattr(table_rows, "LARGE", 39)
    sparse = {name for name, grad in actual.items() if grad.is_sparse}
    assert sparse == set(model.lazy)
    assert len(sparse) == {"cross_entropy": 1 - tied}.get(kind, 3 - tied)
    for name, grad in expected.items():
        torch.testing.assert_close(actual[name].to_dense(), grad)


def test_small_tables_have_dense_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make({"kind": "bpr"})
    assert not any(grad.is_sparse for grad in gradients(model, table_rows.LARGE, monkeypatch).values())
    assert model.lazy == []


def sparse(ids: list[int], values: Tensor, size: int) -> Tensor:
    grad = torch.zeros(size, *values.shape[1:], dtype=values.dtype)
    return grad.index_add(0, torch.tensor(ids), values).to_sparse(1)


@pytest.mark.parametrize("shape", [(5, 3), (5,)])
def test_where_every_row_has_a_gradient_it_is_adamw(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    table = torch.nn.Parameter(torch.randn(shape, dtype=torch.float64))
    twin = copy.deepcopy(table)
    lazy = LazyAdamW([table], lr=0.1, weight_decay=0.2, fused=True)
    plain = torch.optim.AdamW([twin], lr=0.1, weight_decay=0.2)
    for _ in range(4):
        values = torch.randn(shape, dtype=torch.float64)
        table.grad, twin.grad = sparse([0, 1, 2, 3, 4], values, 5), values
        lazy.step()
        plain.step()
        torch.testing.assert_close(table, twin)
        assert table.grad is None


def test_rows_without_a_gradient_stay_and_the_others_take_adamws_step() -> None:
    table = torch.nn.Parameter(torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64))
    optimizer = LazyAdamW([table], lr=0.1, betas=(0.9, 0.99), eps=0.0, weight_decay=0.5, fused=True)
    value, mean, square = 2.0, 0.0, 0.0
    for step, grad in enumerate([4.0, None, -1.0], 1):  # of row 1; row 2 has one in the second step alone
        ids, values = ([2], [7.0]) if grad is None else ([1, 1], [grad / 4, grad * 3 / 4])
        table.grad = torch.sparse_coo_tensor(
            torch.tensor([ids]), torch.tensor(values, dtype=torch.float64)[:, None], (3, 1), check_invariants=True
        )
        optimizer.step()
        if grad is not None:
            mean, square = 0.9 * mean + 0.1 * grad, 0.99 * square + 0.01 * grad**2
            corrected = mean / (1 - 0.9**step) / (square / (1 - 0.99**step)) ** 0.5
            value = value * (1 - 0.1 * 0.5) - 0.1 * corrected
        assert table[1].item() == pytest.approx(value, rel=1e-6)
    assert table[0].item() == 1.0
    assert optimizer.state[table]["exp_avg"][0].item() == 0.0


def test_clipping_counts_sparse_gradients_in(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make({"kind": "bce"})
    twin = copy.deepcopy(model)
    actual, expected = gradients(model, 39, monkeypatch), gradients(twin, 10**9, monkeypatch)
    clip_gradients(SimpleNamespace(unscale_gradients=lambda: None), model.parameters(), 0.01)
    norm = torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.01)
    assert norm > 0.01
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad.to_dense(), expected[name])
            assert parameter.grad.is_sparse == actual[name].is_sparse


def test_an_interrupted_training_goes_on_to_the_same_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_rows, "LARGE", 30)
    spec = toy_spec(model__heads=[{"kind": "next_item", "loss": {"kind": "sampled_softmax", "sampler": "log_uniform"}}])

    def fit(folder: str, **options: Any) -> tuple[list[Any], Model]:
        model = assembly.build(spec, TOY.schema, TOY.item_table(), None, TOY.part("train").item_counts(40))
        assert len(model.lazy) == 2
        return list(trainer.fit(model, TOY, spec, tmp_path / folder, **options)), model  # type: ignore[arg-type]

    whole, expected = fit("whole")
    fit("parts", should_stop=lambda: True)
    resumed, model = fit("parts", resume=True)
    curve = lambda reports: [(r.train_loss, r.valid) for r in reports if isinstance(r, Epoch)]  # noqa: E731
    assert curve(resumed) == curve(whole)
    state = expected.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_sampler_is_made_once_and_anew_when_the_counts_change(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = BPR(negatives=4, sampler="log_uniform").build(12)
    first = loss._sampler()
    assert loss._sampler() is first
    loss.counts.copy_(torch.arange(12))
    second = loss._sampler()
    assert second is not first and int(second.log_probability(torch.arange(12)).argmax()) == 11
