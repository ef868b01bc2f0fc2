"""Fit. The loop yields reports that console, record, pruner and widgets all read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import copy
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from t4r_lab.base.errors import InputError
from t4r_lab.base.processors import threads
from t4r_lab.base.reports import Epoch, Progress, Report, Stopped
from t4r_lab.data.sessions.arrays import check_sessions
from t4r_lab.nn.batches import make_batch, training_batches, training_length, training_windows
from t4r_lab.nn.bodies.blocks import TransformerBlock
from t4r_lab.nn.flow import Loss
from t4r_lab.spec import RunSpec, TrainSpec
from t4r_lab.training.checkpoint import State, best_path, read_state, write_state, write_weights
from t4r_lab.training.evaluation import assess, figures
from t4r_lab.training.labels import check_tasks
from t4r_lab.training.optimizer import clip_gradients, join_rows, make_optimizer

if TYPE_CHECKING:
    from t4r_lab.data.prepared.dataset import Dataset
    from t4r_lab.nn.heads.model import Model

REPORT_EVERY = 0.2
"""Seconds between two progress reports."""


class Diverged(RuntimeError):
    """The loss is no longer a number."""


# ── Fit ─────────────────────────────────────────────────────────────────────────────────────────


def fit(
    model: Model,
    dataset: Dataset,
    spec: RunSpec,
    folder: Path,
    should_stop: Callable[[], bool] = lambda: False,
    resume: bool = False,
) -> Iterator[Report]:
    """Train on the training part and keep the best epoch by validation, yielding reports.

    After it the model has the weights of the best epoch, which also stand in ``folder/best.safetensors``.
    The state is checkpointed after each epoch, within it every ``train.checkpoint_seconds``, and when
    `should_stop` ends training after a batch; with `resume` training goes on from there to the same result as
    if it had never stopped, since order and dropout depend on (seed, step) alone. Fit on ``train+valid`` there
    is nothing left to validate on: the last epoch is kept and ``Epoch.valid`` is empty.

    Raises
    ------
    InputError
        if no session can be trained on, or the data lacks a label of the model.
    Diverged
        if the loss stops being finite.
    """
    accelerator = make_accelerator(spec.train)
    check_processes({m.kind for m in model.modules() if isinstance(m, TransformerBlock)}, accelerator.num_processes)
    train = dataset.part(spec.train.fit_on)
    valid = dataset.part("valid") if spec.train.fit_on == "train" else None
    shortest = 2 if model.predicts_items else 1
    check_sessions(train, spec.data.path, shortest)
    check_tasks(model, train, spec.train.fit_on, dataset.split)
    windows = training_windows(train, training_length(model.masking, spec.data.max_length), shortest)
    too_short = len(train) - len(windows)
    steps = math.ceil(len(windows) / spec.train.batch_size)
    optimizer = make_optimizer(model, spec.train)
    state = read_state(folder, model, optimizer) if resume else State()
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, model.lazy)  # `join_rows` takes those
    wrapped, optimizer = put_on(accelerator, model, optimizer)
    schedule = rate_factor(spec.train, spec.train.epochs * steps)
    kept = time.monotonic()
    began, reason = kept - state.seconds, "finished"

    while state.epoch < spec.train.epochs and not state.out_of_patience(spec.train.patience):
        epoch_began = time.monotonic()
        batches = training_batches(
            windows, spec.train.batch_size, spec.train.seed, state.epoch,
            accelerator.process_index, accelerator.num_processes, state.batch,
        )  # fmt: skip
        meter = _Meter(state if accelerator.is_main_process else State(), model.weights, accelerator.device)
        model.train()
        for window in batches:
            seed_step(spec.train.seed, state.step(steps), accelerator.process_index)
            rate = set_rate(optimizer, spec.train.learning_rate * schedule(state.step(steps)))
            batch = make_batch(train, window, dataset.schema.item.name).to(accelerator.device)
            sums = train_step(accelerator, wrapped, optimizer, batch, model.weights, spec.train.clip_norm)
            meter.add(sums, len(window))
            state.batch += 1
            if meter.due() or state.batch == steps:
                yield Progress("training", state.step(steps), spec.train.epochs * steps, "steps", meter.figures(rate))
            late = time.monotonic() - kept > spec.train.checkpoint_seconds
            stop, late = anywhere(accelerator, should_stop(), late)
            if state.batch < steps and (stop or late):
                meter.save(state, accelerator)
                state.seconds = time.monotonic() - began
                write_state(folder, model, optimizer, state, accelerator.is_main_process)
                kept = time.monotonic()
            if stop:
                break
        if state.batch < steps:
            reason = "interrupted"
            break
        found = figures(*assess(model, valid, spec, accelerator=accelerator)) if valid is not None else {}
        merit = spec.merit(found) if valid is not None else 0.0
        best = valid is None or state.better(merit)
        meter.join(accelerator)
        if best:
            write_weights(best_path(folder), model, accelerator.is_main_process)
        report = Epoch(
            state.epoch + 1, spec.train.epochs, state.step(steps), meter.mean(), found, rate,
            time.monotonic() - epoch_began, best, meter.losses() if len(model.weights) > 1 else {},
            too_short + meter.skipped,
        )  # fmt: skip
        yield report  # before it is kept: who is killed between the two reports the epoch again rather than never
        state.end_epoch(merit, best, time.monotonic() - began)
        write_state(folder, model, optimizer, state, accelerator.is_main_process)
        kept = time.monotonic()
        if anywhere(accelerator, should_stop())[0] and state.epoch < spec.train.epochs:
            reason = "interrupted"
            break
    else:
        if state.epoch < spec.train.epochs:
            reason = "early stopping"

    accelerator.wait_for_everyone()
    if best_path(folder).exists():
        from t4r_lab.training.assembly import load_weights

        load_weights(model, best_path(folder))
    model.eval()
    yield Stopped(reason, state.best_epoch, time.monotonic() - began)


def check_processes(bodies: Collection[str], processes: int) -> None:
    """Refuse bodies that several processes can't train.

    Reformer's reversible layers go backward by themselves, once for each time that a step reads them, and torch takes
    the second for a mistake.
    """
    if processes > 1 and "reformer" in bodies:
        raise InputError(
            "model.body.kind: reformer can't be trained in several processes; start one alone, or use gpt2 or llama"
        )


def train_step(
    accelerator: Any,
    model: torch.nn.Module,
    optimizer: Any,
    batch: Any,
    weights: Mapping[str, float],
    clip_norm: float | None,
) -> dict[str, tuple[Tensor, int]]:
    """One step on this process's share of a batch; (sum of the loss, targets) of each task."""
    with accelerator.autocast():
        losses: dict[str, Loss] = model(batch)
    everywhere = [loss.targets for loss in losses.values()]
    if accelerator.num_processes > 1:
        everywhere = accelerator.reduce(torch.tensor(everywhere, device=accelerator.device), "sum").tolist()
    if any(everywhere):
        # Processes average their gradients: weigh by targets so that each task's mean is over the whole batch.
        accelerator.backward(
            sum(
                loss.mean * (weights[name] * loss.targets * accelerator.num_processes / max(total, 1))
                for (name, loss), total in zip(losses.items(), everywhere, strict=True)
            )
        )
        if accelerator.num_processes > 1:
            join_rows(accelerator, model.parameters())
        if clip_norm is not None:
            clip_gradients(accelerator, model.parameters(), clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return {name: (loss.mean.detach() * loss.targets, loss.targets) for name, loss in losses.items()}


def anywhere(accelerator: Any, *flags: bool) -> list[bool]:
    """Whether each of `flags` is set in any process: one that went its own way would leave the others waiting."""
    if accelerator.num_processes == 1:
        return list(flags)
    told = accelerator.reduce(torch.tensor(flags, dtype=torch.long, device=accelerator.device), "sum")
    return [bool(count) for count in told.tolist()]


def check_precision(train: TrainSpec) -> None:
    """Refuse a precision that the device lacks."""
    if train.precision == "float16" and _on_cpu(train):
        raise InputError("train.precision: float16 needs an accelerator; use float32 or bfloat16")


def _on_cpu(train: TrainSpec) -> bool:
    return train.device == "cpu" or not torch.accelerator.is_available()


def put_on(accelerator: Any, model: Model, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
    """Model and optimizer on the device of `accelerator`, joined with those of other processes."""
    # told that both are to go there, accelerate doesn't import torch's distributed tensors, .5 s, to find out
    prepared: tuple[Any, Any] = accelerator.prepare(model, optimizer, device_placement=[True, True])
    return prepared


def make_accelerator(train: TrainSpec) -> Any:
    """accelerate's handle on device, precision and processes."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState

    check_precision(train)
    precision = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[train.precision]
    if AcceleratorState._shared_state and PartialState().num_processes == 1:
        # accelerate keeps the first precision and device of a process; a notebook trains many runs in one
        AcceleratorState._reset_state(reset_partial_state=True)
    torch.set_num_threads(min(torch.get_num_threads(), threads()))
    return Accelerator(cpu=_on_cpu(train), mixed_precision=precision)


def rate_factor(train: TrainSpec, total: int) -> Callable[[int], float]:
    """The learning rate of a step as a share of its peak: linear warm-up, then the schedule's fall to 0."""
    warm = round(train.warmup * total)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        done = (step - warm) / max(total - warm, 1)
        return {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[train.schedule]

    return factor


def set_rate(optimizer: Any, rate: float) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def seed_step(seed: int, step: int, rank: int) -> None:
    """Make the randomness of a step depend on nothing but (seed, step, process)."""
    own = int.from_bytes(blake2b(f"{seed} {step} {rank}".encode(), digest_size=8).digest()) >> 1
    if torch.accelerator.is_available():
        torch.manual_seed(own)  # of every device, which takes .4 ms
    else:
        torch.default_generator.manual_seed(own)


class _Meter:
    """Sums of losses and targets of one epoch by task, kept on the device and read only to report."""

    def __init__(self, state: State, weights: Mapping[str, float], device: torch.device) -> None:
        self.weights, self.skipped, self.said = weights, state.skipped, -math.inf  # the first step is told at once
        exact = torch.float64 if device.type == "cpu" else torch.float32
        self.totals = {
            n: torch.tensor(state.loss_sum.get(n, 0.0), dtype=torch.float64).to(device, exact) for n in weights
        }
        self.counts = {name: state.loss_count.get(name, 0) for name in weights}

    def add(self, found: Mapping[str, tuple[Tensor, int]], sessions: int) -> None:
        """Take in a step on so many `sessions`, which count as skipped where there was no target."""
        for name, (total, count) in found.items():
            self.totals[name] += total
            self.counts[name] += count
        self.skipped += 0 if any(count for _, count in found.values()) else sessions

    def join(self, accelerator: Any) -> None:
        """Take in what the other processes have summed."""
        if accelerator.num_processes > 1:
            for name, total in self.totals.items():
                both = accelerator.reduce(torch.stack([total, total.new_tensor(self.counts[name])]), "sum")
                self.totals[name], self.counts[name] = both[0], int(both[1])
            skipped = torch.tensor(self.skipped, device=accelerator.device)
            self.skipped = int(accelerator.reduce(skipped, "sum"))

    def losses(self) -> dict[str, float]:
        """Mean loss of each task."""
        return {name: float(total) / max(self.counts[name], 1) for name, total in self.totals.items()}

    def mean(self) -> float:
        """Weighted sum of the tasks' losses."""
        value = sum(self.weights[name] * loss for name, loss in self.losses().items())
        if not math.isfinite(value):
            raise Diverged("the training loss is not finite; lower train.learning_rate, or set train.clip_norm")
        return value

    def due(self) -> bool:
        if time.monotonic() - self.said < REPORT_EVERY:
            return False
        self.said = time.monotonic()
        return True

    def figures(self, rate: float) -> dict[str, float]:
        return {"loss": self.mean(), "learning_rate": rate}

    def save(self, state: State, accelerator: Any) -> None:
        """Write the sums of all processes into `state`, from which the main one goes on."""
        whole = copy(self)
        whole.totals, whole.counts = dict(self.totals), dict(self.counts)
        whole.join(accelerator)
        state.loss_sum = {name: float(total) for name, total in whole.totals.items()}
        state.loss_count, state.skipped = whole.counts, whole.skipped
