"""Certificates: what must hold for every allowed body × masking pair (a table row is enough to be tested)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from t4r_lab.base.reports import Epoch
from t4r_lab.data.sessions.arrays import Sessions
from t4r_lab.nn.batches import make_batch, training_length, training_windows, whole_windows
from t4r_lab.nn.bodies import blocks
from t4r_lab.nn.heads.model import Model
from t4r_lab.nn.inputs import noise
from t4r_lab.nn.layers import query_stream
from t4r_lab.nn.layers.flow import Batch
from t4r_lab.spec import BODY_MASKINGS, RunSpec
from t4r_lab.training import assembly, evaluation, trainer
from tests.support.toy import N_ITEMS, PAIRS, Toy, make_sessions, toy_spec

TOWERS = [("sasrec+gru", "clm"), ("sasrec+bert", "mlm")]
"""Towers are a body like any other."""

pairs = pytest.mark.parametrize(("body", "masking"), [*PAIRS, *TOWERS])


def make(body: str, masking: str, **changes: object) -> tuple[Model, Toy]:
    toy = Toy()
    return assembly.build(toy_spec(body, masking, **changes), toy.schema, toy.item_table()).eval(), toy


def cut(sessions: Sessions, length: np.ndarray, rows: np.ndarray | None = None) -> Sessions:
    """The first `length` events of the chosen sessions."""
    rows = np.arange(len(sessions)) if rows is None else rows
    index = np.concatenate(
        [np.arange(sessions.offsets[r], sessions.offsets[r] + n) for r, n in zip(rows, length, strict=True)]
    )
    return replace(
        sessions,
        values={name: values[index] for name, values in sessions.values.items()},
        offsets=np.concatenate([[0], np.cumsum(length)]).astype(np.int64),
        target_start=sessions.target_start[rows],
        context={name: values[rows] for name, values in sessions.context.items()},
        ids=sessions.ids[rows],
    )


def swap_items(batch: Batch, where: torch.Tensor) -> Batch:
    """The batch with another item and price at the True places."""
    other = batch.ids % N_ITEMS + 1
    columns = dict(batch.columns, item_id=torch.where(where, other, batch.ids))
    columns["price"] = torch.where(where, batch.columns["price"] + 3.0, batch.columns["price"])
    return replace(batch, columns=columns)


def training_reads(model: Model, batch: Batch) -> torch.Tensor:
    """Body output at every target of one training step, (B, T, D), zero elsewhere."""
    torch.manual_seed(5)
    masked = model.masking.training(batch)
    with torch.no_grad():
        return model.head.body(masked) * masked.predict[..., None]


def leak_of(model: Model, toy: Toy) -> float:
    """Largest change of a prediction in training when its own target event is replaced."""
    sessions = toy.part("train")
    windows = training_windows(sessions, training_length(model.masking, model.max_length))
    batch = make_batch(sessions, windows.take(np.arange(24)))
    shift = model.masking.training_extra  # clm reads one position before its target
    before, worst = training_reads(model, batch), 0.0
    for position in range(shift, batch.ids.shape[1]):
        where = torch.zeros_like(batch.ids, dtype=torch.bool)
        where[:, position] = batch.valid[:, position]
        after = training_reads(model, swap_items(batch, where))
        worst = max(worst, float((after - before)[:, position - shift].abs().max()))
    return worst


def leak_within(model: Model, batch: Batch) -> float:
    """As `leak_of`, one event of one session at a time: what is drawn from other sessions stays as it is."""
    shift = model.masking.training_extra
    before, worst = training_reads(model, batch), 0.0
    for row, position in batch.valid.nonzero().tolist():
        if position >= shift:
            where = torch.zeros_like(batch.valid)
            where[row, position] = True
            after = training_reads(model, swap_items(batch, where))
            worst = max(worst, float((after - before)[row, position - shift].abs().max()))
    return worst


@pairs
def test_1_the_target_never_changes_its_own_prediction_in_training(body: str, masking: str) -> None:
    assert leak_of(*make(body, masking)) < 1e-6


@pytest.mark.parametrize("body", [b for b, masking in PAIRS if masking == "clm" and (b, "mlm") in PAIRS])
def test_1_fails_when_the_causal_mask_is_removed(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, toy = make(body, "clm")
    output = blocks.sequence_output
    monkeypatch.setattr(
        blocks, "sequence_output", lambda m, kind, h, lengths, causal, *read: output(m, kind, h, lengths, False, *read)
    )
    assert leak_of(model, toy) > 1e-3


@pytest.mark.parametrize("body", ["gpt2", "llama", "qwen3"])
def test_1_fails_when_a_causal_model_is_told_that_all_may_attend_to_all(
    body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They attend as the caller says."""
    model, toy = make(body, "clm")
    transformer = model.head.body.blocks[-1].transformer
    forward = transformer.forward
    monkeypatch.setattr(transformer, "forward", lambda causal, **rest: forward(causal=False, **rest))
    assert leak_of(model, toy) > 1e-3


def test_1_fails_when_reformer_is_no_decoder() -> None:
    model, toy = make("reformer", "clm")
    for layer in model.head.body.blocks[-1].transformer.encoder.layers:
        layer.attention.self_attention.is_decoder = False
    assert leak_of(model, toy) > 1e-3


@pytest.mark.parametrize("body", ["gru", "lstm"])
def test_1_fails_when_a_recurrent_body_reads_backwards(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, toy = make(body, "clm")
    block = model.head.body.blocks[-1]
    forward = block.forward
    monkeypatch.setattr(block, "forward", lambda hidden, *masked: forward(hidden.flip(1), *masked).flip(1))
    assert leak_of(model, toy) > 1e-3


def test_1_is_shown_to_fail_for_every_body_that_trains_causally() -> None:
    shown = [b for b, masking in PAIRS if masking == "clm" and (b, "mlm") in PAIRS]
    shown += ["gpt2", "llama", "qwen3", "reformer", "gru", "lstm"]
    assert sorted(shown) == sorted(body for body, masking in PAIRS if masking == "clm")


@pytest.mark.parametrize(("body", "masking"), [("gpt2", "clm"), ("xlnet", "clm"), ("xlnet", "plm"), ("gru", "clm")])
@pytest.mark.parametrize("swap", ["feature", "event"])
def test_1_swap_noise_hands_no_session_its_own_target(body: str, masking: str, swap: str) -> None:
    """Every value is another's, and still what is to be predicted changes nothing where it is predicted."""
    model, toy = make(body, masking, model__inputs__swap_noise=1.0, model__inputs__swap=swap)
    model.head.body.inputs.noise.train()  # the noise alone: no dropout
    sessions = toy.part("train")
    batch = make_batch(sessions, training_windows(sessions, 8).take(np.arange(6)))
    assert leak_within(model, batch) < 1e-6


def test_1_fails_when_values_are_swapped_within_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    model, toy = make("gpt2", "clm", model__inputs__swap_noise=1.0)
    model.head.body.inputs.noise.train()
    sessions = toy.part("train")
    batch = make_batch(sessions, training_windows(sessions, 8).take(np.arange(6)))
    monkeypatch.setattr(noise, "donors", lambda real, probability: torch.arange(real.numel()).view_as(real).roll(-1, 1))
    assert leak_within(model, batch) > 1e-3


def test_1_fails_when_the_order_of_a_permutation_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    model, toy = make("xlnet", "plm")
    monkeypatch.setattr(query_stream, "unseen", lambda order: torch.zeros(*order.shape, order.shape[1]))
    assert leak_of(model, toy) > 1e-3


@pairs
@pytest.mark.parametrize("positions", ["last", "all"])
def test_1_the_target_never_changes_its_own_evaluation(body: str, masking: str, positions: str) -> None:
    model, toy = make(body, masking)
    sessions = toy.part("valid")
    spec = toy_spec(body, masking, evaluation__positions=positions)
    scores, original = [], model.head.task.scores

    def spy(hidden: torch.Tensor) -> torch.Tensor:
        scores.append(original(hidden))
        return scores[-1].clone()

    model.head.task.scores = spy  # type: ignore[method-assign]
    evaluation.evaluate(model, sessions, spec)
    before = torch.cat(scores)
    scores.clear()
    ids = sessions.values["item_id"].copy()
    last = sessions.offsets[1:] - 1  # a session's last event is a target and no context
    ids[last] = ids[last] % N_ITEMS + 1
    price = sessions.values["price"].copy()
    price[last] += 3.0
    evaluation.evaluate(model, replace(sessions, values={"item_id": ids, "price": price}), spec)
    assert torch.equal(before, torch.cat(scores))


@pairs
def test_2_random_items_evaluate_at_chance(body: str, masking: str, tmp_path: Path) -> None:
    toy, spec = Toy(structure=0.0), toy_spec(body, masking, evaluation__positions="all")
    model = assembly.build(spec, toy.schema, toy.item_table())
    list(trainer.fit(model, toy, spec, tmp_path))  # type: ignore[arg-type]
    ranks = evaluation.evaluate(model, toy.part("test"), spec)
    chance = 5 / N_ITEMS
    deviation = (chance * (1 - chance) / len(ranks.rank)) ** 0.5
    assert abs(ranks.metrics()["recall@5"] - chance) < 4 * deviation
    assert abs(ranks.rank.mean() - (N_ITEMS + 1) / 2) < 4 * (N_ITEMS / 12**0.5) / len(ranks.rank) ** 0.5


@pairs
@pytest.mark.parametrize("positions", ["last", "all"])
def test_3_evaluation_is_inference_on_what_came_before(body: str, masking: str, positions: str) -> None:
    model, toy = make(body, masking)
    sessions, spec = toy.part("valid"), toy_spec(body, masking, evaluation__positions=positions)
    ranks = evaluation.evaluate(model, sessions, spec)
    lengths = np.diff(sessions.offsets)
    cases = [(r, p) for r, n in enumerate(lengths) for p in (range(1, n) if positions == "all" else [n - 1]) if p]
    assert [(r, p) for r, p in zip(ranks.session, ranks.position, strict=True)] == cases
    prefixes = cut(sessions, ranks.position, ranks.session)
    longest = model.max_length - model.masking.inference_reserve
    with torch.no_grad():
        scores = model.score(make_batch(prefixes, whole_windows(prefixes, longest))).numpy()
    target = np.take_along_axis(scores, ranks.target[:, None] - 1, 1)
    near = 1e-5
    low, high = 1 + (scores > target + near).sum(1), (scores >= target - near).sum(1)
    assert ((low <= ranks.rank) & (ranks.rank <= high)).all()


@pairs
def test_4_the_last_observed_event_changes_the_scores(body: str, masking: str) -> None:
    model, toy = make(body, masking)
    sessions = toy.part("valid")
    windows = whole_windows(sessions, model.max_length - model.masking.inference_reserve)
    batch = make_batch(sessions, windows.take(np.arange(30)))
    last = torch.zeros_like(batch.ids, dtype=torch.bool)
    last[torch.arange(30), batch.lengths - 1] = True
    with torch.no_grad():
        difference = (model.score(batch) - model.score(swap_items(batch, last))).abs().amax(1)
    assert bool((difference > 1e-5).all())  # untrained weights are small; rounding stays below 1e-7


@pairs
def test_5_neither_padding_nor_the_rest_of_the_batch_changes_anything(body: str, masking: str) -> None:
    model, toy = make(body, masking)
    sessions = toy.part("valid")
    short = cut(sessions, np.minimum(np.diff(sessions.offsets), 4))
    windows = whole_windows(short, 4)
    batch = make_batch(short, windows.take(np.arange(12)))
    wider = replace(batch, columns={n: torch.nn.functional.pad(c, (0, 3)) for n, c in batch.columns.items()})
    with torch.no_grad():
        together = model.score(batch)
        alone = torch.cat([model.score(make_batch(short, windows.take(np.array([i])))) for i in range(12)])
        assert float((together - model.score(wider)).abs().max()) <= 1e-5
        assert float((together - alone).abs().max()) <= 1e-5


def one_step(spec: RunSpec, toy: Toy) -> torch.Tensor:
    """What the body gives and what it learns in one training step, as one vector."""
    model = assembly.build(spec, toy.schema, toy.item_table()).train()
    batch = make_batch(toy.part("train"), training_windows(toy.part("train"), 8).take(np.arange(16)))
    torch.manual_seed(5)
    loss = model.loss(batch).mean
    loss.backward()
    return torch.cat(
        [loss.detach()[None], *(p.grad.flatten() for p in model.head.body.parameters() if p.requires_grad)]
    )


@pytest.mark.parametrize("body", BODY_MASKINGS)
def test_6_every_knob_of_a_body_reaches_the_model(body: str) -> None:
    toy = Toy(n=60)
    spec = toy_spec(body, BODY_MASKINGS[body][0], model__body__n_layer=2, model__body__d_model=24)
    before = one_step(spec, toy)  # fails if a parameter that is trained gets no gradient
    assert torch.equal(before, one_step(spec, toy))
    other = {"d_model": 32, "n_layer": 3, "n_head": 4, "dropout": 0.4, "activation": "relu", "initializer_range": 0.1}
    for path in [p for p in spec.knobs() if p.startswith("model.body.") and not p.endswith("kind")]:
        after = one_step(spec.override({path: other[path.removeprefix("model.body.")]}), toy)
        assert before.shape != after.shape or float((before - after).abs().max()) > 1e-6, path


@pairs
def test_7_save_and_load_give_identical_scores(body: str, masking: str, tmp_path: Path) -> None:
    model, toy = make(body, masking)
    assembly.save(model, tmp_path, toy_spec(body, masking), toy.schema)
    loaded, spec, schema = assembly.load(tmp_path)
    assert (spec, schema) == (toy_spec(body, masking), toy.schema)
    sessions = toy.part("valid")
    batch = make_batch(sessions, whole_windows(sessions, 7))
    with torch.no_grad():
        assert torch.equal(model.score(batch), loaded.score(batch))


@pairs
def test_7_a_checkpoint_resumes_to_the_identical_curve(body: str, masking: str, tmp_path: Path) -> None:
    spec, toy = toy_spec(body, masking, train__epochs=3), Toy(n=120)

    def curve(folder: Path, stops: list[int]) -> list[tuple[float, dict[str, float]]]:
        epochs: list[tuple[float, dict[str, float]]] = []
        for stop in [*stops, 10**9]:
            calls = iter(range(10**9))
            model = assembly.build(spec, toy.schema, toy.item_table())
            should_stop = partial(lambda calls, stop: next(calls) >= stop, calls, stop)
            reports = trainer.fit(model, toy, spec, folder, should_stop, resume=True)  # type: ignore[arg-type]
            epochs += [(r.train_loss, r.valid) for r in reports if isinstance(r, Epoch)]
        return epochs

    # 4 steps an epoch: stopped within the first and within the second epoch, then left to finish
    assert curve(tmp_path / "stopped", [1, 4]) == curve(tmp_path / "whole", [])


@pairs
@pytest.mark.parametrize("length", [1, 8, 30])
def test_8_sessions_of_any_length_run(body: str, masking: str, length: int, tmp_path: Path) -> None:
    model, toy = make(body, masking)
    sessions = make_sessions(6, 3, shortest=length, longest=length)
    spec = toy_spec(body, masking, evaluation__positions="all")
    assert len(evaluation.evaluate(model, sessions, spec).rank) == 6 * (length - 1)
    (rows, ids, scores, probabilities), *_ = list(evaluation.score(model, sessions, spec, 5))
    assert ids.shape == (6, 5) and np.isfinite(scores).all() and (probabilities > 0).all() and len(rows) == 6
    mixed = replace(toy, parts={"train": sessions, "valid": toy.part("valid")})
    if length > 1:
        list(trainer.fit(model, mixed, spec, tmp_path))  # type: ignore[arg-type]
