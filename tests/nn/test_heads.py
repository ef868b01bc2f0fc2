"""Label tasks and several heads: metrics against scikit-learn, leaks, and the whole way on synthetic data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from t4r_lab import tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Epoch, silent
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.synthetic import Generator
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.families.metrics.metric_table import metrics_of
from t4r_lab.nn import BinaryClassificationTask, Head, Model, NextItemPredictionTask, RegressionTask
from t4r_lab.nn.batches import label_windows, make_batch, whole_windows
from t4r_lab.nn.heads.tasks import SUMMARIES
from t4r_lab.runs import compare, evaluate, recommend, run
from t4r_lab.schema.columns import Column
from t4r_lab.spec import LABEL_METRICS, RunSpec
from t4r_lab.spec.head_specs import LABEL_HEADS
from t4r_lab.training import assembly, evaluation, trainer
from tests.support.small import small_spec
from tests.support.toy import SCHEMA, Toy, make_sessions, toy_spec, with_labels

HEADS = [{"kind": "next_item"}, {"kind": "binary", "column": "purchase"}, {"kind": "regression", "column": "price"}]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    events = Generator(n_items=40).events(400)
    return prepare(events, tmp_path_factory.mktemp("heads") / "d", PrepareOptions(targets=["purchase", "price"]))


def spec_of(data: Dataset, heads: Any = HEADS, masking: str = "clm", **changes: Any) -> RunSpec:
    body = {"kind": "xlnet" if masking == "mlm" else "gru", "d_model": 8, "n_layer": 1}
    return small_spec(data.path, model__heads=heads, model__masking={"kind": masking}, model__body=body, **changes)


# ── metrics and summaries ───────────────────────────────────────────────────────────────────────


def test_metrics_are_those_of_scikit_learn() -> None:
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    weight, label, score = (
        rng.integers(0, 4, 300).astype(float),
        rng.integers(0, 2, 300) * 1.0,
        rng.random(300).round(1),
    )
    metrics = {name: row.compute(label, score, weight) for name, row in metrics_of("binary").items()}
    assert metrics["auc"] == pytest.approx(sk.roc_auc_score(label, score, sample_weight=weight))
    assert metrics["average_precision"] == pytest.approx(sk.average_precision_score(label, score, sample_weight=weight))
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(label, score > 0.5, sample_weight=weight))
    classes, shares = rng.integers(0, 3, 300), rng.dirichlet(np.ones(3), 300)
    metrics = {name: row.compute(classes * 1.0, shares, weight) for name, row in metrics_of("categorical").items()}
    each = [
        (
            sk.roc_auc_score(classes == c, shares[:, c], sample_weight=weight),
            sk.average_precision_score(classes == c, shares[:, c], sample_weight=weight),
        )
        for c in range(3)
    ]
    assert (metrics["auc"], metrics["average_precision"]) == pytest.approx(tuple(np.mean(each, 0)))
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(classes, shares.argmax(1), sample_weight=weight))
    metrics = {name: row.compute(score, label, weight) for name, row in metrics_of("regression").items()}
    assert metrics["rmse"] == pytest.approx(sk.mean_squared_error(score, label, sample_weight=weight) ** 0.5)
    assert metrics["mae"] == pytest.approx(sk.mean_absolute_error(score, label, sample_weight=weight))
    classified = ("auc", "average_precision", "accuracy")
    assert {"binary": classified, "categorical": classified, "regression": ("rmse", "mae")} == LABEL_METRICS


@pytest.mark.parametrize("summary", SUMMARIES)
def test_summaries_leave_padding_out(summary: str) -> None:
    torch.manual_seed(0)
    module, hidden = SUMMARIES[summary](6), torch.randn(2, 5, 6)
    valid = torch.tensor([[True, True, True, False, False], [True] * 5])
    summaries = module(torch.where(valid[..., None], hidden, torch.inf), valid)
    real = hidden[0, :3]
    if summary == "attention":
        by_hand = torch.softmax(module.score(real)[:, 0], 0) @ real
    else:
        by_hand = {"last": real[-1], "first": real[0], "mean": real.mean(0)}[summary]
    torch.testing.assert_close(summaries[0], by_hand)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("level", "positions"), [("session", "all"), ("event", "last"), ("event", "all")])
def test_every_label_is_read_once_behind_its_own_event(causal: bool, level: str, positions: str) -> None:
    sessions = make_sessions(60, 0)
    sessions.target_start[:] = np.random.default_rng(0).integers(1, 5, 60)
    expected = []
    for row, n in enumerate(sessions.lengths):
        start = sessions.target_start[row]
        if level == "session":
            expected.append((row, n - 1))
        elif n > start:
            expected += [(row, t) for t in (range(start, n) if positions == "all" else [n - 1])]
    windows = label_windows(sessions, 4, level, positions, causal)
    labels = []
    for row, start, stop, read in zip(windows.row, windows.start, windows.stop, windows.read, strict=True):
        for position in range(start + read, stop):
            labels.append((row, position))
            assert position + 1 - start == min(position + 1, 4)  # as much context as fits
    assert sorted(labels) == expected


@pytest.mark.parametrize("tied", [True, False])
def test_scores_of_items_follow_the_formula(tied: bool) -> None:
    """l = (h·Uᵀ + b) / τ: temperature acts on the scores too, smoothing on the loss alone."""
    toy = Toy()

    def model_of(**head: Any) -> Model:
        return assembly.build(
            toy_spec(model__heads=[{"kind": "next_item", "weight_tying": tied, **head}]), SCHEMA, toy.item_table()
        ).eval()

    plain = model_of()
    batch, task = make_batch(toy.part("train"), whole_windows(toy.part("train"), 8)), plain.next_item
    torch.nn.init.normal_(task.bias)
    hidden = plain.read(batch)
    table = plain.head.body.inputs.item_embedding.weight if tied else task.items.weight
    expected = hidden @ table[1:].T + task.bias
    torch.testing.assert_close(plain.score(batch), expected)
    assert (task.items is plain.head.body.inputs.item_embedding) == tied
    for head, scale in (
        ({"temperature": 0.5}, 2.0),
        ({"loss": {"kind": "cross_entropy", "label_smoothing": 0.3}}, 1.0),
    ):
        other = model_of(**head)
        other.load_state_dict(plain.state_dict())
        torch.testing.assert_close(other.score(batch), expected * scale)
        assert float((other.loss(batch).mean - plain.loss(batch).mean).abs().detach()) > 1e-3


def test_weights_of_heads_and_of_tasks_multiply() -> None:
    toy = with_labels(Toy())
    spec = toy_spec("gru", model__body__dropout=0.0)
    body = assembly.build(spec, toy.schema, toy.item_table()).head.body
    items = Head(body, [NextItemPredictionTask(), RegressionTask("spend")], task_weights=[1.0, 3.0])
    model = Model(items, Head(body, BinaryClassificationTask("bought")), head_weights=[2.0, 0.5])
    assert model.weights == {"next_item": 2.0, "spend": 6.0, "bought": 0.5}
    batch = make_batch(toy.part("train"), whole_windows(toy.part("train"), 8).take(np.arange(20)))
    losses = {name: float(loss.mean.detach()) for name, loss in model.losses(batch).items()}
    total = 2 * losses["next_item"] + 6 * losses["spend"] + 0.5 * losses["bought"]
    assert float(model.loss(batch).mean.detach()) == pytest.approx(total, rel=1e-5)


# ── leaks ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("masking", ["clm", "mlm"])
def test_labels_and_later_events_never_change_a_prediction(data: Dataset, masking: str) -> None:
    spec = spec_of(data, masking=masking, evaluation__positions="all")
    model, sessions = assembly.build(spec, data.schema, data.item_table()), data.part("valid")
    before = evaluation.evaluate_tasks(model, sessions, spec)[1]
    other = replace(sessions, values={**sessions.values, "price": sessions.values["price"] + 5})
    other = replace(other, context={n: 5 - v if n == "purchase" else v for n, v in sessions.context.items()})
    after = evaluation.evaluate_tasks(model, other, spec)[1]
    ids = sessions.values["item_id"].copy()
    ids[sessions.offsets[1:] - 1] = ids[sessions.offsets[1:] - 1] % 40 + 1
    later = evaluation.evaluate_tasks(model, replace(sessions, values={**sessions.values, "item_id": ids}), spec)[1][
        "price"
    ]
    earlier = later.position < sessions.lengths[later.session] - 1
    assert earlier.any() and not earlier.all()
    for name, cases in before.items():
        assert np.array_equal(cases.prediction, after[name].prediction)
    assert np.array_equal(before["price"].prediction[earlier], later.prediction[earlier])
    assert not np.array_equal(before["price"].prediction, later.prediction)


@pytest.mark.parametrize("masking", ["clm", "mlm"])
def test_evaluation_is_what_inference_predicts(data: Dataset, masking: str) -> None:
    spec, sessions = spec_of(data, masking=masking), data.part("valid")
    model = assembly.build(spec, data.schema, data.item_table())
    tasks = evaluation.evaluate_tasks(model, sessions, spec)[1]
    with torch.no_grad():
        predicted = model.predict(make_batch(sessions, whole_windows(sessions, spec.data.max_length)))
    for name, cases in tasks.items():
        np.testing.assert_allclose(cases.prediction, predicted[name].numpy()[cases.session], atol=1e-5)


# ── the whole way ───────────────────────────────────────────────────────────────────────────────


def test_three_heads_from_spec_to_record(data: Dataset, tmp_path: Path) -> None:
    spec, reports = spec_of(data), []
    result = run.run(spec, home=tmp_path, on_report=reports.append)
    assert set(result.valid) >= set(spec.metrics)
    epochs = [r for r in reports if isinstance(r, Epoch)]
    assert epochs[-1].train_loss == pytest.approx(sum(epochs[-1].losses.values()))
    assert set(epochs[-1].losses) == {"next_item", "purchase", "price"}
    assert all(epochs[-1].losses[name] < epochs[0].losses[name] for name in ("next_item", "price"))
    assert result.baselines["valid"]["constant"]["purchase/auc"] == 0.5
    assert result.valid["price/rmse"] < result.baselines["valid"]["constant"]["price/rmse"]
    assert tracking.find(tmp_path, result.run_id).valid == pytest.approx(result.valid)
    again = evaluate.evaluate_run(result.run_id, home=tmp_path, on_report=silent)
    assert again.valid == pytest.approx(result.valid)  # saved and loaded: the same predictions
    single = run.run(spec_of(data, [{"kind": "next_item"}]), home=tmp_path, on_report=silent)
    assert set(single.valid) >= {"ndcg@5", "recall@5", "mrr@5"}


def test_a_model_of_labels_alone_is_judged_compared_and_recommends_nothing(data: Dataset, tmp_path: Path) -> None:
    heads = [{"kind": "regression", "column": "price", "loss": "huber"}]
    one = run.run(spec_of(data, heads), home=tmp_path, on_report=silent)
    two = run.run(spec_of(data, heads, name="two", train__learning_rate=1e-6), home=tmp_path, on_report=silent)
    comparison = compare.compare([one.run_id, two.run_id], home=tmp_path)
    assert comparison.differences[0].sentence.startswith("small beats two by")
    assert comparison.differences[0].mean == pytest.approx(two.valid["price/rmse"] - one.valid["price/rmse"])
    with pytest.raises(InputError, match="run small: it predicts price and no next item"):
        recommend.recommend(one.run_id, Generator(n_items=40).events(3), home=tmp_path)


@pytest.mark.parametrize("masking", ["clm", "mlm"])
def test_training_with_several_heads_resumes_to_the_same(data: Dataset, tmp_path: Path, masking: str) -> None:
    spec = spec_of(data, masking=masking)

    def curve(folder: Path, stops: list[int]) -> list[Any]:
        epochs = []
        for stop in [*stops, 10**9]:
            calls = iter(range(10**9))
            model = assembly.build(spec, data.schema, data.item_table())
            for report in trainer.fit(model, data, spec, folder, lambda c=calls, s=stop: next(c) >= s, resume=True):
                epochs += [(report.train_loss, report.losses, report.valid)] if isinstance(report, Epoch) else []
        return epochs

    assert curve(tmp_path / "stopped", [3]) == curve(tmp_path / "whole", [])


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ({"kind": "binary", "column": "purchse"}, "column: the data has no label 'purchse'; did you mean 'purchase'"),
        ({"kind": "binary", "column": "category"}, "it is a feature; prepare it with --targets category"),
        ({"kind": "regression", "column": "purchase"}, "regression is not for label 'purchase', which has 2 classes"),
        ({"kind": "categorical", "column": "price"}, "categorical is not for label 'price', which has numbers"),
        ({"kind": "regression", "column": "price", "summary": "mean"}, "summary: 'mean' is for labels of ses"),
    ],
)
def test_heads_that_the_data_does_not_fit_are_refused(data: Dataset, head: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=r"model\.heads\.0\.") as error:
        assembly.check(spec_of(data, [head]), data.schema)
    assert words in str(error.value)


def test_numbers_that_are_not_yes_or_no_are_refused_before_training(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not 0 and 1; use kind regression"):
        run.run(spec_of(data, [{"kind": "binary", "column": "price"}]), home=tmp_path, on_report=silent)
    assert tracking.runs(tmp_path) == []


# ── the rows of heads ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "size", "fitting"),
    [
        ("continuous", 0, ["binary", "regression"]),
        ("categorical", 4, ["binary", "categorical"]),
        ("categorical", 5, ["categorical"]),
        ("categorical", 3, []),
    ],
)
def test_a_label_is_for_the_heads_that_can_predict_it(kind: Any, size: int, fitting: list[str]) -> None:
    """Two ids of `size` are padding and unknown; a single class is nothing to predict."""
    column = Column(name="x", kind=kind, role="target", size=size)
    assert [name for name, head in LABEL_HEADS.items() if head.fits(column)] == fitting


def test_guessing_has_the_loss_of_an_output_of_zeros() -> None:
    rng = np.random.default_rng(0)
    yes, classes = torch.tensor(rng.integers(0, 2, 50) * 1.0), torch.tensor(rng.integers(0, 5, 50))
    numbers = torch.tensor(rng.normal(3, 2, 50))
    numbers = (numbers - numbers.mean()) / numbers.std(correction=0)
    zeros = torch.zeros(50, 5, dtype=torch.float64)
    expected = {
        "binary": torch.nn.functional.binary_cross_entropy_with_logits(zeros[:, 0], yes),
        "categorical": torch.nn.functional.cross_entropy(zeros, classes),
        "regression": torch.nn.functional.mse_loss(zeros[:, 0], numbers),
    }
    for kind, loss in expected.items():
        assert LABEL_HEADS[kind](column="x").guessing_loss(5) == pytest.approx(float(loss))
