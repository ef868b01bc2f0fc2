"""The trainer: epochs of steps, each validated, the best one kept. It yields reports for every face."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from t4r_lab.base.reports import Epoch, Progress, Report, Stopped
from t4r_lab.data.sessions.arrays import Sessions, check_sessions
from t4r_lab.nn.batches import Windows, make_batch, training_batches, training_length, training_windows
from t4r_lab.nn.layers.flow import Batch, Loss
from t4r_lab.spec import RunSpec
from t4r_lab.training.accelerator import any_process, check_processes, make_accelerator, put_on
from t4r_lab.training.assembly import load_weights
from t4r_lab.training.checkpoint import Checkpoints, State, best_path, read_state
from t4r_lab.training.evaluation import evaluate_tasks, task_metrics
from t4r_lab.training.label_evaluation import check_tasks
from t4r_lab.training.loss_meter import LossMeter
from t4r_lab.training.optimizer import clip_gradients, join_rows, make_optimizer, rate_factor, set_rate

if TYPE_CHECKING:
    from accelerate import Accelerator

    from t4r_lab.data.prepared.prepared_data import Dataset
    from t4r_lab.nn.heads.model import Model


def fit(
    model: Model,
    dataset: Dataset,
    spec: RunSpec,
    folder: Path,
    should_stop: Callable[[], bool] = lambda: False,
    resume: bool = False,
) -> Iterator[Report]:
    """Train on the training part and keep the best epoch by validation, yielding reports.

    Afterwards the model has the weights of the best epoch, which are also written to ``folder/best.safetensors``.
    The state is checkpointed after each epoch, within it every ``train.checkpoint_seconds``, and when
    `should_stop` ends training after a batch; `resume` continues from it with the same result as if training had
    never stopped, since order and dropout depend on (seed, step) alone. Fitted on ``train+valid`` there is no
    validation: the last epoch is kept and ``Epoch.valid`` is empty.

    Raises
    ------
    InputError
        if no session can be trained on, or the data lack a label of the model.
    Diverged
        if the loss stops being finite.
    """
    yield from Trainer(model, dataset, spec, folder, should_stop, resume).run()


@dataclass(frozen=True)
class TrainingData:
    """Data of a training: its sessions, the windows cut from them, and the name of the item column."""

    sessions: Sessions
    valid: Sessions | None
    """validation part; None if the model is trained on it too"""
    windows: Windows
    too_short: int
    """sessions without a window"""
    steps: int
    """in one epoch"""
    item: str

    @classmethod
    def of(cls, model: Model, dataset: Dataset, spec: RunSpec) -> TrainingData:
        """The data of `spec`; an `InputError` for sessions and labels that `model` can't be trained on."""
        fit_on, shortest = spec.train.fit_on, 2 if model.predicts_items else 1
        sessions = dataset.part(fit_on)
        valid = dataset.part("valid") if fit_on == "train" else None
        check_sessions(sessions, spec.data.path, shortest)
        check_tasks(model, sessions, fit_on, dataset.split)
        windows = training_windows(sessions, training_length(model.masking, spec.data.max_length), shortest)
        steps = math.ceil(len(windows) / spec.train.batch_size)
        return cls(sessions, valid, windows, len(sessions) - len(windows), steps, dataset.schema.item.name)


class Trainer:
    """A training: its data, its state, and the steps of its epochs. Use `fit`."""

    def __init__(
        self, model: Model, dataset: Dataset, spec: RunSpec, folder: Path, should_stop: Callable[[], bool], resume: bool
    ) -> None:
        self.model, self.spec, self.folder, self.should_stop = model, spec, folder, should_stop
        # ── refuse what can't be trained
        self.accelerator = make_accelerator(spec.train)
        bodies: list[Any] = [module for module in model.modules() if hasattr(module, "maskings")]
        check_processes({body.kind for body in bodies}, self.accelerator.num_processes)
        self.data = TrainingData.of(model, dataset, spec)
        # ── initial weights, optimizer and state, or those of a checkpoint
        optimizer = make_optimizer(model, spec.train)
        self.state = read_state(folder, model, optimizer) if resume else State()
        self.wrapped, self.optimizer = put_on(self.accelerator, model, optimizer)
        # ── policies
        self.rate_factor = rate_factor(spec.train, self.total_steps)
        self.checkpoints = Checkpoints(
            folder, spec.train.checkpoint_seconds, self.state.seconds, self.accelerator.is_main_process
        )

    @property
    def total_steps(self) -> int:
        """Steps of all epochs."""
        return self.spec.train.epochs * self.data.steps

    def run(self) -> Iterator[Report]:
        """Train to the end or to a stop, then load the best weights into the model."""
        reason = yield from self._epochs()
        self.accelerator.wait_for_everyone()
        if (best := best_path(self.folder)).exists():
            load_weights(self.model, best)
        self.model.eval()
        yield Stopped(reason, self.state.best_epoch, self.checkpoints.seconds)

    def _epochs(self) -> Generator[Report, None, str]:
        """Train the remaining epochs; returns the reason of their end."""
        train, state = self.spec.train, self.state
        began = time.monotonic()
        while state.epoch < train.epochs:
            if state.out_of_patience(train.patience):
                return "early stopping"
            meter = LossMeter(
                state if self.accelerator.is_main_process else State(), self.model.weights, self.accelerator.device
            )
            yield from self._steps(meter)
            if state.batch < self.data.steps:
                return "interrupted"
            yield from self._end_epoch(meter, began)
            began = time.monotonic()  # before `should_stop`, so that the time it takes counts in an epoch
            if any_process(self.accelerator, self.should_stop())[0] and state.epoch < train.epochs:
                return "interrupted"
        return "finished"

    def _steps(self, meter: LossMeter) -> Iterator[Report]:
        """Take the remaining steps of an epoch, up to a stop."""
        train, state, accelerator, steps = self.spec.train, self.state, self.accelerator, self.data.steps
        self.model.train()
        for window in training_batches(
            self.data.windows,
            train.batch_size,
            train.seed,
            state.epoch,
            accelerator.process_index,
            accelerator.num_processes,
            state.batch,
        ):
            rate = self._step(window, meter)
            state.batch += 1
            if meter.due() or state.batch == steps:
                metrics = {"loss": meter.mean(), "learning_rate": rate}
                yield Progress("training", state.step(steps), self.total_steps, "steps", metrics)
            stop, due = any_process(accelerator, self.should_stop(), self.checkpoints.due())
            if state.batch < steps and (stop or due):
                meter.save(state, accelerator)
                self.checkpoints.save(self.model, self.optimizer, state)
            if stop:
                return

    def _step(self, window: Windows, meter: LossMeter) -> float:
        """Take one step on the sessions of `window`; returns its learning rate."""
        train, step = self.spec.train, self.state.step(self.data.steps)
        seed_step(train.seed, step, self.accelerator.process_index)
        rate = self._rate(step)
        set_rate(self.optimizer, rate)
        batch = make_batch(self.data.sessions, window, self.data.item).to(self.accelerator.device)
        sums = train_step(self.accelerator, self.wrapped, self.optimizer, batch, self.model.weights, train.clip_norm)
        meter.add(sums, len(window))
        return rate

    def _rate(self, step: int) -> float:
        """The learning rate of a step of the whole training, from 0."""
        return self.spec.train.learning_rate * self.rate_factor(step)

    def _end_epoch(self, meter: LossMeter, began: float) -> Iterator[Report]:
        """Validate, keep the weights if they are the best so far, report, and write the state."""
        model, spec, state, valid = self.model, self.spec, self.state, self.data.valid
        metrics, merit = {}, 0.0
        if valid is not None:
            metrics = task_metrics(*evaluate_tasks(model, valid, spec, accelerator=self.accelerator))
            merit = spec.merit(metrics)
        best = valid is None or state.better(merit)
        meter.join(self.accelerator)
        if best:
            self.checkpoints.save_best(model)
        step = state.step(self.data.steps)
        report = Epoch(
            state.epoch + 1,
            spec.train.epochs,
            step,
            meter.mean(),
            metrics,
            self._rate(step - 1),
            time.monotonic() - began,
            best,
            meter.losses() if len(model.weights) > 1 else {},
            self.data.too_short + meter.skipped,
        )
        yield report  # before the state: a process killed in between reports the epoch twice rather than never
        state.end_epoch(merit, best)
        self.checkpoints.save(model, self.optimizer, state)


def train_step(
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    weights: Mapping[str, float],
    clip_norm: float | None,
) -> dict[str, tuple[Tensor, int]]:
    """One step on this process's share of a batch; returns task → (sum of the loss, targets)."""
    with accelerator.autocast():
        losses: dict[str, Loss] = model(batch)
    targets = [loss.targets for loss in losses.values()]
    if accelerator.num_processes > 1:
        targets = accelerator.reduce(torch.tensor(targets, device=accelerator.device), "sum").tolist()
    if any(targets):
        # Processes average their gradients: weigh by targets so that each task's mean is over the whole batch.
        accelerator.backward(
            sum(
                loss.mean * (weights[name] * loss.targets * accelerator.num_processes / max(total, 1))
                for (name, loss), total in zip(losses.items(), targets, strict=True)
            )
        )
        if accelerator.num_processes > 1:
            join_rows(accelerator, model.parameters())
        if clip_norm is not None:
            clip_gradients(accelerator, model.parameters(), clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return {name: (loss.mean.detach() * loss.targets, loss.targets) for name, loss in losses.items()}


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed the random numbers of a step by (seed, step, process) alone."""
    hashed = int.from_bytes(blake2b(f"{seed} {step} {rank}".encode(), digest_size=8).digest()) >> 1
    if torch.accelerator.is_available():
        torch.manual_seed(hashed)  # of every device, which takes .4 ms
    else:
        torch.default_generator.manual_seed(hashed)
