"""Presets: published models, each built on our data and trained for a step, from Python and from the shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.cli import program as main
from t4r_lab.nn.batches import make_batch, training_windows
from t4r_lab.spec import RunSpec
from t4r_lab.spec.presets import PRESETS, start
from t4r_lab.training.assembly import build
from t4r_lab.training.optimizer import make_optimizer
from tests.support.small import small_data
from tests.support.toy import Toy

BASE = RunSpec.parse(
    {"name": "mine", "data": {"path": "toy"}, "train": {"seed": 7}, "evaluation": {"cutoffs": [5], "positions": "all"}}
)


@pytest.mark.parametrize("name", PRESETS)
def test_each_builds_and_takes_a_step(name: str) -> None:
    import torch

    toy, spec = Toy(n=60), start(name, BASE)
    sessions = toy.part("train")
    model = build(spec, toy.schema, toy.item_table(), None, sessions.item_counts(toy.schema.n_items))
    optimizer = make_optimizer(model, spec.train.model_copy(update={"learning_rate": 1e-5}))
    batch = make_batch(sessions, training_windows(sessions, 14))
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        step_losses = model.losses(batch)
        sum(loss.mean for loss in step_losses.values()).backward()  # type: ignore[union-attr]
        losses.append(float(step_losses["next_item"].mean.detach()))
        optimizer.step()
    assert losses[1] < losses[0]


def test_a_preset_keeps_the_data_and_how_they_are_judged() -> None:
    spec = start("xlnet-rtd", BASE)
    assert (spec.name, spec.data.path, spec.evaluation) == ("xlnet-rtd", "toy", BASE.evaluation)
    # appendix C of the paper, XLNet-RTD on YOOCHOOSE
    body, masking, inputs = spec.model.body, spec.model.masking, spec.model.inputs
    assert (body.kind, body.d_model, body.n_layer, body.n_head, body.dropout) == ("xlnet", 384, 4, 4, 0.0)
    assert (masking.kind, masking.probability, masking.weight) == ("rtd", 0.3, 1.0)
    assert inputs.features is not None and inputs.features["item_id"].dim == 448
    assert (inputs.dropout, inputs.init_std, inputs.layer_norm) == (0.3, 0.11, True)
    assert spec.model.next_item is not None and spec.model.next_item.loss.label_smoothing == 0.3
    assert (spec.train.batch_size, spec.train.learning_rate, spec.train.warmup) == (320, 2.805e-4, 0.0)


def test_every_preset_says_where_it_is_from() -> None:
    for preset in PRESETS.values():
        assert any(f"{year}" in preset.source for year in range(2016, 2026)) or "RecSys" in preset.source


def test_an_unknown_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"^preset: 'sasrek' is not known; did you mean 'sasrec'"):
        start("sasrek", BASE)


def test_train_by_the_name_of_a_preset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = small_data(tmp_path / "d")
    small = ["--set", "model.body.d_model=8", "--set", "train.epochs=1", "--set", "train.batch_size=64"]
    assert main.main(["train", "--preset", "gru4rec", "--set", f"data.path={data}", *small, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "gru4rec"
    (tmp_path / "mine.yaml").write_text(BASE.override({"data.path": str(data)}).to_yaml())
    assert main.main(["train", str(tmp_path / "mine.yaml"), "--preset", "sasrec", *small, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["valid"]) >= {"ndcg@5"}  # cutoffs of the file
    assert main.main(["train", "--preset", "sasrec"]) == 2
    assert "--set data.path=FOLDER" in capsys.readouterr().err
