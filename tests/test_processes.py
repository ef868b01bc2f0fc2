"""Several processes: a training in two comes to what one process comes to, on the processor (gloo)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from t4r_lab import build, runner, track, train
from t4r_lab.data.batches import make_batch
from t4r_lab.data.prepare import PrepareOptions, prepare
from t4r_lab.data.synthetic import Generator
from t4r_lab.errors import InputError
from t4r_lab.report import silent
from tests.processes import RESUMED, SAME_AS_ONE, SPECS, STEPS, TOY, Outcome, case, fitted, in_turn, resumed, windows_of
from tests.small import small_spec
from tests.toy import toy_spec

LAUNCH = (
    "accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no "
    "--dynamo_backend no --main_process_port 0"
)


@pytest.mark.parametrize("name", SPECS)
def test_every_trained_parameter_gets_a_gradient_even_from_no_session(name: str) -> None:
    """Else a process would wait for gradients that never come."""
    _, model = case(name)
    for count in (8, 0):
        model.zero_grad(set_to_none=True)
        model.loss(make_batch(TOY.part("train"), windows_of(model, SPECS[name]).take(range(count)))).mean.backward()
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        assert not [n for n, p in trained.items() if p.grad is None]
        assert count or not any(bool(p.grad.any()) for p in trained.values() if p.grad is not None)


def launch(module: list[str], **environment: str) -> str:
    """Run a module with its arguments in two processes; what they print."""
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment}
    command = [sys.executable, "-m", *LAUNCH.split(), "-m", *module]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def two_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(two_folder: Path) -> list[dict[str, Outcome]]:
    """What each of two processes has found."""
    for name in RESUMED:
        resumed(name, two_folder / f"one-{name}", STEPS)
    launch(["tests.processes", str(two_folder)])
    return [json.loads((two_folder / f"process-{rank}.json").read_text()) for rank in (0, 1)]


def compare(found: Outcome, expected: Outcome) -> None:
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-4)
    assert found["valid"] == pytest.approx(expected["valid"], abs=5e-3)
    assert set(found["said"]) == set(expected["said"])
    for task, answers in expected["said"].items():
        torch.testing.assert_close(torch.tensor(found["said"][task]), torch.tensor(answers), atol=2e-3, rtol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_two_processes_come_to_what_one_does_that_takes_their_shares_in_turn(name: str, two: Any) -> None:
    expected = in_turn(name)
    for found in two:
        compare(found[name], expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAME_AS_ONE)
def test_without_random_numbers_two_processes_come_to_what_one_does(name: str, two: Any, tmp_path: Path) -> None:
    compare(two[0][name], fitted(name, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", RESUMED)
def test_a_checkpoint_of_one_process_is_gone_on_from_in_two_and_back(
    name: str, two: Any, two_folder: Path, tmp_path: Path
) -> None:
    """With the epoch's loss over all of its steps, whoever took them."""
    expected = resumed(name, tmp_path, None)  # nothing to resume: all of it in one process
    assert expected is not None
    for found in two:
        compare(found[f"{name}, resumed"], expected)
    back = resumed(name, two_folder / f"two-{name}", None)
    assert back is not None
    compare(back, expected)


@pytest.mark.slow
def test_the_command_in_two_processes_records_one_run_with_every_head(tmp_path: Path) -> None:
    options = PrepareOptions(targets=["purchase", "price"])
    data = prepare(Generator(n_items=40).events(200), tmp_path / "data", options)
    labels = [{"kind": "binary", "column": "purchase"}, {"kind": "regression", "column": "price"}]
    spec = small_spec(data.path, model__heads=[{"kind": "next_item"}, *labels], train__device="cpu")
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    printed = launch(["t4r_lab", "train", str(tmp_path / "spec.yaml"), "--json"], T4R_LAB_HOME=str(tmp_path / "home"))
    (run,) = track.runs(tmp_path / "home")
    assert run.status == "FINISHED" and json.loads(printed)["run_id"] == run.run_id
    assert {"ndcg@5", "purchase/auc", "price/rmse"} <= set(run.valid)


def test_a_body_that_several_processes_cannot_train_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "make_accelerator", lambda asked: SimpleNamespace(num_processes=2))
    spec = toy_spec("reformer")
    model = build.build(spec, TOY.schema, TOY.item_table())
    with pytest.raises(
        InputError, match=r"reformer can't be trained in several processes; start one alone, or use gpt2"
    ):
        list(train.fit(model, TOY, spec, tmp_path))  # type: ignore[arg-type]
    data = prepare(Generator(n_items=40).events(50), tmp_path / "data", PrepareOptions())
    other = small_spec(data.path).override({"model.body": {"kind": "reformer", "d_model": 8}})
    with pytest.raises(InputError, match=r"model\.body\.kind: reformer"):
        runner.run(other, home=tmp_path / "home", on_report=silent)
    assert track.runs(tmp_path / "home") == []
