"""What a trained model costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from t4r_lab.families.metrics.shared.metric_row import Metric

if TYPE_CHECKING:
    from torch import nn


class Measurable(Protocol):
    """A model that has been trained, as `t4r_lab.tuning.trial.Trained` has it."""

    @property
    def model(self) -> nn.Module:
        """The torch module."""

    @property
    def epoch_seconds(self) -> float:
        """Mean seconds of an epoch's training."""

    def latency(self) -> float:
        """Milliseconds to recommend to one session, measured."""


def _parameters(trained: Measurable) -> float:
    return float(sum(p.numel() for p in trained.model.parameters()))


def _epoch_seconds(trained: Measurable) -> float:
    return trained.epoch_seconds


def _latency(trained: Measurable) -> float:
    return trained.latency()


METRICS = (
    Metric("parameters", "cost", "weights of the model", _parameters, "lower"),
    Metric("epoch_seconds", "cost", "mean seconds of an epoch's training", _epoch_seconds, "lower"),
    Metric("latency_ms", "cost", "milliseconds to recommend to one session", _latency, "lower", on_demand=True),
)
