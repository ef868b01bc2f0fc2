"""Several processes: a training in two comes to what one process comes to, on the processor (gloo)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from t4r_lab import tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import silent
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.synthetic import Generator
from t4r_lab.nn.batches import make_batch
from t4r_lab.runs import processes
from t4r_lab.runs import run as runner
from t4r_lab.training import assembly, trainer
from tests import ROOT
from tests.support.processes import (
    RESUMED,
    SAME_AS_ONE,
    SPECS,
    STEPS,
    TOY,
    Outcome,
    case,
    fitted,
    in_turn,
    resumed,
    windows_of,
)
from tests.support.small import small_spec
from tests.support.toy import toy_spec

TORCHRUN = "torch.distributed.run --standalone --nproc_per_node 2"
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


def launch(launcher: str, module: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a module with its arguments in two processes."""
    root = ROOT
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment}
    command = [sys.executable, "-m", *launcher.split(), "-m", *module]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def two_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(two_folder: Path) -> list[dict[str, Outcome]]:
    """What each of two processes has found."""
    for name in RESUMED:
        resumed(name, two_folder / f"one-{name}", STEPS)
    launch(LAUNCH, ["tests.support.processes", str(two_folder)])
    return [json.loads((two_folder / f"process-{rank}.json").read_text()) for rank in (0, 1)]


def compare(actual: Outcome, expected: Outcome) -> None:
    assert actual["losses"] == pytest.approx(expected["losses"], rel=1e-4)
    assert actual["valid"] == pytest.approx(expected["valid"], abs=5e-3)
    assert set(actual["predictions"]) == set(expected["predictions"])
    for task, answers in expected["predictions"].items():
        torch.testing.assert_close(
            torch.tensor(actual["predictions"][task]), torch.tensor(answers), atol=2e-3, rtol=2e-3
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_two_processes_come_to_what_one_does_that_takes_their_shares_in_turn(name: str, two: Any) -> None:
    expected = in_turn(name)
    for outcomes in two:
        compare(outcomes[name], expected)


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
    for outcomes in two:
        compare(outcomes[f"{name}, resumed"], expected)
    back = resumed(name, two_folder / f"two-{name}", None)
    assert back is not None
    compare(back, expected)


@pytest.mark.slow
def test_the_command_in_two_processes_records_one_run_with_every_head_and_comes_to_the_metrics_of_one(
    tmp_path: Path,
) -> None:
    """On the same batches, without random numbers, on data large enough for a lost or doubled session to tell."""
    options = PrepareOptions(targets=["purchase", "price"])
    data = prepare(Generator(n_items=200).events(3000), tmp_path / "data", options)
    body = {"kind": "gpt2", "d_model": 16, "n_head": 2, "n_layer": 1, "dropout": 0.0}
    labels = [{"kind": "binary", "column": "purchase"}, {"kind": "regression", "column": "price"}]
    spec = small_spec(data.path, train__device="cpu", train__batch_size=64, train__learning_rate=3e-3).override(
        {"model.body": body, "model.masking": {"kind": "clm"}, "model.heads": [{"kind": "next_item"}, *labels]}
    )
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    command = ["t4r_lab", "train", str(tmp_path / "spec.yaml"), "--json"]
    done = launch(TORCHRUN, command, T4R_LAB_HOME=str(tmp_path / "two"))
    result = json.loads(done.stdout)  # fails where two documents are printed
    assert done.stderr.count("epoch 1/2") == 1
    runner.run(spec, home=tmp_path / "one", on_report=silent)
    runner.run(spec.override({"train.seed": 1}), home=tmp_path / "other", on_report=silent)
    valid, losses = {}, {}
    for home in ("one", "two", "other"):
        (run,) = tracking.runs(tmp_path / home)
        assert run.status == "FINISHED"
        assert (run.run_id == result["run_id"]) == (home == "two")
        valid[home] = run.valid
        losses[home] = [
            value for _, value in tracking.history(tmp_path / home, run.run_id, ["train/loss"])["train/loss"]
        ]
    assert result["valid"] == pytest.approx(valid["two"])
    assert {"ndcg@5", "purchase/auc", "price/rmse"} <= set(valid["two"])
    assert losses["two"] == pytest.approx(losses["one"], rel=1e-4)
    assert losses["other"] != pytest.approx(losses["one"], rel=1e-3)
    for name in ("ndcg@5", "recall@5", "mrr@5"):
        assert valid["two"][name] == pytest.approx(valid["one"][name], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 0])
def test_a_killed_process_is_said_in_a_line_and_the_run_can_be_gone_on_with(rank: int, tmp_path: Path) -> None:
    """The line stands above the launcher's own words."""
    home = tmp_path / "home"
    data = prepare(Generator(n_items=40).events(200), tmp_path / "data", PrepareOptions())
    spec = small_spec(data.path, train__device="cpu", train__epochs=5000, train__patience=None)
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    command = [sys.executable, "-m", *LAUNCH.split(), "-m", "t4r_lab", "train", str(tmp_path / "spec.yaml")]
    root = ROOT
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "T4R_LAB_HOME": str(home)}
    process = subprocess.Popen(command, env=environment, cwd=root, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for(lambda: home.exists() and _epochs(home) > 1)
        os.kill(_rank(process.pid, rank), signal.SIGKILL)
        _, output = process.communicate(timeout=60)
    finally:
        process.kill()
    lines = [line for line in output.replace("\r", "\n").splitlines() if line.strip()]
    wanted = f"error: process {rank + 1} of 2 was killed or failed"
    assert wanted in output, output
    (position,) = [at for at, line in enumerate(lines) if wanted in line]
    assert position < min(at for at, line in enumerate(lines) if "ChildFailedError" in line or "Root Cause" in line)
    (run,) = processes.runs(home)
    assert run.status == "KILLED"
    assert run.reason == ("process 2 of 2 was killed or failed" if rank else processes.DIED)
    assert processes.can_resume(Path(run.folder))
    assert f"--resume {run.run_id[:12]}" in lines[position]


def _wait_for(condition: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _epochs(home: Path) -> int:
    return max(
        [len(tracking.history(home, run.run_id, ["train/loss"])["train/loss"]) for run in tracking.runs(home)] or [0]
    )


def _rank(launcher: int, rank: int) -> int:
    """The number of the process with that rank."""
    for child in psutil.Process(launcher).children(recursive=True):
        if child.environ().get("RANK") == str(rank):
            return int(child.pid)
    raise AssertionError(f"no process of rank {rank}")


def test_a_body_that_several_processes_cannot_train_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "make_accelerator", lambda train: SimpleNamespace(num_processes=2))
    spec = toy_spec("reformer")
    model = assembly.build(spec, TOY.schema, TOY.item_table())
    with pytest.raises(
        InputError, match=r"reformer can't be trained in several processes; start one alone, or use gpt2"
    ):
        list(trainer.fit(model, TOY, spec, tmp_path))  # type: ignore[arg-type]
    data = prepare(Generator(n_items=40).events(50), tmp_path / "data", PrepareOptions())
    other = small_spec(data.path).override({"model.body": {"kind": "reformer", "d_model": 8}})
    monkeypatch.setenv("WORLD_SIZE", "2")  # as launchers say it
    with pytest.raises(InputError, match=r"model\.body\.kind: reformer"):
        runner.run(other, home=tmp_path / "home", on_report=silent)
    assert tracking.runs(tmp_path / "home") == []
