"""Fit and evaluate. The loop yields reports that console, record, pruner and widgets all read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from t4r_lab.checkpoint import State, best_path, read_state, write_state, write_weights
from t4r_lab.data.batches import (
    Windows,
    evaluation_batches,
    evaluation_windows,
    inference_length,
    make_batch,
    seen_items,
    training_batches,
    training_length,
    training_windows,
    whole_windows,
)
from t4r_lab.errors import InputError
from t4r_lab.nn.heads import Loss
from t4r_lab.nn.losses import rows_per_chunk
from t4r_lab.nn.metrics import Ranks, ranks
from t4r_lab.report import Epoch, OnReport, Progress, Report, Stopped, silent
from t4r_lab.spec import EvaluationSpec, RunSpec, TrainSpec

if TYPE_CHECKING:
    from t4r_lab.data.dataset import Dataset
    from t4r_lab.data.sessions import Sessions
    from t4r_lab.nn.heads import Model

EVALUATION_BATCH = 256
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
        if no session can be trained on.
    Diverged
        if the loss stops being finite.
    """
    accelerator = make_accelerator(spec.train)
    train = dataset.part(spec.train.fit_on)
    valid = dataset.part("valid") if spec.train.fit_on == "train" else None
    windows = training_windows(train, training_length(model.masking, spec.data.max_length))
    too_short = len(train) - len(windows)
    if not len(windows):
        raise InputError(f"{spec.data.path}: no training session has two events; prepare with longer sessions")
    steps = math.ceil(len(windows) / spec.train.batch_size)
    optimizer = make_optimizer(model, spec.train)
    state = read_state(folder, model, optimizer) if resume else State()
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    schedule = rate_factor(spec.train, spec.train.epochs * steps)
    kept = time.monotonic()
    began, reason = kept - state.seconds, "finished"

    while state.epoch < spec.train.epochs and not state.out_of_patience(spec.train.patience):
        epoch_began = time.monotonic()
        batches = training_batches(
            windows, spec.train.batch_size, spec.train.seed, state.epoch,
            accelerator.process_index, accelerator.num_processes, state.batch,
        )  # fmt: skip
        meter = _Meter(state, accelerator.device)
        model.train()
        for window in batches:
            seed_step(spec.train.seed, state.step(steps), accelerator.process_index)
            rate = set_rate(optimizer, spec.train.learning_rate * schedule(state.step(steps)))
            batch = make_batch(train, window, dataset.schema.item.name).to(accelerator.device)
            meter.add(train_step(accelerator, wrapped, optimizer, batch, spec.train.clip_norm), len(window))
            state.batch += 1
            if meter.due() or state.batch == steps:
                yield Progress("training", state.step(steps), spec.train.epochs * steps, "steps", meter.figures(rate))
            stop, late = should_stop(), time.monotonic() - kept > spec.train.checkpoint_seconds
            if state.batch < steps and (stop or late):
                meter.save(state)
                state.seconds = time.monotonic() - began
                write_state(folder, model, optimizer, state, accelerator.is_main_process)
                kept = time.monotonic()
            if stop:
                break
        if state.batch < steps:
            reason = "interrupted"
            break
        found = evaluate(model, valid, spec, accelerator=accelerator).metrics() if valid is not None else {}
        best = valid is None or state.better(found[spec.monitor])
        meter.join(accelerator)
        if best:
            write_weights(best_path(folder), model, accelerator.is_main_process)
        report = Epoch(
            state.epoch + 1, spec.train.epochs, state.step(steps), meter.mean(), found, rate,
            time.monotonic() - epoch_began, best, meter.terms(), too_short + meter.skipped,
        )  # fmt: skip
        yield report  # before it is kept: who is killed between the two reports the epoch again rather than never
        state.end_epoch(found.get(spec.monitor, 0.0), best, time.monotonic() - began)
        write_state(folder, model, optimizer, state, accelerator.is_main_process)
        kept = time.monotonic()
        if should_stop() and state.epoch < spec.train.epochs:
            reason = "interrupted"
            break
    else:
        if state.epoch < spec.train.epochs:
            reason = "early stopping"

    accelerator.wait_for_everyone()
    if best_path(folder).exists():
        from t4r_lab.build import load_weights

        load_weights(model, best_path(folder))
    model.eval()
    yield Stopped(reason, state.best_epoch, time.monotonic() - began)


def train_step(accelerator: Any, model: torch.nn.Module, optimizer: Any, batch: Any, clip_norm: float | None) -> Loss:
    """One step on this process's share of a batch; none where no process has a target."""
    with accelerator.autocast():
        loss = model(batch)
    everywhere = loss.targets
    if accelerator.num_processes > 1:
        total = torch.tensor(loss.targets, device=loss.mean.device)
        everywhere = int(accelerator.reduce(total, "sum"))
    if everywhere == 0:
        return loss
    # Processes average their gradients: weigh by targets so that the mean is over the whole batch.
    accelerator.backward(loss.mean * (loss.targets * accelerator.num_processes / everywhere))
    if clip_norm is not None:
        accelerator.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss


def make_accelerator(train: TrainSpec) -> Any:
    """accelerate's handle on device, precision and processes."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState

    precision = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[train.precision]
    cpu = train.device == "cpu" or not torch.accelerator.is_available()
    if precision == "fp16" and cpu:
        raise InputError("train.precision: float16 needs an accelerator; use float32 or bfloat16")
    if AcceleratorState._shared_state and PartialState().num_processes == 1:
        # accelerate keeps the first precision and device of a process; a notebook trains many runs in one
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=cpu, mixed_precision=precision)


def make_optimizer(model: torch.nn.Module, train: TrainSpec) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices only, not on biases and norms (Loshchilov & Hutter, 2019)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": train.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=train.learning_rate, fused=True)


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
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> np.uint64(1)))


class _Meter:
    """Sums of the loss and its terms over one epoch, kept on the device and read only to report."""

    def __init__(self, state: State, device: torch.device) -> None:
        self.dtype = torch.float64 if device.type == "cpu" else torch.float32
        self.sums = {
            name: torch.tensor(value, dtype=self.dtype).to(device)
            for name, value in {"": state.loss_sum, **state.term_sums}.items()
        }
        # the first step is told at once
        self.count, self.skipped, self.said = state.loss_count, state.skipped, -math.inf

    def add(self, loss: Loss, sessions: int) -> None:
        """Take in the loss of a step on so many `sessions`; its terms are weighed by targets as the whole is."""
        if not loss.targets:
            self.skipped += sessions
            return
        for name, mean in {"": loss.mean, **loss.terms}.items():
            add = mean.detach().to(self.dtype) * loss.targets
            self.sums[name] = self.sums[name] + add if name in self.sums else add
        self.count += loss.targets

    def join(self, accelerator: Any) -> None:
        """Take in what the other processes have summed."""
        if accelerator.num_processes > 1:
            counts = self.sums[""].new_tensor([self.count, self.skipped])
            *sums, count, skipped = accelerator.reduce(torch.cat([torch.stack([*self.sums.values()]), counts]), "sum")
            self.sums, self.count, self.skipped = dict(zip(self.sums, sums, strict=True)), int(count), int(skipped)

    def mean(self, name: str = "") -> float:
        value = float(self.sums[name]) / max(self.count, 1)
        if not math.isfinite(value):
            raise Diverged("the training loss is not finite; lower train.learning_rate, or set train.clip_norm")
        return value

    def terms(self) -> dict[str, float]:
        return {name: self.mean(name) for name in self.sums if name}

    def due(self) -> bool:
        if time.monotonic() - self.said < REPORT_EVERY:
            return False
        self.said = time.monotonic()
        return True

    def figures(self, rate: float) -> dict[str, float]:
        return {"loss": self.mean(), "learning_rate": rate}

    def save(self, state: State) -> None:
        state.loss_sum, state.loss_count, state.skipped = float(self.sums[""]), self.count, self.skipped
        state.term_sums = {name: float(value) for name, value in self.sums.items() if name}


# ── Evaluate ────────────────────────────────────────────────────────────────────────────────────


@torch.inference_mode()
def evaluate(
    model: Model, sessions: Sessions, spec: RunSpec, on_report: OnReport = silent, accelerator: Any = None
) -> Ranks:
    """Rank every target of `sessions` among all items by what came before it.

    Exactly inference on each prefix: full ranking, ties by halves. With several processes each takes its
    share and all get the whole.
    """
    model.eval()
    device = next(model.parameters()).device
    windows = case_windows(model, sessions, spec)
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    parts, done = [], 0
    for index, chunk in enumerate(evaluation_batches(windows, EVALUATION_BATCH)):
        done += len(chunk)
        if index % world == rank:
            parts.append(_rank_chunk(model, sessions, chunk, spec.evaluation, device))
            on_report(Progress("evaluating", done, len(windows), "sessions"))
    if world > 1:
        from accelerate.utils import gather_object

        parts = gather_object(parts)
    return Ranks.gather(parts, spec.evaluation.cutoffs)


def case_windows(model: Model, sessions: Sessions, spec: RunSpec) -> Windows:
    """The cases of `sessions` as the model reads them."""
    longest = inference_length(model.masking, spec.data.max_length)
    return evaluation_windows(sessions, longest, spec.evaluation.positions, model.masking.causal)


def _rank_chunk(
    model: Model, sessions: Sessions, chunk: Windows, evaluation: EvaluationSpec, device: torch.device
) -> tuple[NDArray[Any], ...]:
    batch = make_batch(sessions, chunk, model.head.body.inputs.item).to(device)
    start = torch.from_numpy(chunk.read).to(device) if model.masking.causal else None
    queries = model.read(batch, start)
    count = chunk.stop - chunk.start - chunk.read
    row = np.repeat(chunk.row, count)
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    position = np.repeat(chunk.start + chunk.read, count) + step + 1
    target = sessions.values["item_id"][sessions.offsets[row] + position].astype(np.int64)
    labels, found = torch.from_numpy(target).to(device), []
    size = rows_per_chunk(model.head.task.candidates.shape[0])
    for at in range(0, len(queries), size):
        seen = None
        if evaluation.filter_seen:
            seen = seen_items(sessions, row[at : at + size], position[at : at + size]).to(device)
        found.append(ranks(model.head.task.scores(queries[at : at + size]), labels[at : at + size], seen))
    return row, position, target, torch.cat(found).cpu().numpy()


@torch.inference_mode()
def score(
    model: Model, sessions: Sessions, spec: RunSpec, k: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]]:
    """The k best next items after each whole session, a batch at a time.

    Yields (row of the session (b,), item ids (b, k), scores (b, k), probabilities (b, k)); sessions without
    events are left out. Probabilities are over all items, whether seen ones are filtered or not.
    """
    model.eval()
    device = next(model.parameters()).device
    windows = whole_windows(sessions, inference_length(model.masking, spec.data.max_length))
    windows = windows.take(np.flatnonzero(windows.stop > 0))
    size = min(EVALUATION_BATCH, rows_per_chunk(model.head.task.candidates.shape[0]))
    for chunk in evaluation_batches(windows, size):
        scores = model.score(make_batch(sessions, chunk, model.head.body.inputs.item).to(device)).float()
        norm = scores.logsumexp(1, keepdim=True)
        if spec.evaluation.filter_seen:
            seen = seen_items(sessions, chunk.row, chunk.stop).to(device)
            padded = torch.cat([scores.new_zeros(len(scores), 1), scores], 1).scatter_(1, seen, float("-inf"))
            scores = padded[:, 1:]
        best = scores.topk(min(k, scores.shape[1]), dim=1)
        yield (
            chunk.row,
            (best.indices + 1).cpu().numpy(),
            best.values.cpu().numpy(),
            (best.values - norm).exp().cpu().numpy(),
        )
