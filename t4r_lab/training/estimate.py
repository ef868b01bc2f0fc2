"""What a spec costs, before it is trained: its model is built, and takes a few steps on the real data.

Parameters are counted on the built model and are exact. Memory is what that model holds in training: weights,
gradients, AdamW's two averages, what autograd keeps of a batch for the backward pass, and one chunk of logits; what
the interpreter and the data take comes on top. Seconds are those of steps, and of a piece of the validation, that were
taken and timed on this machine.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from t4r_lab.base import processors
from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError
from t4r_lab.spec import NEXT_ITEM, RunSpec
from t4r_lab.training.experiment import Experiment

if TYPE_CHECKING:
    from torch import nn

    from t4r_lab.data.prepared.prepared_data import Dataset
    from t4r_lab.nn.heads.model import Model
    from t4r_lab.nn.layers.flow import Batch

BUDGET, MOST_STEPS, VALIDATED = 1.0, 6, 256
"""Seconds after which no further step is timed, steps that are timed at most, and validation sessions."""


@dataclass(frozen=True)
class Cost:
    """One part of a model in training; all but `parameters` in bytes."""

    path: str
    """where it stands in the spec, such as ``model.inputs.features.item_id`` or ``model.body``"""
    parameters: int
    weights: int
    """of parameters and of tables that aren't trained"""
    gradients: int
    optimizer: int
    activations: int
    """kept of one batch for the backward pass"""
    logits: int = 0
    """of the largest chunk that is held at once"""

    @property
    def memory(self) -> int:
        """Bytes of the part in training, all together."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


@dataclass(frozen=True)
class Estimate:
    """What one run of a spec takes."""

    costs: tuple[Cost, ...]
    """of every part, in the order in which data flow through the model"""
    seconds: float
    """of one epoch: its steps and the validation"""
    steps: int
    """in one epoch"""

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(cost.parameters for cost in self.costs)

    @property
    def memory(self) -> int:
        """Bytes in training."""
        return sum(cost.memory for cost in self.costs)

    def total(self, kind: str) -> int:
        """Bytes of one kind, such as ``activations``, over all parts."""
        return sum(getattr(cost, kind) for cost in self.costs)


def estimate(spec: RunSpec) -> Estimate:
    """Build the model of `spec` and time a few steps on its data; nothing is recorded or kept.

    Raises
    ------
    InputError
        as `Experiment.open` does.
    """
    return measure(Experiment.open(spec))


def measure(experiment: Experiment) -> Estimate:
    """The same of what is open already."""
    from t4r_lab.nn.batches import make_batch, training_batches, training_length, training_windows
    from t4r_lab.training.accelerator import make_accelerator, put_on
    from t4r_lab.training.optimizer import make_optimizer
    from t4r_lab.training.trainer import train_step

    spec, dataset, sessions = experiment.spec, experiment.dataset, experiment.fitted
    accelerator = make_accelerator(spec.train)
    model = experiment.build().train()
    shortest = 2 if model.predicts_items else 1
    windows = training_windows(sessions, training_length(model.masking, spec.data.max_length), shortest)
    optimizer = make_optimizer(model, spec.train)
    wrapped, optimizer = put_on(accelerator, model, optimizer)
    held: Counter[str] = Counter()
    times: list[float] = []
    began = time.perf_counter()
    for window in training_batches(windows, spec.train.batch_size, spec.train.seed, 0):
        batch = make_batch(sessions, window, dataset.schema.item.name).to(accelerator.device)
        if not held:
            with accelerator.autocast():
                held = _held_for_backward(model, batch)
        start = time.perf_counter()
        found = train_step(accelerator, wrapped, optimizer, batch, model.weights, spec.train.clip_norm)
        float(next(iter(found.values()))[0])  # waits for an accelerator
        times.append(time.perf_counter() - start)
        enough = BUDGET if len(times) > 1 else 10 * BUDGET  # the first step also sets things up
        if len(times) > MOST_STEPS or time.perf_counter() - began > enough:
            break
    steps = math.ceil(len(windows) / spec.train.batch_size)
    step = statistics.median(times[1:] or times)
    targets = max((n for name, (_, n) in found.items() if name == NEXT_ITEM), default=0)
    seconds = step * steps + _validation_seconds(model, dataset, spec)
    return Estimate(tuple(_costs(model, held, targets)), seconds, steps)


def _parts(model: Model) -> Iterator[tuple[str, nn.Module]]:
    """Path and module of every part of a model that a spec describes, inner parts before those around them."""
    from t4r_lab.nn.bodies.towers import Towers

    body = model.head.body
    towers: Any = body.towers if isinstance(body, Towers) else [body]
    for number, tower in enumerate(towers):
        prefix = f"model.towers.{number - 1}" if number else "model"
        for name, encoder in tower.inputs.encoders.items():
            yield f"{prefix}.inputs.features.{name}", encoder
        yield f"{prefix}.inputs", tower.inputs
        *projections, last = tower.blocks
        for projection in projections:
            yield f"{prefix}.projection", projection
        yield f"{prefix}.body", last
    if isinstance(body, Towers) and body.gate is not None:
        yield "model.merge", body.gate
    for number, task in enumerate(model.head.tasks):
        yield f"model.heads.{number}", task
    if model.head.detector is not None:
        yield "model.masking", model.head.detector


def _costs(model: Model, held: Counter[str], targets: int) -> Iterator[Cost]:
    """The cost of every part; what two parts share belongs to the first."""
    from t4r_lab.nn.heads.next_item import NextItemPredictionTask
    from t4r_lab.nn.kernels.linear_cross_entropy import rows_per_chunk

    claimed: set[int] = set()
    lazy = {id(model.get_parameter(name)) for name in model.lazy}  # their gradients have a batch's rows
    for path, module in _parts(model):
        own = [t for t in (*module.parameters(), *module.buffers()) if id(t) not in claimed]
        claimed |= {id(t) for t in own}
        trained = sum(t.nbytes for t in own if t.requires_grad)
        parameters = sum(p.numel() for p in module.parameters() if any(p is t for t in own))
        logits = 0
        if isinstance(module, NextItemPredictionTask) and module.sampled is None:
            logits = min(rows_per_chunk(len(module.bias)), max(targets, 1)) * len(module.bias) * 4
        gradients = sum(t.nbytes for t in own if t.requires_grad and id(t) not in lazy)
        yield Cost(path, parameters, sum(t.nbytes for t in own), gradients, 2 * trained, held[path], logits)


def _held_for_backward(model: Model, batch: Batch) -> Counter[str]:
    """Bytes that autograd keeps of one batch, by the part at work. Weights and tables don't count."""
    import torch

    held: Counter[str] = Counter()
    seen = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    at_work = ["model.inputs"]

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:  # kept storage lives on, so that no other has its place
            seen.add(storage.data_ptr())
            held[at_work[-1]] += storage.nbytes()
        return tensor

    with ExitStack() as hooks:
        for path, module in _parts(model):
            hooks.callback(module.register_forward_pre_hook(lambda *_, path=path: at_work.append(path)).remove)
            hooks.callback(module.register_forward_hook(lambda *_: at_work.pop() and None).remove)
        for number, task in enumerate(model.head.tasks):
            hooks.callback(_tell(task, f"model.heads.{number}", at_work))
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            losses = model(batch)
        del losses
    return held


def _tell(task: Any, path: str, at_work: list[str]) -> Any:
    """Note that a task is at work in its `loss`, which is no module's call; returns what undoes it."""
    own = task.loss

    def loss(*arguments: Any) -> Any:
        at_work.append(path)
        found = own(*arguments)
        at_work.pop()
        return found

    task.loss = loss
    return lambda: delattr(task, "loss")


def _validation_seconds(model: Model, dataset: Dataset, spec: RunSpec) -> float:
    """Seconds of one evaluation on the validation part, from a sample of its sessions."""
    import numpy as np

    from t4r_lab.training.evaluation import assess

    if spec.train.fit_on != "train":
        return 0.0
    valid = dataset.part("valid")
    sample = valid.take(np.linspace(0, len(valid) - 1, min(len(valid), VALIDATED)).astype(np.int64))
    began = time.perf_counter()
    assess(model, sample, spec)
    return (time.perf_counter() - began) * len(valid) / max(len(sample), 1)


# ── A process that answers ──────────────────────────────────────────────────────────────────────


def to_json(found: Estimate) -> dict[str, Any]:
    """The estimate as plain content, which `from_json` reads."""
    return asdict(found)


def from_json(content: dict[str, Any]) -> Estimate:
    """An estimate from what `to_json` wrote."""
    return Estimate(tuple(Cost(**cost) for cost in content["costs"]), content["seconds"], content["steps"])


def serve() -> None:
    """Answer each line of standard input, a spec, by a line with its estimate or what is wrong; ends with the input."""
    import signal

    processors.limit()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is meant for whoever asks
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        try:
            answer = to_json(estimate(RunSpec.parse(read_json(line, "spec"))))
        except InputError as error:
            answer = {"error": error.parts}
        except BaseException as error:  # a panic of polars is no Exception
            answer = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    serve()
