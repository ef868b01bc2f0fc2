"""Heads: the next item with its losses, and labels. Each knob is defined once."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from t4r_lab.base.errors import InputError
from t4r_lab.families.custom import is_custom
from t4r_lab.families.knobs import Part, knob
from t4r_lab.families.losses.cross_entropy import CrossEntropy
from t4r_lab.families.losses.loss_table import LossSpec
from t4r_lab.families.metrics.metric_table import RANK_METRICS, metrics_of
from t4r_lab.families.metrics.shared.metric_row import LabelKind
from t4r_lab.schema.columns import Column, Schema

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEXT_ITEM = "next_item"
"""Name of the task that predicts the next item; a label's task is called by its column."""
LOSS_NAMES = {
    "cross_entropy": "cross-entropy",
    "bce": "binary cross-entropy",
    "gbce": "gBCE",
    "bpr": "BPR",
    "bpr_max": "BPR-max",
}
"""Kinds of losses whose names in the literature aren't their words."""
BESIDE_TASK = ("kind", "weight", "column", "level")
"""Fields of a head that are no knobs of its task."""


def _weight() -> float:
    value: float = knob(1.0, "weight of this head's loss in the total loss", low=0, high=1e6)
    return value


def _head_dropout() -> float:
    value: float = knob(0.0, "dropout before the output layer", low=0, high=0.95, search=(0, 0.5))
    return value


class NextItem(Part):
    """Predict the next item over the whole catalog."""

    task: ClassVar[str] = "NextItemPredictionTask"
    """what it is made by, in `t4r_lab.nn`"""
    label: ClassVar[str | None] = None
    title: ClassVar[str] = "next item"
    heading: ClassVar[str] = title

    kind: Literal["next_item"] = "next_item"
    weight: float = _weight()
    loss: LossSpec = Field(CrossEntropy(), description="what is minimized")
    temperature: float = knob(
        1.0, "scores are divided by it, in training and inference", low=0.01, high=100, search=(0.1, 5), log=True
    )
    fit_temperature: bool = knob(
        False,
        "after training, fit a second temperature of the scores on validation data (Guo et al., 2017)",
    )
    weight_tying: bool = knob(True, "use the item embedding as output weights (Inan et al., 2017)")
    init_std: float = knob(
        0.02, "standard deviation of the initial output weights, if they aren't the item embedding", low=1e-4, high=1
    )
    dropout: float = _head_dropout()

    @property
    def as_next_item(self) -> NextItem | None:
        """The head, if it predicts the next item."""
        return self

    @property
    def as_label(self) -> None:
        """The head, if it predicts a label."""
        return None

    @property
    def detail(self) -> str:
        """The output layer in a few words."""
        return "tied" if self.weight_tying else "own weights"

    @property
    def loss_name(self) -> str:
        """The loss in words."""
        return (
            type(self.loss).__name__
            if is_custom(self.loss.kind)
            else LOSS_NAMES.get(self.loss.kind, self.loss.kind.replace("_", " "))
        )

    @property
    def loss_detail(self) -> str:
        """The main knobs of the loss."""
        knobs = {"smoothing": "label_smoothing", "negatives": "negatives"}
        values = {word: getattr(self.loss, name, None) for word, name in knobs.items()}
        values["temperature"] = self.temperature if self.temperature != 1 else None
        return " · ".join(f"{word} {value:g}" for word, value in values.items() if value)

    @property
    def brief(self) -> str:
        """The head with its main knobs."""
        return f"{self.title}{' · tied' if self.weight_tying else ''} · temperature {self.temperature:g}"

    def outputs(self, schema: Schema | None) -> str:
        """Outputs of a case: the number of items."""
        return f"{schema.n_items:,}" if schema else "items"

    def metrics(self, cutoffs: Sequence[int], rank_metrics: Iterable[str] = tuple(RANK_METRICS)) -> list[str]:
        """Names of what is computed after each epoch, such as ``ndcg@10``: each of `rank_metrics` at each cutoff."""
        return [f"{metric}@{k}" for k in cutoffs for metric in rank_metrics]

    def deciding(self, cutoffs: Sequence[int]) -> str:
        """The metric that decides by default, at the last cutoff."""
        return f"{next(iter(RANK_METRICS))}@{cutoffs[-1]}"


class _Label(Part):
    task: ClassVar[str]
    """what it is made by, in `t4r_lab.nn`"""
    of_column: ClassVar[tuple[str, ...]] = ()
    """arguments of the task that are attributes of the label column"""
    needs_classes: ClassVar[bool] = True
    """whether a single value of the label leaves nothing to learn"""

    kind: LabelKind
    column: str = Field(description="label column of the data, kept by `prepare --targets`", min_length=1)
    level: Literal["session", "event"] | None = knob(
        None, "one label per session, or one per event, predicted from the events up to it; empty: by the column"
    )
    summary: Literal["last", "first", "mean", "attention"] = knob(
        "last", "session labels: how the events become one vector; event labels are read at their event"
    )
    dropout: float = _head_dropout()
    weight: float = _weight()

    @model_validator(mode="after")
    def _events_have_no_summary(self) -> _Label:
        if self.level == "event" and self.summary != "last":
            raise event_summary_refusal(self.column, self.summary)
        return self

    @property
    def as_next_item(self) -> NextItem | None:
        """The head, if it predicts the next item."""
        return None

    @property
    def as_label(self) -> Self:
        """The head, if it predicts a label."""
        return self

    @property
    def label(self) -> str:
        """The label column."""
        return self.column

    @property
    def title(self) -> str:
        """The head in a word."""
        return self.column

    @property
    def heading(self) -> str:
        """The head with its kind."""
        return f"{self.column} · {self.kind}"

    @property
    def detail(self) -> str:
        """Kind and summary."""
        return f"{self.kind} · {self.summary}"

    @property
    def loss_name(self) -> str:
        """The loss in words."""
        return "cross-entropy"

    @property
    def loss_detail(self) -> str:
        """The share of the loss in the sum of all."""
        return f"weight {self.weight:g}"

    @property
    def brief(self) -> str:
        """The head with its main knobs."""
        return f"{self.column} ({self.kind})"

    def outputs(self, schema: Schema | None) -> str:
        """Outputs of a case."""
        return "1"

    def metrics(self, cutoffs: Sequence[int], rank_metrics: Iterable[str] = ()) -> list[str]:
        """Names of what is computed after each epoch, such as ``purchase/auc``; a label has no ranks."""
        return [f"{self.column}/{metric}" for metric in metrics_of(self.kind)]

    def deciding(self, cutoffs: Sequence[int]) -> str:
        """The metric that decides by default."""
        return self.metrics(cutoffs)[0]

    @staticmethod
    @abstractmethod
    def fits(column: Column) -> bool:
        """True if the head can predict a column."""

    def values_refusal(self, low: float, high: float, whole: bool) -> tuple[str, str] | None:
        """Problem and remedy where labels from `low` to `high` can't be predicted; `whole` of whole numbers alone."""
        return None

    @abstractmethod
    def guessing_loss(self, classes: int) -> float:
        """The training loss of a model that has learned nothing of a label of so many `classes`."""

    def constant(self, labels: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
        """The best constant prediction by known `labels` (N,): () their mean, or (C,) the share of each class."""
        import numpy as np

        return np.asarray(labels.mean() if len(labels) else 0.0)


def event_summary_refusal(column: str, summary: str) -> InputError:
    """The refusal of a summary other than the last position for the label of an event."""
    problem = f"{summary!r} is for labels of sessions, but {column!r} is predicted at each event"
    return InputError("summary", problem, "use summary last, or level session")


class Binary(_Label):
    """Predict a yes/no label, such as whether the session ends in a purchase."""

    task = "BinaryClassificationTask"

    kind: Literal["binary"] = "binary"

    @staticmethod
    def fits(column: Column) -> bool:
        """A column of numbers, or of two categories."""
        return column.kind == "continuous" or column.classes == 2

    def values_refusal(self, low: float, high: float, whole: bool) -> tuple[str, str] | None:
        """Labels are 0 and 1."""
        if whole and low >= 0 and high <= 1:
            return None
        return f"holds {low:g} to {high:g}, not 0 and 1", "use kind regression"

    def guessing_loss(self, classes: int) -> float:
        """Cross-entropy of one half."""
        return math.log(2)


class Categorical(_Label):
    """Predict a label of several classes."""

    task = "CategoricalClassificationTask"
    of_column = ("classes",)

    kind: Literal["categorical"] = "categorical"

    @staticmethod
    def fits(column: Column) -> bool:
        """A column of two categories or more."""
        return column.kind == "categorical" and column.classes >= 2

    def outputs(self, schema: Schema | None) -> str:
        """Outputs of a case: the number of classes."""
        return str(schema[self.column].classes) if schema is not None and self.column in schema else "classes"

    def guessing_loss(self, classes: int) -> float:
        """Cross-entropy of all classes alike."""
        return math.log(classes)

    def constant(self, labels: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
        """The share of each class, (C,)."""
        import numpy as np

        return np.bincount(labels.astype(np.int64), minlength=classes) / max(len(labels), 1)


class Regression(_Label):
    """Predict a number."""

    task = "RegressionTask"
    of_column = ("mean", "std")
    needs_classes = False

    kind: Literal["regression"] = "regression"
    loss: Literal["mse", "mae", "huber"] = knob(
        "mse", "squared error, absolute error, or Huber loss with its threshold at one standard deviation"
    )

    @property
    def loss_name(self) -> str:
        """The loss in words."""
        return {"mse": "squared error", "mae": "absolute error", "huber": "Huber loss"}[self.loss]

    @staticmethod
    def fits(column: Column) -> bool:
        """A column of numbers."""
        return column.kind == "continuous"

    def guessing_loss(self, classes: int) -> float:
        """Squared error of the mean, in deviations; absolute error and Huber's are smaller."""
        return 1.0


LabelSpec = Binary | Categorical | Regression
LABEL_HEADS: dict[str, type[LabelSpec]] = {"binary": Binary, "categorical": Categorical, "regression": Regression}
HeadSpec = Annotated[NextItem | Binary | Categorical | Regression, Field(discriminator="kind")]


LABEL_METRICS = {kind: tuple(metrics_of(kind)) for kind in get_args(LabelKind)}
"""Metrics of each kind of label head, the one that decides by default first."""


def head_name(head: HeadSpec) -> str:
    """Name of a head's task in reports and metrics."""
    return head.label or NEXT_ITEM
