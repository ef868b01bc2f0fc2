"""The cost of a spec before training, measured on its model during a few steps on the real data.

Parameters are counted exactly on the built model. Memory is that of the model in training: weights, gradients, AdamW's
two averages, the activations that autograd keeps of a batch for the backward pass, and one chunk of logits; interpreter
and data need more. Seconds are extrapolated from steps, and from a sample of the validation, timed on this machine.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from t4r_lab.base import processors
from t4r_lab.base.documents import Document, read_json
from t4r_lab.base.errors import InputError
from t4r_lab.spec import NEXT_ITEM, RunSpec
from t4r_lab.spec.sections import HEADS, TOWERS
from t4r_lab.training.experiment import Experiment

if TYPE_CHECKING:
    from torch import Tensor, nn

    from t4r_lab.data.prepared.prepared_data import Dataset
    from t4r_lab.nn.heads.model import Model
    from t4r_lab.nn.layers.flow import Batch, Loss

BUDGET, MOST_STEPS, VALIDATED = 1.0, 6, 256
"""Seconds after which no further step is timed, the most steps to time, and the validation sessions to sample."""


@dataclass(frozen=True)
class Cost:
    """One part of a model in training, in bytes but for `parameters` and `seconds`."""

    path: str
    """path in the spec, such as ``model.inputs.features.item_id`` or ``model.body``"""
    parameters: int
    weights: int
    """of parameters and of frozen tables"""
    gradients: int
    optimizer: int
    activations: int
    """kept for the backward pass of one batch"""
    logits: int = 0
    """of the largest chunk that is in memory at once"""
    seconds: float = 0.0
    """of one step, in its forward and its backward pass"""

    @property
    def memory(self) -> int:
        """Total bytes of the part in training."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


@dataclass(frozen=True)
class Estimate:
    """The cost of one run of a spec."""

    costs: tuple[Cost, ...]
    """of every part, in the order of the forward pass"""
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
    """Build the model of `spec` and time a few steps on its data; nothing is recorded or saved.

    Raises
    ------
    InputError
        as `Experiment.open` does.
    """
    return measure(Experiment.open(spec))


def measure(experiment: Experiment) -> Estimate:
    """Build the model of `experiment` and time a few steps on its data, as `estimate` does for a spec."""
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
    activations: Counter[str] = Counter()
    step_seconds: list[float] = []
    start_of_steps = time.perf_counter()
    for window in training_batches(windows, spec.train.batch_size, spec.train.seed, 0):
        batch = make_batch(sessions, window, dataset.schema.item.name).to(accelerator.device)
        if not activations:
            with accelerator.autocast():
                activations = _held_for_backward(model, batch)
        start = time.perf_counter()
        losses = train_step(accelerator, wrapped, optimizer, batch, model.weights, spec.train.clip_norm)
        float(next(iter(losses.values()))[0])  # waits for an accelerator
        step_seconds.append(time.perf_counter() - start)
        budget = BUDGET if len(step_seconds) > 1 else 10 * BUDGET  # the first step includes set-up
        if len(step_seconds) > MOST_STEPS or time.perf_counter() - start_of_steps > budget:
            break
    steps = math.ceil(len(windows) / spec.train.batch_size)
    step = statistics.median(step_seconds[1:] or step_seconds)
    seconds_of_parts = _seconds_of_parts(model, batch, accelerator.autocast)
    targets = max((n for name, (_, n) in losses.items() if name == NEXT_ITEM), default=0)
    seconds = step * steps + _validation_seconds(model, dataset, spec)
    return Estimate(tuple(_costs(model, activations, seconds_of_parts, targets)), seconds, steps)


def _parts(model: Model) -> Iterator[tuple[str, nn.Module]]:
    """Path and module of every part of a model that a spec describes, inner parts before those around them."""
    from t4r_lab.nn.bodies.towers import Towers

    body = model.head.body
    towers: Any = body.towers if isinstance(body, Towers) else [body]
    for number, tower in enumerate(towers):
        prefix = f"{TOWERS}.{number - 1}" if number else "model"
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
        yield f"{HEADS}.{number}", task
    if model.head.detector is not None:
        yield "model.masking", model.head.detector


def _costs(model: Model, activations: Counter[str], seconds: Mapping[str, float], targets: int) -> Iterator[Cost]:
    """The cost of every part; tensors that two parts share belong to the first."""
    from t4r_lab.nn.heads.next_item import NextItemPredictionTask
    from t4r_lab.nn.kernels.linear_cross_entropy import rows_per_chunk

    counted: set[int] = set()
    lazy = {id(model.get_parameter(name)) for name in model.lazy}  # their gradients have a batch's rows
    for path, module in _parts(model):
        tensors = [t for t in (*module.parameters(), *module.buffers()) if id(t) not in counted]
        counted |= {id(t) for t in tensors}
        trained = sum(t.nbytes for t in tensors if t.requires_grad)
        parameters = sum(p.numel() for p in module.parameters() if any(p is t for t in tensors))
        logits = 0
        if isinstance(module, NextItemPredictionTask) and module.sampled is None:
            logits = min(rows_per_chunk(len(module.bias)), max(targets, 1)) * len(module.bias) * 4
        gradients = sum(t.nbytes for t in tensors if t.requires_grad and id(t) not in lazy)
        weights = sum(t.nbytes for t in tensors)
        held = activations[path]
        yield Cost(path, parameters, weights, gradients, 2 * trained, held, logits, seconds.get(path, 0.0))


def _held_for_backward(model: Model, batch: Batch) -> Counter[str]:
    """Path of each part → bytes that autograd keeps for the backward pass of one batch, without weights and tables."""
    import torch

    activations: Counter[str] = Counter()
    seen = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    active_parts = ["model.inputs"]

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:  # storage that is kept stays allocated, so that no other has its address
            seen.add(storage.data_ptr())
            activations[active_parts[-1]] += storage.nbytes()
        return tensor

    with _around_parts(model, active_parts.append, lambda *_: active_parts.pop()):
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            losses = model(batch)
        del losses
    return activations


class _Clock:
    """Seconds of each part of a step: that begun last counts, until another begins or it ends."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._active = ["model.inputs"]
        self._since = time.perf_counter()

    def begin(self, path: str) -> None:
        """Count for `path` from now on."""
        self._count()
        self._active.append(path)

    def end(self) -> None:
        """Count for the part before again."""
        self._count()
        self._active.pop()

    def turn(self, path: str) -> None:
        """Count for `path` instead of the part that is active."""
        self._count()
        self._active[-1] = path

    def _count(self) -> None:
        now = time.perf_counter()
        self.seconds[self._active[-1]] = self.seconds.get(self._active[-1], 0.0) + now - self._since
        self._since = now


def _seconds_of_parts(
    model: Model, batch: Batch, autocast: Callable[[], AbstractContextManager[Any]]
) -> dict[str, float]:
    """Path of each part → seconds of its forward and backward pass on one batch.

    The backward pass reaches a part when the gradient of its output is there, and leaves it when that of the part
    before is.
    """
    import torch

    clock = _Clock()

    def reached(path: str, output: object) -> None:
        outputs = output if isinstance(output, tuple) else (output, *vars(output).values())
        first = next((t for t in outputs if isinstance(t, torch.Tensor) and t.requires_grad), None)
        if first is not None:
            first.register_hook(lambda _: clock.turn(path))

    def leave(path: str, output: object) -> None:
        clock.end()
        reached(path, output)

    with _around_parts(model, clock.begin, leave):
        with autocast():
            losses = model(batch)
        clock.turn(f"{HEADS}.0")
        if any(loss.targets for loss in losses.values()):
            sum(loss.mean for loss in losses.values()).backward()
        clock.turn("")
    model.zero_grad(set_to_none=True)
    return clock.seconds


@contextmanager
def _around_parts(model: Model, begin: Callable[[str], object], end: Callable[[str, object], object]) -> Iterator[None]:
    """Call ``begin(path)`` before and ``end(path, output)`` after the forward pass of each part, and of each loss."""

    def enter(*_: object, path: str) -> None:
        begin(path)

    def leave(*arguments: object, path: str) -> None:
        end(path, arguments[-1])

    with ExitStack() as hooks:
        for path, module in _parts(model):
            hooks.callback(module.register_forward_pre_hook(partial(enter, path=path)).remove)
            hooks.callback(module.register_forward_hook(partial(leave, path=path)).remove)
        for number, task in enumerate(model.head.tasks):
            path = f"{HEADS}.{number}"
            hooks.callback(_around_loss(task, partial(begin, path), partial(end, path)))
        yield


def _around_loss(task: Any, before: Callable[[], object], after: Callable[[Loss], object]) -> Callable[[], None]:
    """Call `before` and `after` around the `loss` of a task, which no module computes; returns the undo."""
    task_loss = task.loss

    def loss(*arguments: Tensor) -> Loss:
        before()
        value: Loss = task_loss(*arguments)
        after(value)
        return value

    task.loss = loss
    return lambda: delattr(task, "loss")


def _validation_seconds(model: Model, dataset: Dataset, spec: RunSpec) -> float:
    """Seconds of one evaluation on the validation part, from a sample of its sessions."""
    import numpy as np

    from t4r_lab.training.evaluation import evaluate_tasks

    if spec.train.fit_on != "train":
        return 0.0
    valid = dataset.part("valid")
    sample = valid.take(np.linspace(0, len(valid) - 1, min(len(valid), VALIDATED)).astype(np.int64))
    began = time.perf_counter()
    evaluate_tasks(model, sample, spec)
    return (time.perf_counter() - began) * len(valid) / max(len(sample), 1)


# ── Estimates from a process of its own ─────────────────────────────────────────────────────────


def to_json(result: Estimate) -> dict[str, object]:
    """The estimate as JSON content, for `from_json`."""
    return asdict(result)


def from_json(content: Document) -> Estimate:
    """An estimate from what `to_json` wrote."""
    return Estimate(tuple(Cost(**cost) for cost in content["costs"]), content["seconds"], content["steps"])


def serve() -> None:
    """Print one JSON line per spec, one per line of standard input: its estimate or error. Ends with the input."""
    import signal

    processors.limit()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is meant for the process that sends the specs
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
