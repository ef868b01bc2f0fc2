"""A spec as a Python program: run as it stands, it gives the model and the training of the spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.synthetic import Generator
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.data.prepared.vectors import read_all_vectors
from t4r_lab.runs.script import to_python
from t4r_lab.spec import BODY_MASKINGS, RunSpec
from t4r_lab.training.assembly import build
from t4r_lab.training.trainer import fit
from tests.support.toy import tiny


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Sessions with labels of both levels and kinds, and vectors of the items beside them."""
    events = Generator(n_items=40).events(160).with_columns(spend=pl.col("price").sum().over("session_id"))
    events = events.with_columns(level=(pl.col("price").rank() % 3).cast(pl.Int64).cast(pl.String))
    options = PrepareOptions(targets=["purchase", "spend", "level"], kinds={"level": "categorical"})
    dataset = prepare(events, tmp_path_factory.mktemp("script") / "d", options)
    np.save(dataset.path.parent / "text.npy", np.random.default_rng(0).normal(size=(dataset.schema.n_items, 5)))
    return dataset


def spec_of(data: Dataset, **model: Any) -> RunSpec:
    return RunSpec.parse(
        {
            "name": 'a "name"\n""" # of \\ mine',
            "data": {"path": str(data.path), "max_length": 7},
            "model": {"body": tiny("gru"), **model},
            "train": {"epochs": 1, "batch_size": 64, "learning_rate": 5e-3, "seed": 3},
            "evaluation": {"cutoffs": [5]},
        }
    )


TEXT = {"vectors": {"path": "text.npy", "normalization": "l2", "trainable": True}, "dim": 6}
CASES: dict[str, dict[str, Any]] = {
    **{kind: {"body": tiny(kind), "masking": {"kind": maskings[0]}} for kind, maskings in BODY_MASKINGS.items()},
    "xlnet plm": {"body": tiny("xlnet"), "masking": {"kind": "plm", "probability": 0.4, "max_span_length": 3}},
    "rtd, inputs": {
        "body": tiny("bert"),
        "masking": {"kind": "rtd", "weight": 3.0, "discriminator": "separate"},
        "inputs": {
            "features": {
                "item_id": {"dim": 12},
                "price": {"encoding": "soft_one_hot", "bins": 4, "dim": 5},
                "category": {},
            },
            "layer_norm": True,
            "dropout": 0.2,
            "shared_embeddings": 0.1,
            "swap_noise": 0.1,
            "init_std": 0.1,
        },
    },
    "sums": {"inputs": {"aggregation": "element-wise-sum-item-multi"}},
    "together": {"inputs": {"continuous_projection": 3}},
    "heads": {
        "heads": [
            {"kind": "next_item", "loss": {"kind": "sampled_softmax", "negatives": 8}, "weight_tying": False},
            {"kind": "binary", "column": "purchase", "summary": "attention", "weight": 0.3},
            {"kind": "categorical", "column": "level", "dropout": 0.1},
            {"kind": "regression", "column": "spend", "loss": "huber", "summary": "mean"},
        ]
    },
    "labels alone": {"heads": [{"kind": "binary", "column": "purchase"}]},
    "calibrated": {
        "heads": [
            {"loss": {"kind": "cross_entropy", "label_smoothing": 0.1}, "temperature": 0.5, "fit_temperature": True}
        ]
    },
    "towers": {
        "towers": [
            {"inputs": {"features": {"item_id": {"dim": 4}, "text": TEXT}}, "body": tiny("gpt2")},
            {"inputs": {"aggregation": "element-wise-sum"}, "body": tiny("lstm")},
        ],
        "merge": "gate",
    },
    "vectors": {
        "inputs": {
            "features": {"item_id": {"dim": 5, "vectors": {"path": "text.npy", "trainable": True}}, "text": TEXT}
        }
    },
}


@pytest.mark.parametrize("case", CASES)
def test_the_program_builds_and_trains_the_model_of_the_spec(
    case: str, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.chdir(data.path.parent)  # where text.npy lies; the program's own folder goes beneath
    spec = spec_of(data, **CASES[case])
    text = to_python(spec, data.schema)
    program: dict[str, Any] = {}
    built: dict[str, Any] = {}

    def first_weights(model: Any, *others: Any) -> Any:
        built.update({name: value.clone() for name, value in model.state_dict().items()})
        return fit(model, *others)

    exec(
        compile(text.replace("import fit\n", "import fit as _\n"), "program", "exec"), program | {"fit": first_weights}
    )
    counts = data.part("train").item_counts(data.schema.n_items)
    model = build(spec, data.schema, data.item_table(), read_all_vectors(spec.model, data.vocabulary), counts)
    assert sum(v.numel() for v in built.values()) == sum(v.numel() for v in model.state_dict().values())
    for (name, value), (built_name, same) in zip(model.state_dict().items(), built.items(), strict=True):
        assert name == built_name
        torch.testing.assert_close(value, same, rtol=0, atol=0)


def test_its_training_gives_the_same_scores(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from t4r_lab.nn.batches import make_batch, training_windows

    monkeypatch.chdir(tmp_path)
    spec = spec_of(data, body=tiny("gpt2"), inputs={"dropout": 0.1})
    program: dict[str, Any] = {}
    exec(compile(to_python(spec, data.schema), "program", "exec"), program)
    counts = data.part("train").item_counts(data.schema.n_items)
    model = build(spec, data.schema, data.item_table(), item_counts=counts)
    for _ in fit(model, data, spec, tmp_path / "own"):
        pass
    sessions = data.part("valid")
    batch = make_batch(sessions, training_windows(sessions, 6))
    with torch.no_grad():
        assert torch.equal(model.eval().score(batch), program["model"].eval().score(batch))


def test_names_and_paths_are_literals_only(data: Dataset) -> None:
    evil = '"); raise SystemExit("x") #\n"""'
    spec = RunSpec.parse({"name": evil, "data": {"path": evil}})
    text = to_python(spec, data.schema)
    calls = [line for line in text.splitlines() if "SystemExit" in line]
    assert calls and all(
        line.startswith(("#", "data = ", "settings", "    name=", "    data=", "    for")) for line in calls
    )
    compile(text, "program", "exec")
    assert "raise" not in compile(text, "program", "exec").co_names
