"""What is trained in two processes and in one: `test_processes.py` starts this file under ``accelerate launch``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from t4r_lab.base.reports import Epoch
from t4r_lab.nn.batches import make_batch, training_batches, training_length, training_windows, whole_windows
from t4r_lab.nn.heads.model import Model
from t4r_lab.nn.kernels import table_rows
from t4r_lab.spec import RunSpec
from t4r_lab.training import assembly, evaluation, trainer
from t4r_lab.training.optimizer import clip_gradients, make_optimizer, rate_factor, set_rate
from tests.support.toy import LABEL_HEADS, Toy, toy_spec, with_labels

Outcome = dict[str, Any]
NEXT = {"kind": "next_item"}
TOY = with_labels(Toy(n=120))


def heads(*specs: dict[str, Any]) -> dict[str, Any]:
    return {"model__heads": list(specs)}


SPECS: dict[str, RunSpec] = {
    "clm": toy_spec("gpt2", model__body__dropout=0.0),
    "labels beside clm": toy_spec("sasrec", model__body__dropout=0.0, **heads(NEXT, *LABEL_HEADS)),
    "labels beside mlm": toy_spec("bert", "mlm", **heads(NEXT, *LABEL_HEADS)),
    "labels alone, mlm": toy_spec("bert", "mlm", **heads(*LABEL_HEADS)),
    "labels alone, plm": toy_spec("xlnet", "plm", **heads(*LABEL_HEADS)),
    "plm": toy_spec("xlnet", "plm"),
    "rtd": toy_spec("bert", "rtd"),
    "rtd, separate": toy_spec("xlnet", "rtd", model__masking__discriminator="separate"),
    "ligr": toy_spec("ligr", model__body__dropout=0.0),
    "sasrec, mlm": toy_spec("sasrec", "mlm"),
    "towers": toy_spec("ligr+gru", model__merge="gate", model__body__dropout=0.0, model__towers__0__body__dropout=0.0),
    "lazy": toy_spec("gru", **heads(NEXT | {"loss": {"kind": "sampled_softmax"}}, LABEL_HEADS[0])),
    "sampled": toy_spec("gru", **heads(NEXT | {"weight_tying": False, "loss": {"kind": "bpr", "sampler": "in_batch"}})),
}
RESUMED, STEPS = ("clm", "labels beside clm"), 3
"""Trainings that are stopped after so many steps, within the first epoch, and gone on with in more or fewer processes."""
SAME_AS_ONE = [n for n, s in SPECS.items() if s.model.masking.kind == "clm" and s.model.body.dropout == 0]
"""Those in which nothing is drawn at random: there a process that trains alone takes the very same steps."""


@contextmanager
def tables_of(name: str) -> Iterator[None]:
    """In the case ``lazy`` every table is a large one."""
    before, table_rows.LARGE = table_rows.LARGE, 0 if name == "lazy" else table_rows.LARGE
    yield
    table_rows.LARGE = before


def case(name: str) -> tuple[RunSpec, Model]:
    """The spec, with batches of which the last has one session and leaves one of two processes without any."""
    spec = SPECS[name].override({"train.epochs": 1, "train.device": "cpu"})
    model = assembly.build(spec, TOY.schema, TOY.item_table())
    count = len(windows_of(model, spec))
    size = next(size for size in range(20, count) if count % size == 1)
    return spec.override({"train.batch_size": size}), model


def windows_of(model: Model, spec: RunSpec) -> Any:
    longest = training_length(model.masking, spec.data.max_length)
    return training_windows(TOY.part("train"), longest, 2 if model.predicts_items else 1)


def fitted(name: str, folder: Path) -> Outcome:
    """Trained by `fit`, in as many processes as there are."""
    spec, model = case(name)
    with tables_of(name):
        reports = list(trainer.fit(model, TOY, spec, folder))  # type: ignore[arg-type]
    (epoch,) = (r for r in reports if isinstance(r, Epoch))
    return outcome(model, spec, epoch.losses or {"next_item": epoch.train_loss}) | {"valid": epoch.valid}


def resumed(name: str, folder: Path, before: int | None) -> Outcome | None:
    """Two epochs, in as many processes as there are: the steps `before` a stop alone, or all that follow it.

    The losses are those of the first epoch, in whose midst the stop is.
    """
    spec, model = case(name)
    spec = spec.override({"train.epochs": 2})
    batches = iter(range(before or 0))
    stop = (lambda: next(batches) + 1 == before) if before else (lambda: False)
    reports = list(trainer.fit(model, TOY, spec, folder, stop, resume=before is None))  # type: ignore[arg-type]
    if before:
        return None
    first, last = (r for r in reports if isinstance(r, Epoch))
    return outcome(model, spec, first.losses or {"next_item": first.train_loss}) | {"valid": last.valid}


def in_turn(name: str, world: int = 2) -> Outcome:
    """Trained by one process that reads the share of each of `world` with its random numbers, and adds them up."""
    spec, model = case(name)
    optimizer, windows = make_optimizer(model, spec.train), windows_of(model, spec)
    shares = [list(training_batches(windows, spec.train.batch_size, 0, 0, rank, world)) for rank in range(world)]
    factor, sums, counts = rate_factor(spec.train, len(shares[0])), {}, {}
    model.train()
    with tables_of(name):
        for step, parts in enumerate(zip(*shares, strict=True)):
            outputs = []
            for rank, window in enumerate(parts):
                trainer.seed_step(spec.train.seed, step, rank)
                outputs.append(model(make_batch(TOY.part("train"), window)))
            total = torch.zeros(())
            for task, weight in model.weights.items():
                summed = sum(losses[task].mean * losses[task].targets for losses in outputs)
                targets = sum(losses[task].targets for losses in outputs)
                total = total + weight * summed / max(targets, 1)
                sums[task], counts[task] = sums.get(task, 0.0) + float(summed.detach()), counts.get(task, 0) + targets
            optimizer.zero_grad()
            total.backward()
            clip_gradients(
                SimpleNamespace(unscale_gradients=lambda: None), model.parameters(), spec.train.clip_norm or 1e9
            )
            set_rate(optimizer, spec.train.learning_rate * factor(step))
            optimizer.step()
    valid = evaluation.task_metrics(*evaluation.evaluate_tasks(model, TOY.part("valid"), spec))  # type: ignore[arg-type]
    return outcome(model, spec, {task: sums[task] / counts[task] for task in sums}) | {"valid": valid}


def outcome(model: Model, spec: RunSpec, losses: dict[str, float]) -> Outcome:
    """Losses by task and what the model says of some sessions."""
    sessions = TOY.part("test")
    longest = spec.data.max_length - model.masking.inference_reserve
    batch = make_batch(sessions, whole_windows(sessions, longest).take(np.arange(20)))
    with torch.no_grad():
        predictions = model.eval().predict(batch) | ({"next_item": model.score(batch)} if model.predicts_items else {})
    return {"losses": losses, "predictions": {task: answer.tolist() for task, answer in predictions.items()}}


if __name__ == "__main__":
    root = Path(sys.argv[1])
    everything = {name: fitted(name, root / name.replace(" ", "-")) for name in SPECS}
    for name in RESUMED:
        everything[f"{name}, resumed"] = resumed(name, root / f"one-{name}", None)
        resumed(name, root / f"two-{name}", STEPS)
    (root / f"process-{os.environ['RANK']}.json").write_text(json.dumps(everything))
