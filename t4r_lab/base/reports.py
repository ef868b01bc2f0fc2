"""Reports of long work while it runs, for console, MLflow, pruner and widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, get_args

PART_WORDS = {
    "train": "training part",
    "valid": "validation part",
    "test": "test part",
    "train+valid": "training and validation parts",
}
"""Part of the data, as specs, options and the record call it → the words for people."""


@dataclass(frozen=True)
class Progress:
    """Work of one stage: `done` of `total` (0: unknown) `unit`s, with the latest figures."""

    stage: str
    done: int = 0
    total: int = 0
    unit: str = "steps"
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """The run has a record, under `run_id`."""

    run_id: str


@dataclass(frozen=True)
class Baseline:
    """Validation metrics of a baseline, known before training starts."""

    name: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class Epoch:
    """The end of one epoch: mean training loss and the metrics of the validation part."""

    epoch: int
    epochs: int
    step: int
    train_loss: float
    valid: dict[str, float]
    learning_rate: float
    seconds: float
    best: bool
    losses: dict[str, float] = field(default_factory=dict)
    """the training loss of each task by name, where there are several, before their weights"""
    skipped: int = 0
    """training sessions without a target, such as those of one event"""


@dataclass(frozen=True)
class Stopped:
    """Training has ended. `reason` is ``finished``, ``early stopping`` or ``interrupted``."""

    reason: str
    best_epoch: int
    seconds: float


@dataclass(frozen=True)
class TrialEnded:
    """A trial of a study has ended. `state` is ``finished``, ``pruned``, ``failed``, ``refused`` or ``lost``."""

    number: int
    state: str
    values: dict[str, float]
    reason: str
    seconds: float
    best: bool


@dataclass(frozen=True)
class Remark:
    """A remark for the user."""

    words: str


@dataclass(frozen=True)
class Caution:
    """A warning that figures may be misleading."""

    words: str


Report = Progress | Started | Baseline | Epoch | Stopped | TrialEnded | Remark | Caution
OnReport = Callable[[Report], None]


def silent(report: Report) -> None:
    """An `OnReport` that does nothing."""


def to_event(report: Report) -> dict[str, object]:
    """The report as one JSON-able event, its type under ``event``."""
    return {"event": type(report).__name__.lower(), **asdict(report)}


def from_event(event: Mapping[str, Any]) -> Report:
    """The report of an event of `to_event`; unknown keys, such as the time, are ignored."""
    kinds: dict[str, type[Report]] = {kind.__name__.lower(): kind for kind in get_args(Report)}
    kind = kinds[event["event"]]
    return kind(**{f.name: event[f.name] for f in fields(kind) if f.name in event})
