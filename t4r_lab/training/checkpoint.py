"""The state of an unfinished training: one safetensors file, replaced atomically, with the progress as JSON."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError, first_line
from t4r_lab.base.files import replacing

FILE = "checkpoint.safetensors"


def best_path(folder: Path) -> Path:
    """Path of the weights of the best epoch so far."""
    return folder / "best.safetensors"


def remove_torn(folder: Path) -> None:
    """Remove half-written files of a process that was killed: ours and those of safetensors, all hidden."""
    for path in folder.glob(".*"):
        path.unlink(missing_ok=True)


@dataclass
class State:
    """Progress of a training: `batch` steps into `epoch`, both from 0."""

    epoch: int = 0
    batch: int = 0
    best_epoch: int = 0
    best_value: float = -math.inf
    seconds: float = 0.0
    loss_sum: dict[str, float] = field(default_factory=dict)
    """task → sum of its loss in the epoch so far"""
    loss_count: dict[str, int] = field(default_factory=dict)
    skipped: int = 0

    def step(self, steps_per_epoch: int) -> int:
        """Steps taken since the start of training."""
        return self.epoch * steps_per_epoch + self.batch

    def better(self, value: float) -> bool:
        """True if `value`, the larger the better, beats the best epoch's."""
        return value > self.best_value

    def end_epoch(self, value: float, best: bool) -> None:
        """Begin the next epoch, after one of this validation `value`; `best` marks it as the best so far."""
        self.epoch += 1
        if best:
            self.best_epoch, self.best_value = self.epoch, value
        self.batch, self.loss_sum, self.loss_count, self.skipped = 0, {}, {}, 0

    def out_of_patience(self, patience: int | None) -> bool:
        """True if the best epoch is `patience` or more epochs ago; None waits forever."""
        return patience is not None and self.epoch - self.best_epoch >= patience


class Checkpoints:
    """Writes a training to its folder: at the end of each epoch, and within an epoch at intervals of seconds.

    Parameters
    ----------
    every: seconds after which a checkpoint is due within an epoch.
    spent: seconds of training before this process resumed it.
    write: True in the first of several processes alone, which writes for all.
    """

    def __init__(self, folder: Path, every: float, spent: float, write: bool) -> None:
        self.folder, self.every, self.write = folder, every, write
        self._written = time.monotonic()
        self._began = self._written - spent

    @property
    def seconds(self) -> float:
        """Seconds of training so far, with those before a resume."""
        return time.monotonic() - self._began

    def due(self) -> bool:
        """True if the last checkpoint is older than `every` seconds."""
        return time.monotonic() - self._written > self.every

    def save(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: State) -> None:
        """Write everything that a resumed training needs."""
        state.seconds = self.seconds
        write_state(self.folder, model, optimizer, state, self.write)
        self._written = time.monotonic()

    def save_best(self, model: torch.nn.Module) -> None:
        """Write the weights of the best epoch."""
        write_weights(best_path(self.folder), model, self.write)


def write_weights(path: Path, model: torch.nn.Module, write: bool = True) -> None:
    """Write the weights of `model` to `path`, replaced atomically; nothing without `write`."""
    if write:
        _replace(path, _named(model), {})


def write_state(
    folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: State, write: bool = True
) -> None:
    """Write weights, optimizer state and progress as one file; nothing without `write`."""
    if not write:
        return
    tensors = {f"model.{n}": t for n, t in _named(model).items()}
    for index, entry in optimizer.state_dict()["state"].items():
        for key, value in entry.items():
            tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value)
    _replace(folder / FILE, tensors, {"state": json.dumps(asdict(state))})


def read_state(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """Restore model and optimizer from the checkpoint of `write_state`; a fresh state if there is none.

    Raises
    ------
    InputError
        if the checkpoint is damaged or of another model.
    """
    from safetensors import SafetensorError, safe_open

    remove_torn(folder)
    path = folder / FILE
    if not path.exists():
        return State()
    try:
        with safe_open(str(path), "pt") as file:
            state = State(**read_json(file.metadata()["state"], str(path)))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        weights = _named(model)
        with torch.no_grad():
            for name, tensor in weights.items():
                tensor.copy_(tensors[f"model.{name}"])
    except (SafetensorError, KeyError, TypeError, RuntimeError, OSError, ValueError) as error:
        raise InputError(
            path, f"not a checkpoint of this run ({first_line(error)})", "train again without resuming"
        ) from None
    optimizer.load_state_dict(_optimizer_state(optimizer, tensors))
    return state


def _optimizer_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> dict[str, Any]:
    entries: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            entries.setdefault(int(index), {})[key] = tensor
    return {"state": entries, "param_groups": optimizer.state_dict()["param_groups"]}


def _named(model: torch.nn.Module) -> dict[str, Tensor]:
    """Name → parameter or persistent buffer; a shared tensor under its first name only."""
    persistent = model.state_dict().keys()
    return {n: t for n, t in (*model.named_parameters(), *model.named_buffers()) if n in persistent}


def _replace(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        save_file({n: t.detach().contiguous() for n, t in tensors.items()}, str(temporary), metadata)
