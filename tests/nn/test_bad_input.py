"""Bad input, line by line: one line that names field and remedy, before anything is trained or recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from t4r_lab import tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import silent
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.synthetic import Generator
from t4r_lab.nn import (
    BertConfig,
    BinaryClassificationTask,
    CategoricalClassificationTask,
    GPT2Config,
    Head,
    MLPBlock,
    Model,
    NextItemPredictionTask,
    RNNBlock,
    SequentialBlock,
    TabularSequenceFeatures,
    TransformerBlock,
)
from t4r_lab.nn.masking import PermutationLM, make_masking
from t4r_lab.runs import run
from t4r_lab.spec import FeatureSpec, RunSpec
from t4r_lab.training import assembly, trainer
from tests.support.processes import SPECS
from tests.support.small import small_spec
from tests.support.toy import N_ITEMS, SCHEMA, Toy, toy_spec, with_labels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    np.save(folder / "short.npy", np.ones((7, 4), np.float32))
    options = PrepareOptions(targets=["purchase", "price"])
    return prepare(Generator(n_items=40).events(200), folder / "data", options).path


def refusal(action: Callable[[], Any]) -> str:
    """The error of `action`, which is one line."""
    with pytest.raises(InputError) as error:
        action()
    assert "\n" not in str(error.value)
    return str(error.value)


FEATURES = "model.inputs.features"
XLNET = {"model.body.kind": "xlnet", "model.masking.kind": "plm"}
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a pair that isn't allowed": (
        {"model.masking.kind": "mlm"},
        "model: masking 'mlm' is not for body 'gru'",
        "use clm with gru, or mlm with xlnet, bert",
    ),
    "a tower that isn't allowed": (
        {"model.towers": [{"body": {"kind": "bert", "d_model": 8}}], "model.masking.kind": "mlm"},
        "model: masking 'mlm' is not for body 'gru'",
        "use clm with gru",
    ),
    "aggregation width mismatch": (
        {"model.inputs.aggregation": "element-wise-sum", f"{FEATURES}.category.dim": 3},
        f"{FEATURES}.category.dim: element-wise-sum needs one width, but the item has 8 and category has 3",
        "give both the same dim or use aggregation concat",
    ),
    "a feature that the schema lacks": (
        {f"{FEATURES}.categry.dim": 3},
        f"{FEATURES}.categry: the data has no such feature",
        "did you mean 'category'",
    ),
    "a label head without its column": ({"model.heads": [{"kind": "binary"}]}, "model.heads.0.column: is required", "add it"),
    "a label that the data lacks": (
        {"model.heads": [{"kind": "binary", "column": "purchased"}]},
        "model.heads.0.column: the data has no label 'purchased'",
        "did you mean 'purchase'",
    ),
    "a label that is a feature": (
        {"model.heads": [{"kind": "categorical", "column": "category"}]},
        "model.heads.0.column: the data has no label 'category'",
        "prepare it with --targets category",
    ),
    "a label of another kind": (
        {"model.heads": [{"kind": "categorical", "column": "price"}]},
        "model.heads.0.kind: categorical is not for label 'price', which has numbers",
        "use kind binary or kind regression",
    ),
    "pre-trained vectors of the wrong length": (
        {f"{FEATURES}.text.vectors": {"path": "short.npy"}},
        f"{FEATURES}.text.vectors.path: short.npy: has shape (7, 4), but there are ids 1 to 40",
        "give",
    ),
    "heads whose weights are all zero": (
        {"model.heads": [{"kind": "next_item", "weight": 0}]},
        "model.heads: every weight is 0",
        "set one above 0",
    ),
    "spans as long as sessions": (
        {**XLNET, "model.masking.max_span_length": 8},
        "model.masking.max_span_length: 8 must be below data.max_length 8",
        "lower it to 7 or raise data.max_length",
    ),
}  # fmt: skip


@pytest.mark.parametrize("line", REFUSED)
def test_a_spec_is_refused_by_field_and_remedy_before_anything_is_recorded(
    line: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, field, remedy = REFUSED[line]
    monkeypatch.chdir(data.parent)
    text = refusal(lambda: run.run(small_spec(data).override(changes), home=tmp_path, on_report=silent))
    assert field in text and remedy in text.partition(field)[2]
    assert tracking.runs(tmp_path) == [] and not list((tmp_path / "jobs").glob("*"))


def probabilities() -> list[tuple[str, str]]:
    """(spec, path) of every knob that is a share or a probability."""
    paths = []
    for name, spec in SPECS.items():
        knobs = {path: knob for path, knob in spec.knobs().items() if knob.type is float and knob.high is not None}
        paths += [(name, p) for p, k in knobs.items() if k.low is not None and 0 <= k.low < k.high <= 1]
    return paths


@pytest.mark.parametrize(("name", "path"), probabilities())
@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_no_probability_lies_outside_its_bounds(name: str, path: str, value: float) -> None:
    assert f"{path}: {value} is wrong: input should be " in refusal(lambda: SPECS[name].override({path: value}))


def features(**options: Any) -> TabularSequenceFeatures:
    table = {name: torch.as_tensor(values) for name, values in Toy().item_table().items()}
    options = {"masking": "clm", "item_dim": 16, "item_table": table, **options}
    return TabularSequenceFeatures.from_schema(SCHEMA, **options)


def body(**options: Any) -> SequentialBlock:
    return SequentialBlock(features(**options), MLPBlock([8]), RNNBlock("gru", 8, 8))


TASKS = [NextItemPredictionTask(), BinaryClassificationTask("bought")]
HALF = torch.ones(N_ITEMS // 2, 16)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TransformerBlock(BertConfig.build(16, 2, 1, 20), "plm"), "masking 'plm' is not for body 'bert'; use mlm"),
        (lambda: features(aggregation="element-wise-sum", embedding_dims={"category": 3}), "the item has 16 and category has 3; give both"),
        (lambda: features(embedding_dims={"colour": 3}), "colour: the data has no such feature; choose from: item_id"),
        (lambda: features(features={"text": FeatureSpec(vectors={"path": "x"})}, vectors={"text": HALF}), "are (20, 16), but there are 40 items; give (41, width)"),  # type: ignore[arg-type]
        (lambda: features(features={"item_id": FeatureSpec(vectors={"path": "x"})}, vectors={"item_id": HALF}), "are (20, 16), but the embedding is (41, 16); set dim to 16 and give a row per id"),  # type: ignore[arg-type]
        (lambda: Head(body(), TASKS, task_weights=[1.0]), "task_weights: 1 weights for 2 tasks; give one for each"),
        (lambda: Model(Head(body(), TASKS[0]), Head(body(), TASKS[1]), head_weights=[1.0]), "head_weights: 1 weights for 2 heads; give one for each"),
        (lambda: make_masking("mlm", probability=1.5), "probability: 1.5 is wrong: input should be less than or equal to 0.99"),
        (lambda: make_masking("plm", probability=-0.5), "probability: -0.5 is wrong: input should be greater than or equal to 0"),
        (lambda: features(swap_noise=1.5), "swap_noise: 1.5 is wrong: input should be less than or equal to 1"),
        (lambda: features(shared_embeddings=-1), "shared_embeddings: -1 is wrong: input should be greater than or equal to 0"),
        (lambda: features(dropout=2), "dropout: 2 is wrong: input should be less than or equal to"),
        (lambda: MLPBlock([8], dropout=1.5), "dropout: 1.5 is outside of [0, 1]; use for example 0.1"),
        (lambda: RNNBlock("gru", 8, 8, dropout=-1.0), "dropout: -1.0 is outside of [0, 1]"),
        (lambda: BinaryClassificationTask("bought", dropout=3.0), "dropout: 3.0 is outside of [0, 1]"),
        (lambda: NextItemPredictionTask(dropout=3.0), "dropout: 3.0 is outside of [0, 1]"),
        (lambda: GPT2Config.build(16, 2, 1, 20, dropout=1.5), "dropout: 1.5 is outside of [0, 1]"),
        (lambda: GPT2Config.build(16, 3, 1, 20), "n_head 3 does not divide d_model 16; choose n_head from [1, 2, 4, 8, 16]"),
        (lambda: features(masking=PermutationLM(max_span_length=20)), "max_span_length: 20 must be below max_sequence_length 20, so that something of a session stays visible; lower it to 19"),
    ],
)  # fmt: skip
def test_blocks_put_together_by_hand_are_refused_when_they_are_made(make: Callable[[], Any], words: str) -> None:
    assert words in refusal(make)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (CategoricalClassificationTask("mood", 2), "classes: label 'mood' has classes 0 to 2 in the training part, but its task has 2, from 0; give the task classes=3"),
        (BinaryClassificationTask("mood"), "tasks: label 'mood' holds 0 to 2, not 0 and 1; use a categorical or a regression task"),
        (BinaryClassificationTask("bougt"), "tasks: label 'bougt' is not a column of the data; prepare them with --targets bougt"),
    ],
)  # fmt: skip
def test_tasks_made_by_hand_are_held_against_the_data_before_the_first_step(
    task: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(Head(body(), [NextItemPredictionTask(), task]))
    monkeypatch.setattr(trainer, "train_step", lambda *a: pytest.fail("a step was taken"))
    assert words in refusal(lambda: list(trainer.fit(model, with_labels(Toy()), toy_spec(), tmp_path)))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_class_or_label_that_is_missing_in_a_batch_is_named_in_a_loop_of_ones_own() -> None:
    from t4r_lab.nn.batches import make_batch, training_windows

    toy = with_labels(Toy())
    batch = make_batch(toy.part("train"), training_windows(toy.part("train"), 8))
    few, none = (
        Model(Head(body(), t)) for t in (CategoricalClassificationTask("mood", 2), BinaryClassificationTask("x"))
    )
    assert "classes: class 2 is out of range 0 to 1; give the task classes=3" in refusal(lambda: few.loss(batch))
    yes_no = Model(Head(body(), BinaryClassificationTask("mood")))
    assert "labels: a binary label is 2, not 0 or 1; use a task of another kind" in refusal(lambda: yes_no.loss(batch))
    assert "tasks: label 'x' is not among the batch's columns" in refusal(lambda: none.loss(batch))
    assert "heads: the model predicts x and no next item; train one" in refusal(lambda: none.next_item)


def three_events(folder: Path) -> Path:
    """Leave-one-out data of which one event a session is left for training."""
    count = 30
    events = pl.DataFrame(
        {
            "session_id": np.repeat(np.arange(count), 3),
            "item_id": np.arange(3 * count) % 12,
            "timestamp": np.arange(3 * count),
            "gender": np.repeat(np.arange(count) % 2, 3),
            "stars": np.arange(3 * count) % 5 * 0.5,
        }
    )
    options = PrepareOptions(split="leave_one_out", targets=["gender", "stars"], kinds={"stars": "continuous"})
    return prepare(events, folder, options).path


def test_training_data_in_which_no_session_can_be_trained_on(tmp_path: Path) -> None:
    data = three_events(tmp_path / "data")
    text = refusal(lambda: run.run(small_spec(data), home=tmp_path / "home", on_report=silent))
    assert text == f"{data}: no training session has two events; prepare with longer sessions, or split by time"
    assert tracking.runs(tmp_path / "home") == []


def test_a_label_of_whole_sessions_is_refused_on_leave_one_out_data(tmp_path: Path) -> None:
    """The session that is judged was trained on with its label: a good figure would say nothing."""
    data = three_events(tmp_path / "data")
    spec: RunSpec = small_spec(data, model__heads=[{"kind": "binary", "column": "gender"}])
    text = refusal(lambda: run.run(spec, home=tmp_path / "home", on_report=silent))
    assert text.startswith("model.heads.0.column: label 'gender' is of the whole session, and leave-one-out puts each")
    assert text.endswith("prepare with --split time, or use a label of events")
    assert tracking.runs(tmp_path / "home") == []
    events = small_spec(data, model__heads=[{"kind": "regression", "column": "stars"}])
    result = run.run(events, home=tmp_path / "home", on_report=silent)  # the last event's is new in each part
    assert "stars/rmse" in result.valid


def test_what_is_refused_by_a_spec_is_refused_before_torch_is_needed(data: Path) -> None:
    """`build.check` knows spec and schema alone: the forms ask it at every keystroke."""
    from t4r_lab.data.prepared.prepared_data import Dataset

    spec = small_spec(data).override({f"{FEATURES}.categry.dim": 3})
    assert "did you mean 'category'" in refusal(lambda: assembly.check(spec, Dataset.open(data).schema))
