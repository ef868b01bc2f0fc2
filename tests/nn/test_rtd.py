"""Replaced item detection against hand-worked batches, drawn frequencies and pairs counted one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from t4r_lab.base.reports import Epoch
from t4r_lab.nn.batches import make_batch, training_windows
from t4r_lab.nn.heads import replaced_items
from t4r_lab.nn.heads.model import Model
from t4r_lab.nn.layers.flow import Batch, Masked
from t4r_lab.training import assembly, trainer
from tests.support.toy import N_ITEMS, Toy, toy_spec


def make(body: str = "bert", masking: str = "rtd", **changes: Any) -> Model:
    return assembly.build(toy_spec(body, masking, **changes), Toy().schema, Toy().item_table())


def batch() -> Batch:
    sessions = Toy().part("train")
    return make_batch(sessions, training_windows(sessions, 8))


def step(model: Model, seed: int = 0) -> tuple[Masked, Tensor]:
    """A masked batch and the generator's output at its targets."""
    torch.manual_seed(seed)
    masked = model.masking.training(batch())
    return masked, model.head.body(masked)[masked.predict]


class Fixed:
    """A generator with the same scores for every row."""

    candidates = torch.empty(5, 1)

    def __init__(self, scores: list[float]) -> None:
        self._scores = torch.tensor(scores)

    def scores(self, hidden: Tensor) -> Tensor:
        return self._scores.expand(len(hidden), -1)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_items_are_drawn_from_the_softmax_a_chunk_at_a_time(
    temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaced_items, "rows_per_chunk", lambda classes: 7_000)
    generator, count = Fixed([0.0, 1.0, -1.0, 2.0, 0.5]), 50_000
    torch.manual_seed(0)
    drawn = replaced_items.draw_items(generator, torch.zeros(count, 1), temperature)
    expected = torch.softmax(generator._scores / temperature, 0)
    frequencies = torch.bincount(drawn, minlength=6)[1:] / count
    assert drawn.shape == (count,)
    assert bool(((frequencies - expected).abs() < 5 * (expected * (1 - expected) / count).sqrt()).all())


def test_attributes_follow_the_drawn_item_and_what_is_measured_stays() -> None:
    model = make().eval()
    inputs, masked = model.head.body.inputs, step(model)[0]
    drawn = masked.labels % N_ITEMS + 1
    corrupted = replaced_items.corrupt(masked, drawn)
    ids = masked.batch.ids.clone()
    for (row, position), item in zip(masked.predict.nonzero().tolist(), drawn.tolist(), strict=True):
        ids[row, position] = item
    table = {name: torch.as_tensor(values) for name, values in Toy().item_table().items()}
    columns = {
        **masked.batch.columns,
        "item_id": ids,
        "category": table["category"][ids],
        "genres": table["genres"][ids],
    }
    by_hand = torch.cat([encoder(columns[name]) for name, encoder in inputs.encoders.items()], -1)
    torch.testing.assert_close(inputs(corrupted), by_hand)
    assert torch.equal(corrupted.batch.columns["price"], masked.batch.columns["price"])
    assert corrupted.hidden is None and torch.equal(corrupted.predict, masked.batch.valid)
    assert torch.equal(corrupted.batch.ids[~masked.predict], masked.batch.ids[~masked.predict])


def test_a_true_item_that_is_drawn_counts_as_an_original(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make().eval()
    masked, hidden = step(model)
    detector, body, real = model.head.detector, model.head.body, masked.batch.valid
    assert detector is not None
    wrong = torch.arange(len(masked.labels)) % 3 > 0
    drawn = torch.where(wrong, masked.labels % N_ITEMS + 1, masked.labels)
    monkeypatch.setattr(replaced_items, "draw_items", lambda *args: drawn)
    replaced = torch.zeros_like(masked.predict)
    replaced[masked.predict] = wrong
    logits = detector(body, replaced_items.corrupt(masked, drawn))
    terms = [  # every real event is judged, hidden or not
        -F.logsigmoid(logits[r, t] if replaced[r, t] else -logits[r, t]) for r, t in real.nonzero().tolist()
    ]
    torch.testing.assert_close(detector.loss(body, model.head.task, masked, hidden).mean, torch.stack(terms).mean())


def test_the_loss_is_mlm_plus_weight_times_the_discriminators() -> None:
    masked_only = make(masking="mlm")
    torch.manual_seed(4)
    mlm = masked_only.loss(batch())
    for weight in (0.0, 1.0, 7.0):
        model = make(model__masking__weight=weight)
        torch.manual_seed(4)
        losses = model.losses(batch())
        torch.manual_seed(4)
        loss = model.loss(batch()).mean
        assert torch.equal(losses["next_item"].mean, mlm.mean) and losses["next_item"].targets == mlm.targets
        assert 0.1 < float(losses["discriminator"].mean.detach()) < 1.5
        assert losses["discriminator"].targets == int(batch().valid.sum())
        torch.testing.assert_close(loss, mlm.mean + weight * losses["discriminator"].mean)
        assert weight > 0 or torch.equal(loss, mlm.mean)


@pytest.mark.parametrize(("discriminator", "shared"), [("shared", True), ("separate", False)])
def test_the_body_is_shared_or_its_own_and_the_input_block_shared_always(discriminator: str, shared: bool) -> None:
    model = make(model__masking__discriminator=discriminator, model__body__dropout=0.0)
    masked, hidden = step(model)
    detector, body = model.head.detector, model.head.body
    assert detector is not None
    loss = detector.loss(body, model.head.task, masked, hidden).mean
    (through_draw,) = torch.autograd.grad(loss, hidden, retain_graph=True, allow_unused=True)
    assert through_draw is None  # no gradient through the draw
    loss.backward()
    parameters = [p for p in body.blocks.parameters() if p.requires_grad]
    assert all((p.grad is not None) == shared for p in parameters)
    assert body.inputs.item_embedding.weight.grad is not None
    if not shared:
        assert detector.body is not None and detector.body.inputs is body.inputs
        assert not {id(p) for p in detector.body.blocks.parameters()} & {id(p) for p in parameters}
        assert all(p.grad is not None for p in detector.body.blocks.parameters() if p.requires_grad)


def area_under_curve(logits: Tensor, replaced: Tensor) -> float:
    """Share of the pairs of a replaced and an original event in which the replaced one has the higher logit."""
    above = logits[replaced][:, None] - logits[~replaced][None]
    return float((above > 0).double().mean() + 0.5 * (above == 0).double().mean())


@pytest.mark.parametrize("discriminator", ["shared", "separate"])
def test_the_discriminator_learns_on_held_out_sessions(discriminator: str, tmp_path: Path) -> None:
    """It beats the base rate by far, with either body alike, where replacements are drawn almost evenly.

    At temperature 1 a generator that has learned the rule of these sessions leaves little to find.
    """
    knobs = {"probability": 0.3, "discriminator": discriminator, "temperature": 20.0}
    spec = toy_spec(
        "sasrec",
        "rtd",
        model__body__d_model=32,
        model__body__dropout=0.0,
        train__epochs=24,
        train__batch_size=64,
        **{f"model__masking__{name}": value for name, value in knobs.items()},
    )
    toy = Toy(n=1500, structure=1.0)
    model, sessions = assembly.build(spec, toy.schema, toy.item_table()), toy.part("test")
    held_out, detector = make_batch(sessions, training_windows(sessions, 8)), model.head.detector
    assert detector is not None

    def judged() -> tuple[float, float, float]:
        """AUC, cross-entropy, and the cross-entropy of who knows the base rate alone."""
        model.eval()
        torch.manual_seed(1)
        masked = model.masking.training(held_out)
        with torch.no_grad():
            hidden = model.head.body(masked)[masked.predict]
            corrupted = replaced_items.corrupt(masked, replaced_items.draw_items(model.head.task, hidden, 20.0))
            logits = detector(model.head.body, corrupted)[corrupted.predict]
        replaced = (corrupted.batch.ids != masked.batch.ids)[corrupted.predict]
        share = replaced.double().mean()
        entropy = -(share * share.log() + (1 - share) * (1 - share).log())
        loss = F.binary_cross_entropy_with_logits(logits, replaced.float())
        return area_under_curve(logits, replaced), float(loss), float(entropy)

    area, loss, entropy = judged()
    assert abs(area - 0.5) < 0.1 and loss > entropy - 0.02
    list(trainer.fit(model, toy, spec, tmp_path))  # type: ignore[arg-type]
    area, loss, entropy = judged()
    assert area > 0.7 and loss < 0.9 * entropy


def test_both_losses_are_reported_and_resumed(tmp_path: Path) -> None:
    spec, toy = toy_spec("bert", "rtd", model__masking__weight=5.0, train__epochs=2), Toy(n=120)

    def epochs(folder: Path, **options: Any) -> list[Epoch]:
        model = assembly.build(spec, toy.schema, toy.item_table())
        return [r for r in trainer.fit(model, toy, spec, folder, **options) if isinstance(r, Epoch)]  # type: ignore[arg-type]

    whole = epochs(tmp_path / "whole")
    for report in whole:
        assert set(report.losses) == {"next_item", "discriminator"}
        total = report.losses["next_item"] + 5.0 * report.losses["discriminator"]
        assert report.train_loss == pytest.approx(total, rel=1e-5)
    calls = iter(range(10**9))
    assert not epochs(tmp_path / "stopped", should_stop=lambda: next(calls) >= 1)  # in the midst of the first epoch
    resumed = epochs(tmp_path / "stopped", resume=True)
    assert [r.losses for r in resumed] == [r.losses for r in whole]


@pytest.mark.parametrize("discriminator", ["shared", "separate"])
def test_the_discriminator_is_saved_with_the_model(discriminator: str, tmp_path: Path) -> None:
    spec = toy_spec("xlnet", "rtd", model__masking__discriminator=discriminator)
    model = assembly.build(spec.override({"train.seed": 3}), Toy().schema, Toy().item_table()).eval()
    assembly.save(model, tmp_path, spec, Toy().schema)
    loaded, _, _ = assembly.load(tmp_path)
    masked, _ = step(model)
    judged = [m.head.detector(m.head.body, replace(masked, hidden=None)) for m in (model, loaded)]  # type: ignore[misc]
    assert torch.equal(*judged)
