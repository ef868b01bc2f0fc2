"""The loop: learning, schedules, stopping, checkpoints, precision."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Epoch, Progress, Stopped
from t4r_lab.baselines.baseline_ranks import evaluate
from t4r_lab.baselines.popularity_baseline import Popularity
from t4r_lab.nn.batches import make_batch, whole_windows
from t4r_lab.nn.layers.flow import Batch, Masked
from t4r_lab.nn.masking import MaskedLM
from t4r_lab.spec import RunSpec, TrainSpec
from t4r_lab.training import assembly, checkpoint, evaluation, loss_meter, trainer
from t4r_lab.training.accelerator import make_accelerator
from t4r_lab.training.optimizer import make_optimizer, rate_factor
from tests.support.toy import N_ITEMS, Toy, make_sessions, toy_spec


def fit(spec: RunSpec, toy: Toy, folder: Path, **options: Any) -> tuple[list[Any], Any]:
    model = assembly.build(spec, toy.schema, toy.item_table())
    return list(trainer.fit(model, toy, spec, folder, **options)), model  # type: ignore[arg-type]


def test_it_learns_what_a_rule_of_the_data_allows(tmp_path: Path) -> None:
    toy = Toy(n=600)
    spec = toy_spec(train__epochs=8, evaluation__positions="all")
    _, model = fit(spec, toy, tmp_path)
    recall = evaluation.evaluate(model, toy.part("test"), spec).metrics()["recall@5"]
    best = 0.8 + 0.2 * 5 / N_ITEMS  # the successor rule, and chance elsewhere
    popular = evaluate(Popularity(toy.part("train"), N_ITEMS), toy.part("test"), spec.evaluation).metrics()["recall@5"]
    assert popular < 0.25
    assert 0.7 < recall <= best + 0.06


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path: Path) -> None:
    toy = Toy()
    one, two, other = (
        fit(toy_spec(train__seed=seed), toy, tmp_path / name)[0] for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    )
    curve = lambda reports: [(r.train_loss, r.valid) for r in reports if isinstance(r, Epoch)]  # noqa: E731
    assert curve(one) == curve(two) != curve(other)


def test_the_best_epoch_is_kept_and_training_stops_after_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fixed:
        values = iter([0.1, 0.3, 0.2, 0.2, 0.9] * 2)

        def metrics(self) -> dict[str, float]:
            return {"ndcg@5": next(self.values)}

    spec = toy_spec(train__epochs=5, train__patience=2)
    monkeypatch.setattr(evaluation, "evaluate", lambda *a, **k: Fixed())
    reports, model = fit(spec, Toy(), tmp_path)
    epochs = [r for r in reports if isinstance(r, Epoch)]
    assert [e.best for e in epochs] == [True, True, False, False]
    assert reports[-1] == Stopped("early stopping", 2, reports[-1].seconds)
    Fixed.values = iter([0.1, 0.3])
    after_two = iter([False] * 2 * (reports[0].total // 5) + [False, True])  # asked after each batch and each epoch
    stopped, second = fit(spec, Toy(), tmp_path / "b", should_stop=lambda: next(after_two))
    assert stopped[-1].reason == "interrupted"
    state, expected = model.state_dict(), second.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in state)


def test_a_stop_finishes_the_batch_and_can_be_resumed(tmp_path: Path) -> None:
    reports, _ = fit(toy_spec(), Toy(), tmp_path, should_stop=lambda: True)
    assert reports[-1].reason == "interrupted"
    assert not any(isinstance(r, Epoch) for r in reports)
    assert (tmp_path / checkpoint.FILE).exists()
    assert [p.name for p in tmp_path.iterdir()] == [checkpoint.FILE]  # nothing half-written
    resumed, _ = fit(toy_spec(), Toy(), tmp_path, resume=True)
    assert resumed[-1].reason == "finished"


def test_a_process_that_dies_within_an_epoch_goes_on_from_within_it(tmp_path: Path) -> None:
    spec = toy_spec(train__checkpoint_seconds=0)
    checks: list[int] = []  # after each batch and each epoch

    def goes_on() -> bool:
        checks.append(1)
        return False

    def dies() -> bool:
        checks.append(1)
        if len(checks) == 4:
            raise KeyboardInterrupt
        return False

    whole, expected = fit(spec, Toy(), tmp_path / "whole", should_stop=goes_on)
    undisturbed = len(checks)
    checks.clear()

    with pytest.raises(KeyboardInterrupt):
        fit(spec, Toy(), tmp_path, should_stop=dies)
    checks.clear()
    resumed, model = fit(spec, Toy(), tmp_path, resume=True, should_stop=goes_on)
    assert len(checks) == undisturbed - 3  # three batches had been kept, the fourth had not
    curve = lambda reports: [(r.train_loss, r.valid) for r in reports if isinstance(r, Epoch)]  # noqa: E731
    assert curve(resumed) == curve(whole)
    state = expected.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_damaged_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    fit(toy_spec(), Toy(), tmp_path, should_stop=lambda: True)
    with pytest.raises(InputError, match="not a checkpoint of this run"):
        fit(toy_spec("gru"), Toy(), tmp_path, resume=True)
    path = tmp_path / checkpoint.FILE
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="not a checkpoint of this run"):
        fit(toy_spec(), Toy(), tmp_path, resume=True)


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(toy_spec(), Toy(), tmp_path, should_stop=lambda: True)
    before = (tmp_path / checkpoint.FILE).read_bytes()

    def full(tensors: Any, path: str, metadata: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space"):
        fit(toy_spec(), Toy(), tmp_path, resume=True)
    assert [p.name for p in tmp_path.iterdir()] == [checkpoint.FILE]
    assert (tmp_path / checkpoint.FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("linear", [1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        ("cosine", [1 / 3, 2 / 3, *(0.5 * (1 + math.cos(math.pi * i / 8)) for i in range(8))]),
    ],
)
def test_learning_rate_schedules(schedule: str, expected: list[float]) -> None:
    factor = rate_factor(TrainSpec(schedule=schedule, warmup=0.2), 10)  # type: ignore[arg-type]
    assert [factor(i) for i in range(10)] == pytest.approx(expected)


def test_gradients_are_clipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms = []
    step = torch.optim.AdamW.step

    def spy(self: Any, *a: Any, **k: Any) -> Any:
        parameters = [p for g in self.param_groups for p in g["params"]]
        norms.append(float(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).norm()))
        return step(self, *a, **k)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    fit(toy_spec(train__clip_norm=0.01, train__epochs=1), Toy(), tmp_path / "a")
    assert max(norms) <= 0.0101
    norms.clear()
    fit(toy_spec(train__clip_norm=None, train__epochs=1), Toy(), tmp_path / "b")
    assert max(norms) > 0.0101


def test_weight_decay_spares_biases_and_norms() -> None:
    model = assembly.build(toy_spec(), Toy().schema, Toy().item_table())
    decayed, spared = make_optimizer(model, TrainSpec(weight_decay=0.1)).param_groups
    assert decayed["weight_decay"] == 0.1
    assert spared["weight_decay"] == 0
    assert all(p.ndim < 2 for p in spared["params"])
    assert len(decayed["params"]) + len(spared["params"]) == sum(p.requires_grad for p in model.parameters())


def test_every_trained_parameter_gets_a_gradient() -> None:
    """Else several processes would wait for gradients that never come."""
    from t4r_lab.nn.batches import make_batch, training_windows
    from tests.support.toy import PAIRS

    sessions = Toy().part("train")
    for body, masking in PAIRS:
        model = assembly.build(toy_spec(body, masking), Toy().schema, Toy().item_table())
        model.loss(make_batch(sessions, training_windows(sessions, 8))).mean.backward()
        missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not missing, (body, masking)


@pytest.mark.parametrize(("body", "masking"), [("gpt2", "clm"), ("xlnet", "plm"), ("bert", "rtd")])
def test_bfloat16_trains_close_to_float32(body: str, masking: str, tmp_path: Path) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        reports, _ = fit(toy_spec(body, masking, train__precision=precision), Toy(), tmp_path / precision)
        losses.append(next(r.train_loss for r in reversed(reports) if isinstance(r, Epoch)))
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0] != losses[1]


def test_wrong_training_data_and_precision(tmp_path: Path) -> None:
    single = replace(Toy(), parts={"train": make_sessions(5, 0, longest=1)})
    with pytest.raises(InputError, match="no training session has two events"):
        fit(toy_spec(), single, tmp_path)
    if not torch.accelerator.is_available():
        with pytest.raises(InputError, match="float16 needs an accelerator"):
            fit(toy_spec(train__precision="float16"), Toy(), tmp_path)


def test_what_nothing_can_be_learned_from_is_skipped_and_counted(tmp_path: Path) -> None:
    class Picky(MaskedLM):
        """Trains on full batches only."""

        def training(self, batch: Batch) -> Masked:
            masked = super().training(batch)
            none = torch.zeros_like(masked.predict)
            return masked if len(batch.ids) == 32 else replace(masked, predict=none, labels=masked.labels[:0])

    toy, spec = Toy(), toy_spec("bert", "mlm", train__epochs=1)
    lengths = np.diff(toy.part("train").offsets)
    single, rest = int((lengths == 1).sum()), int((lengths > 1).sum()) % 32
    assert single > 0 and rest > 0
    assert [r.skipped for r in fit(spec, toy, tmp_path / "a")[0] if isinstance(r, Epoch)] == [single]
    model = assembly.build(spec, toy.schema, toy.item_table())
    model.head.body.inputs.masking = Picky()
    reports = list(trainer.fit(model, toy, spec, tmp_path / "b"))  # type: ignore[arg-type]
    (epoch,) = (r for r in reports if isinstance(r, Epoch))
    assert epoch.skipped == single + rest
    assert epoch.train_loss > 1  # of what was trained on


def test_a_batch_without_targets_leaves_the_weights_as_they_are(tmp_path: Path) -> None:
    model = assembly.build(toy_spec("xlnet", "plm"), Toy().schema, Toy().item_table())
    optimizer = make_optimizer(model, TrainSpec())
    single = make_batch(make_sessions(5, 0, longest=1), whole_windows(make_sessions(5, 0, longest=1), 8))
    before = [p.clone() for p in model.parameters()]
    accelerator = make_accelerator(TrainSpec(device="cpu"))
    assert trainer.train_step(accelerator, model, optimizer, single, model.weights, 1.0)["next_item"][1] == 0
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_diverged_run_fails_with_a_remedy(tmp_path: Path) -> None:
    model = assembly.build(toy_spec(), Toy().schema, Toy().item_table())
    with torch.no_grad():
        model.head.task.bias[3] = float("nan")
    with pytest.raises(loss_meter.Diverged, match=r"lower train\.learning_rate"):
        list(trainer.fit(model, Toy(), toy_spec(), tmp_path))  # type: ignore[arg-type]


def test_a_final_fit_uses_both_parts_and_keeps_the_last_epoch(tmp_path: Path) -> None:
    toy = Toy()
    both = make_sessions(500, 4)
    reports, _ = fit(toy_spec(train__fit_on="train+valid"), replace(toy, parts={"train+valid": both}), tmp_path)
    epochs = [r for r in reports if isinstance(r, Epoch)]
    assert [(e.valid, e.best) for e in epochs] == [({}, True), ({}, True)]
    assert reports[-1].best_epoch == 2


def test_progress_counts_every_step_to_the_end(tmp_path: Path) -> None:
    reports, _ = fit(toy_spec(), Toy(), tmp_path)
    progress = [r for r in reports if isinstance(r, Progress)]
    assert progress[-1].done == progress[-1].total
    assert all(a.done < b.done for a, b in itertools.pairwise(progress))
    assert {"loss", "learning_rate"} == set(progress[-1].figures)


def test_scores_are_the_top_of_the_softmax_and_seen_items_can_be_filtered() -> None:
    toy, spec = Toy(), toy_spec()
    model = assembly.build(spec, toy.schema, toy.item_table()).eval()
    sessions = toy.part("test")
    rows, ids, scores, probabilities = (
        np.concatenate(p) for p in zip(*evaluation.score(model, sessions, spec, N_ITEMS), strict=True)
    )
    assert sorted(rows.tolist()) == list(range(len(sessions)))
    assert probabilities.sum(1) == pytest.approx(np.ones(len(rows)), abs=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    unseen = toy_spec(evaluation__filter_seen=True)
    for rows, ids, _, _ in evaluation.score(model, sessions, unseen, 5):
        for row, best in zip(rows, ids, strict=True):
            seen = sessions.values["item_id"][sessions.offsets[row] : sessions.offsets[row + 1]]
            assert not set(best.tolist()) & set(seen.tolist())
