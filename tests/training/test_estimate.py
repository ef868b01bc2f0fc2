"""What a spec costs: parameters counted independently, memory and time against what a training really takes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Epoch
from t4r_lab.cli import program as main
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.nn.heads.next_item import NextItemPredictionTask
from t4r_lab.spec import BODY_MASKINGS, RunSpec
from t4r_lab.training.assembly import build
from t4r_lab.training.estimate import Estimate, _parts, estimate, from_json, to_json
from t4r_lab.training.experiment import Experiment
from t4r_lab.training.trainer import fit
from tests.support.small import N_ITEMS, small_data, small_spec
from tests.support.toy import tiny


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.open(small_data(tmp_path_factory.mktemp("estimate") / "d"))


def spec_of(data: Dataset, **model: Any) -> RunSpec:
    return small_spec(data.path).model_copy(
        update={"model": RunSpec.parse({"data": {"path": "-"}, "model": model}).model}
    )


def by_path(cost_estimate: Estimate) -> dict[str, int]:
    return {cost.path: cost.parameters for cost in cost_estimate.costs}


def test_parameters_of_each_part_by_hand(data: Dataset) -> None:
    spec = spec_of(
        data,
        body={"kind": "gru", "d_model": 8, "n_layer": 1},
        inputs={
            "features": {
                "item_id": {},
                "category": {"dim": 3},
                "price": {"encoding": "soft_one_hot", "bins": 4, "dim": 5},
            },
            "layer_norm": True,
        },
    )
    categories = data.schema["category"].size
    assert by_path(estimate(spec)) == {
        "model.inputs.features.item_id": (N_ITEMS + 1) * 8,
        "model.inputs.features.category": categories * 3,
        "model.inputs.features.price": 4 + 4 + 4 * 5,  # W, b and E
        "model.inputs": 2 * (8 + 3 + 5),  # layer norms
        "model.projection": 16 * 8 + 8,
        "model.body": 3 * (8 * 8 + 8 * 8 + 8 + 8),  # three gates, as cuDNN has them
        "model.heads.0": N_ITEMS,  # the bias; the weights are the item's embedding
    }


MODELS: dict[str, dict[str, Any]] = {
    **{kind: {"body": tiny(kind), "masking": {"kind": maskings[0]}} for kind, maskings in BODY_MASKINGS.items()},
    "rtd": {"body": tiny("xlnet"), "masking": {"kind": "rtd", "discriminator": "separate"}},
    "towers": {
        "body": tiny("gpt2"),
        "towers": [{"body": tiny("lstm")}],
        "merge": "gate",
        "heads": [{"weight_tying": False}],
    },
    "sampled": {"body": tiny("ligr"), "heads": [{"loss": {"kind": "bpr_max", "negatives": 8}}]},
}


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_those_of_the_model(name: str, data: Dataset) -> None:
    spec = spec_of(data, **MODELS[name])
    cost, model = estimate(spec), build(spec, data.schema, data.item_table())
    parameters = list(model.parameters())
    assert cost.parameters == sum(p.numel() for p in parameters)
    trained = 4 * sum(p.numel() for p in parameters if p.requires_grad)
    assert (cost.total("gradients"), cost.total("optimizer")) == (trained, 2 * trained)
    tables = {b.data_ptr(): b.nbytes for b in model.buffers()}
    assert cost.total("weights") == 4 * cost.parameters + sum(tables.values())
    assert from_json(json.loads(json.dumps(to_json(cost)))) == cost
    assert cost.steps == -(-sum(data.part("train").lengths >= 2) // spec.train.batch_size)
    assert 0 < cost.seconds < 60


def test_what_is_kept_of_a_batch_by_hand(data: Dataset) -> None:
    """A linear body keeps its input alone: of the next-item head, the gradients that its loss has made already."""
    spec = spec_of(
        data, body={"kind": "gru", "d_model": 64, "n_layer": 1, "dropout": 0.0}, inputs={"features": {"item_id": {}}}
    )
    small, large = (estimate(spec.override({"train.batch_size": size})) for size in (16, 64))
    held = {c.path: c.activations for c in large.costs}
    assert held["model.body"] > held["model.inputs.features.item_id"]
    # the head keeps dh (N, D), dW (I, D) and db (I,): what depends on the batch is N alone
    head = [{c.path: c.activations for c in cost.costs}["model.heads.0"] for cost in (small, large)]
    assert head[1] >= 4 * N_ITEMS * 65 and head[1] > head[0]
    ratio = large.total("activations") / small.total("activations")
    assert 2 < ratio < 6  # four times the sessions


MEASURED = r"""
import json, re, sys
from pathlib import Path
from t4r_lab.training.assembly import build
from t4r_lab.nn.batches import make_batch, training_batches, training_length, training_windows
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.spec import RunSpec
from t4r_lab.training.accelerator import make_accelerator
from t4r_lab.training.optimizer import make_optimizer
from t4r_lab.training.trainer import train_step

def peak():
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])

def steps(spec, count):
    data = Dataset.open(spec.data.path)
    model = build(spec, data.schema, data.item_table()).train()
    accelerator, optimizer = make_accelerator(spec.train), make_optimizer(model, spec.train)
    sessions = data.part("train")
    windows = training_windows(sessions, training_length(model.masking, spec.data.max_length))
    for number, window in enumerate(training_batches(windows, spec.train.batch_size, spec.train.seed, 0)):
        if number < count:
            train_step(accelerator, model, optimizer, make_batch(sessions, window), model.weights, 1.0)

spec = RunSpec.parse(json.loads(sys.argv[1]))
steps(spec.override({"model.body.d_model": 8, "train.batch_size": 8}), 2)  # what torch itself takes
before = peak()
steps(spec, 3)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_memory_is_what_a_training_takes(tmp_path: Path) -> None:
    """Against the process's own peak, beyond what a tiny model takes."""
    data = Dataset.open(small_data(tmp_path / "d", sessions=4000))  # many narrow vectors take memory and little time
    spec = spec_of(data, body={"kind": "sasrec", "d_model": 64, "n_head": 2, "n_layer": 6, "dropout": 0.1})
    spec = spec.override({"train.batch_size": 2500, "data.max_length": 20})
    cost = estimate(spec)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, json.dumps(spec.to_dict())], capture_output=True, text=True, check=True
    )
    measured = float(done.stdout.split()[-1])
    assert measured > 3e8  # enough to be seen beside what else a process does
    assert 0.6 < cost.memory / measured < 1.7, (cost.memory, measured)


@pytest.mark.slow
def test_seconds_are_those_of_an_epoch(tmp_path: Path) -> None:
    data = Dataset.open(small_data(tmp_path / "d", sessions=3000))
    spec = small_spec(data.path, model__body__kind="gpt2", model__body__d_model=64, model__body__n_head=4)
    model = build(spec, data.schema, data.item_table())
    cost = estimate(spec)
    began = time.perf_counter()
    taken = [r.seconds for r in fit(model, data, spec, tmp_path / "run") if isinstance(r, Epoch)]
    assert time.perf_counter() - began < 60
    assert 0.3 < cost.seconds / min(taken) < 3, (cost.seconds, taken)


class Slow(torch.autograd.Function):
    """What it is given, a known time later, in both directions."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        time.sleep(FORWARD)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        time.sleep(BACKWARD)
        return gradient


FORWARD, BACKWARD = 0.1, 0.2


@pytest.mark.parametrize("path", ["model.inputs.features.category", "model.projection", "model.body", "model.heads.0"])
def test_time_in_both_directions_belongs_to_its_part(path: str, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(data, body={"kind": "gru", "d_model": 8, "n_layer": 1}, inputs={"features": {"category": {}}})
    original, loss = Experiment.build, NextItemPredictionTask.loss

    def slow_loss(*arguments: Any) -> Any:
        value = loss(*arguments)
        return value._replace(mean=Slow.apply(value.mean))

    def slowed(experiment: Experiment) -> Any:
        model = original(experiment)
        if path == "model.heads.0":
            monkeypatch.setattr(NextItemPredictionTask, "loss", slow_loss)
        else:
            dict(_parts(model))[path].register_forward_hook(lambda module, arguments, output: Slow.apply(output))
        return model

    monkeypatch.setattr(Experiment, "build", slowed)
    seconds = {cost.path: cost.seconds for cost in estimate(spec).costs}
    assert seconds[path] >= FORWARD + BACKWARD
    assert max(seconds, key=lambda other: seconds[other]) == path


def test_what_does_not_fit_the_data_is_refused_as_in_training(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.inputs.features.nothing: the data has no such feature"):
        estimate(spec_of(data, inputs={"features": {"nothing": {}}}))
    vectors = {"text": {"vectors": {"path": "none.npy"}}}
    with pytest.raises(InputError, match=r"model.inputs.features.text.vectors.path: none.npy: no such file"):
        estimate(spec_of(data, inputs={"features": vectors}))
    with pytest.raises(InputError, match=r"model.towers.0.inputs.features.text.vectors.path: none.npy: no such file"):
        estimate(spec_of(data, towers=[{"inputs": {"features": vectors}}]))
    table = tmp_path / "vectors.npy"
    np.save(table, np.zeros((data.schema.n_items + 1, 4), np.float32))
    given, trained = (
        {"features": {"text": {"vectors": {"path": str(table), "trainable": on}}}} for on in (False, True)
    )
    with pytest.raises(InputError, match=r"^model.towers.0.inputs.features.text.vectors: another tower has other"):
        estimate(spec_of(data, inputs=given, towers=[{"inputs": trained}]))


def test_the_process_answers_line_by_line(data: Dataset) -> None:
    good, bad = small_spec(data.path), small_spec(Path("nowhere"))
    lines = "".join(json.dumps(spec.to_dict()) + "\n" for spec in (good, bad))
    done = subprocess.run(
        [sys.executable, "-m", "t4r_lab.training.estimate"],
        input=lines + "{half\n",
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, third = (json.loads(line) for line in done.stdout.splitlines())
    assert from_json(first).parameters == estimate(good).parameters
    assert "nowhere" in second["error"][0]
    assert third["error"][1].startswith("not valid JSON at column 2")


def test_describe_a_spec_from_the_shell(data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = small_spec(data.path)
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    assert main.main(["describe", str(tmp_path / "spec.yaml"), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["parameters"] == sum(cost["parameters"] for cost in content["costs"])
    assert content["memory"] > 4 * 4 * content["parameters"] * 0.9
    assert main.main(["describe", str(tmp_path / "spec.yaml")]) == 0
    text = capsys.readouterr().out
    assert "model.heads.0" in text and f"{content['parameters']:,}" in text and "an epoch" in text
