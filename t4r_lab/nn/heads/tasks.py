"""Tasks that predict a label column, of the session or of each event: binary, categorical, regression.

A label task sees what inference sees: every event of the window, nothing hidden, no event left out. A label
of level ``session`` is read from a summary of the whole window; one of level ``event`` at the event's own
position, by a body that has seen no later event. Label columns are never features (their role is ``target``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.families.metrics.metric_table import metrics_of
from t4r_lab.families.metrics.shared.metric_row import LabelKind
from t4r_lab.nn.kernels.dropout import Dropout
from t4r_lab.nn.layers.flow import Loss
from t4r_lab.schema.columns import UNKNOWN
from t4r_lab.spec import event_summary_refusal

LEVELS = ("session", "event")


# ── Summaries: one vector for each session ──────────────────────────────────────────────────────


class LastSummary(nn.Module):
    """The last real position, (B, T, D) to (B, D)."""

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) and `valid` (B, T) to (B, D): the vector of the last event."""
        last = (valid.sum(1) - 1).clamp(min=0)
        return hidden[torch.arange(len(hidden), device=hidden.device), last]


class FirstSummary(nn.Module):
    """The first position, (B, T, D) to (B, D). Of a causal body it has seen the first event alone."""

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) to (B, D): the vector of the first event."""
        return hidden[:, 0]


class MeanSummary(nn.Module):
    """The mean over real positions, (B, T, D) to (B, D)."""

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) and `valid` (B, T) to (B, D): the mean over events."""
        kept = hidden.masked_fill(~valid[..., None], 0.0)
        return kept.sum(1) / valid.sum(1, keepdim=True).clamp(min=1)


class AttentionSummary(nn.Module):
    """Σ α_t h_t with α = softmax(v·tanh(W h + b)) over real positions (Yang et al., 2016), (B, T, D) to (B, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1, bias=False))

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) and `valid` (B, T) to (B, D): the weighted sum over events."""
        kept = hidden.masked_fill(~valid[..., None], 0.0)  # what stands at padding may be anything, inf too
        score = self.score(kept)[..., 0].masked_fill(~valid, torch.finfo(kept.dtype).min)
        return torch.einsum("bt,btd->bd", score.softmax(1), kept)


SUMMARIES: dict[str, Callable[[int], nn.Module]] = {
    "last": lambda width: LastSummary(),
    "first": lambda width: FirstSummary(),
    "mean": lambda width: MeanSummary(),
    "attention": AttentionSummary,
}


# ── Kinds of labels ─────────────────────────────────────────────────────────────────────────────


class LabelOutput(Protocol):
    """The output layer of a kind of label: its width, loss and prediction."""

    kind: LabelKind
    width: int
    """channels of the output layer"""
    classes: int
    """of a prediction; 0 for one number"""

    def target(self, labels: Tensor) -> Tensor:
        """Stored labels (N,), none missing, as the loss takes them."""

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        """Outputs (N, width) and targets (N,) to the sum over cases."""

    def prediction(self, out: Tensor) -> Tensor:
        """Outputs (N, width) to predictions (N,), or probabilities (N, classes)."""


class BinaryOutput:
    """Yes or no: cross-entropy of σ(out); predicts the probability of yes."""

    kind: LabelKind = "binary"
    width, classes = 1, 0

    def target(self, labels: Tensor) -> Tensor:
        """Labels (N,) to 0 or 1; of two categories the second is yes: 0 < 1, false < true, no < yes.

        Raises
        ------
        InputError
            for any other label.
        """
        target = labels if labels.is_floating_point() else (labels - UNKNOWN - 1).float()
        other = target[(target != 0) & (target != 1)]
        if len(other):
            raise InputError(
                "labels", f"a binary label is {float(other[0]):g}, not 0 or 1", "use a task of another kind"
            )
        return target

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        """Binary cross-entropy with logits (N, 1), summed over cases."""
        return F.binary_cross_entropy_with_logits(out[:, 0], target, reduction="sum")

    def prediction(self, out: Tensor) -> Tensor:
        """Logits (N, 1) to the probability of yes (N,)."""
        return out[:, 0].sigmoid()


class CategoricalOutput:
    """One of C classes: cross-entropy of softmax(out); predicts the probability of each."""

    kind: LabelKind = "categorical"

    def __init__(self, classes: int) -> None:
        self.width = self.classes = classes

    def target(self, labels: Tensor) -> Tensor:
        """Labels (N,) to classes 0 to width - 1.

        Raises
        ------
        InputError
            for a class out of that range.
        """
        target = labels.long() if labels.is_floating_point() else labels - UNKNOWN - 1
        if len(target) and not 0 <= int(target.min()) <= int(target.max()) < self.width:
            raise InputError(
                "classes",
                f"class {int(target.max() if target.max() >= self.width else target.min())} is out of "
                f"range 0 to {self.width - 1}",
                f"give the task classes={int(target.max()) + 1}",
            )
        return target

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of logits (N, width), summed over cases."""
        return F.cross_entropy(out, target, reduction="sum")

    def prediction(self, out: Tensor) -> Tensor:
        """Logits (N, width) to probabilities (N, width)."""
        return out.softmax(1)


REGRESSION_LOSSES: dict[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss}


class NumberOutput:
    """A number: the loss compares out with (label - mean) / std; predicts in the label's own unit."""

    kind: LabelKind = "regression"
    width, classes = 1, 0

    def __init__(self, loss: str, mean: float, std: float) -> None:
        if loss not in REGRESSION_LOSSES:
            raise InputError("loss", f"{loss!r} of a regression is not known", did_you_mean(loss, REGRESSION_LOSSES))
        self.name, self.mean, self.std = loss, mean, std

    def target(self, labels: Tensor) -> Tensor:
        """Labels (N,) in standard deviations from their mean."""
        return (labels - self.mean) / self.std

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        """The regression loss of outputs (N, 1), in standard deviations, summed over cases."""
        return REGRESSION_LOSSES[self.name](out[:, 0], target, reduction="sum")

    def prediction(self, out: Tensor) -> Tensor:
        """Outputs (N, 1) to the label's unit (N,)."""
        return out[:, 0] * self.std + self.mean


# ── The task ────────────────────────────────────────────────────────────────────────────────────


class LabelTask(nn.Module):
    """Predict label column `name` from the body: summary, dropout, one linear layer, and `answer`.

    Cases without a label (an unknown category, NaN) count neither in the loss nor in the metrics.

    Parameters
    ----------
    answer: the kind of label, with its loss and prediction.
    summary: ``last``, ``first``, ``mean`` or ``attention``: how a window becomes one vector.
    level: ``session``: one label for the whole; ``event``: a label for each event, from the events up to it.
    metrics: those to compute; by default all of the kind.
    """

    def __init__(
        self, column: str, answer: LabelOutput, summary: str, level: str, dropout: float, metrics: Sequence[str] | None
    ) -> None:
        super().__init__()
        for word, value, choices in (("summary", summary, SUMMARIES), ("level", level, LEVELS)):
            if value not in choices:
                raise InputError(word, f"{value!r} of task {column!r} is not known", did_you_mean(value, choices))
        if level == "event" and summary != "last":
            raise event_summary_refusal(column, summary)
        supported = metrics_of(answer.kind)
        for metric in metrics or ():
            if metric not in supported:
                raise InputError(
                    "metrics",
                    f"{metric!r} of task {column!r} is not known",
                    did_you_mean(metric, supported),
                )
        self.name, self.answer, self.level, self.summary_kind = column, answer, level, summary
        self.metrics = tuple(metrics or supported)
        self.dropout = Dropout(dropout)

    def build(self, body: Any) -> None:
        """Make the parameters that fit `body`; `Head` calls it once."""
        self.summary = SUMMARIES[self.summary_kind](body.output_dim)
        self.output = nn.Linear(body.output_dim, self.answer.width)

    def read(self, hidden: Tensor, valid: Tensor, predict: Tensor) -> Tensor:
        """The vector of each True place of `predict` (B, T), (N, D); a session's one place stands for the whole."""
        if self.level == "event":
            return hidden[predict]
        summary: Tensor = self.summary(hidden, valid)
        return summary[predict.any(1)]

    def loss(self, vectors: Tensor, labels: Tensor) -> Loss:
        """`vectors` (N, D) of `read`, `labels` (N,) as they are stored."""
        has_label = ~labels.isnan() if labels.is_floating_point() else labels > UNKNOWN
        total = self.answer.loss(self._out(vectors[has_label]), self.answer.target(labels[has_label]))
        count = int(has_label.sum())
        return Loss(total / max(count, 1), count)

    def predictions(self, vectors: Tensor) -> Tensor:
        """(N,) probability of yes or number, or (N, C) probabilities."""
        return self.answer.prediction(self._out(vectors))

    def _out(self, vectors: Tensor) -> Tensor:
        out: Tensor = self.output(self.dropout(vectors))
        return out.float()


def BinaryClassificationTask(
    column: str,
    summary: str = "last",
    level: str = "session",
    dropout: float = 0.0,
    metrics: Sequence[str] | None = None,
) -> LabelTask:
    """A yes/no label: a column of two categories or of numbers 0 and 1. AUC, average precision, accuracy."""
    return LabelTask(column, BinaryOutput(), summary, level, dropout, metrics)


def CategoricalClassificationTask(
    column: str,
    classes: int,
    summary: str = "last",
    level: str = "session",
    dropout: float = 0.0,
    metrics: Sequence[str] | None = None,
) -> LabelTask:
    """A label of `classes` categories. Macro AUC and average precision (each class against the rest), accuracy."""
    return LabelTask(column, CategoricalOutput(classes), summary, level, dropout, metrics)


def RegressionTask(
    column: str,
    loss: str = "mse",
    summary: str = "last",
    level: str = "session",
    dropout: float = 0.0,
    metrics: Sequence[str] | None = None,
    mean: float = 0.0,
    std: float = 1.0,
) -> LabelTask:
    """A number. `loss` is ``mse``, ``mae`` or ``huber``, of the label with `mean` off in units of `std`. RMSE, MAE."""
    return LabelTask(column, NumberOutput(loss, mean, std), summary, level, dropout, metrics)
