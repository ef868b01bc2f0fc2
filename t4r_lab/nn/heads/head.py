"""A head: a body with the tasks that read it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from t4r_lab.base.errors import InputError
from t4r_lab.nn.bodies.blocks import SequentialBlock
from t4r_lab.nn.bodies.towers import Towers
from t4r_lab.nn.heads.next_item import NextItemPredictionTask
from t4r_lab.nn.heads.replaced_items import DISCRIMINATOR, ReplacedItemDetector
from t4r_lab.nn.heads.tasks import LEVELS, LabelTask
from t4r_lab.nn.inputs.tabular import TabularSequenceFeatures
from t4r_lab.nn.layers.flow import Batch, Loss, Masked, positions
from t4r_lab.nn.masking import Masking
from t4r_lab.spec import NEXT_ITEM

Task = NextItemPredictionTask | LabelTask


class Head(nn.Module):
    """A body with the tasks that read it, each under its name: ``next_item``, or the label's column.

    The next item is predicted from what the body's masking shows; labels are predicted from a second pass in
    which nothing is hidden, as at inference (see `t4r_lab.nn.heads.tasks`). Where the masking replaces items, a
    detector of replaced ones is trained too. A body that isn't causal sees later events too, so for labels of events
    it reads sessions cut off behind a random event, and predicts that event's.

    Parameters
    ----------
    tasks
        one task or several.
    task_weights
        a factor for the loss of each; 1 by default.
    inputs
        the input block of `body`, by which the reference's samples name it once more.

    Raises
    ------
    InputError
        for two tasks of one name, weights that don't fit the tasks, or the inputs of another body.
    """

    task: Task

    def __init__(
        self,
        body: SequentialBlock | Towers,
        tasks: Task | Sequence[Task],
        task_weights: Sequence[float] | None = None,
        inputs: TabularSequenceFeatures | None = None,
    ) -> None:
        super().__init__()
        self.body = body
        self.tasks: tuple[Task, ...] = (tasks,) if isinstance(tasks, nn.Module) else tuple(tasks)
        self.task_weights = loss_weights("task", len(self.tasks), task_weights)
        refuse_duplicates(self.tasks)
        if inputs is not None and inputs is not body.inputs:
            raise InputError("inputs", "not those of the head's body", "leave them out")
        for number, task in enumerate(self.tasks):
            self.add_module(numbered_name("task", number), task)
            task.build(body)
        self.detector: ReplacedItemDetector | None = None
        detection = None if body.inputs.masking is None else body.inputs.masking.detection
        if detection is not None and self.predicts_items:
            self.detector = ReplacedItemDetector(body, detection)

    @property
    def weights(self) -> dict[str, float]:
        """The factor of each loss by its name; the detector's goes with that of the next item, which it serves."""
        weights = {task.name: weight for task, weight in zip(self.tasks, self.task_weights, strict=True)}
        return (
            weights if self.detector is None else weights | {DISCRIMINATOR: weights[NEXT_ITEM] * self.detector.weight}
        )

    @property
    def masking(self) -> Masking:
        """The masking that the body is trained with."""
        return self.body.masking

    @property
    def max_length(self) -> int:
        """Positions that the body has."""
        return self.body.inputs.max_sequence_length

    @property
    def predicts_items(self) -> bool:
        """True if one of the tasks is the next item."""
        return any(isinstance(task, NextItemPredictionTask) for task in self.tasks)

    @property
    def labels(self) -> tuple[LabelTask, ...]:
        """The tasks that predict labels."""
        return tuple(task for task in self.tasks if isinstance(task, LabelTask))

    def losses(self, batch: Batch) -> dict[str, Loss]:
        """Mean training loss of each task over its targets."""
        losses: dict[str, Loss] = {}
        for task in self.tasks:
            if isinstance(task, NextItemPredictionTask):
                masked = self.masking.training(batch.newest(self.max_length + self.masking.training_extra))
                hidden = self.body(masked)[masked.predict]
                losses[task.name] = task.loss(hidden, masked.labels)
                if self.detector is not None:
                    losses[DISCRIMINATOR] = self.detector.loss(self.body, task, masked, hidden)
        for shown, tasks in self._label_passes(batch.newest(self.max_length)):
            hidden = self.body(self._observed(shown))
            for task in tasks:
                read = self._read_mask(shown, task.level, torch.zeros_like(shown.lengths))
                losses[task.name] = task.loss(task.read(hidden, shown.valid, read), _label(shown, task.name)[read])
        return {name: losses[name] for name in self.weights}

    def predict(self, batch: Batch, level: str, start: Tensor | None = None) -> dict[str, Tensor]:
        """Predictions of the label tasks of `level`: probability of yes (N,), numbers (N,), or probabilities (N, C).

        A session gives one row, of its last event; with `start` (B,), for labels of events and a causal body,
        one row for each event from there on.
        """
        hidden = self.body(self._observed(batch))
        read = self._read_mask(batch, level, batch.lengths - 1 if start is None else start)
        return {t.name: t.predictions(t.read(hidden, batch.valid, read)) for t in self.labels if t.level == level}

    def _label_passes(self, batch: Batch) -> list[tuple[Batch, list[LabelTask]]]:
        """The batches from which labels are trained, each with its tasks."""
        of_sessions, of_events = ([t for t in self.labels if t.level == level] for level in LEVELS)
        if self.masking.causal:
            passes = [(batch, of_sessions + of_events)]
        else:
            draw = (torch.rand(len(batch.lengths), device=batch.ids.device) * batch.lengths).long() + 1
            passes = [(batch, of_sessions), (batch.first(torch.minimum(draw, batch.lengths)), of_events)]
        return [(shown, tasks) for shown, tasks in passes if tasks]

    def _observed(self, batch: Batch) -> Masked:
        """The batch with nothing hidden."""
        return Masked(batch, None, batch.valid, batch.ids.new_empty(0), self.masking.causal)

    def _read_mask(self, batch: Batch, level: str, start: Tensor) -> Tensor:
        """True where labels are read, (B, T): the last event; for event labels and a causal body, from `start` on."""
        if level == "session" or not self.masking.causal:
            start = batch.lengths - 1
        return batch.valid & (positions(batch.ids) >= start[:, None])


def _label(batch: Batch, name: str) -> Tensor:
    """A label column, (B, T)."""
    if name not in batch.columns:
        raise InputError(
            "tasks",
            f"label {name!r} is not among the batch's columns {list(batch.columns)}",
            f"prepare the data with --targets {name}, or leave its task out",
        )
    return batch.columns[name]


def numbered_name(word: str, number: int) -> str:
    """The name of a submodule. The first has no number, as in weights saved with one head and task."""
    return f"{word}_{number}" if number else word


def loss_weights(word: str, count: int, weights: Sequence[float] | None) -> tuple[float, ...]:
    """`weights`, or 1 for each of `count` heads or tasks; refused unless they fit and weigh something."""
    if not count:
        raise InputError(f"{word}s", "there is none", "give one at least")
    if weights is not None and len(weights) != count:
        raise InputError(f"{word}_weights", f"{len(weights)} weights for {count} {word}s", "give one for each")
    factors = (1.0,) * count if weights is None else tuple(float(w) for w in weights)
    if min(factors) < 0 or not max(factors) > 0:
        raise InputError(f"{word}_weights", f"{list(factors)} weigh nothing", "give 0 or more, and one of them above 0")
    return factors


def refuse_duplicates(tasks: Sequence[Task]) -> None:
    """Refuse two tasks of one name."""
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            what = "the next item" if name == NEXT_ITEM else f"the label {name!r}"
            raise InputError("tasks", f"{names.count(name)} of them predict {what}", "keep one of them")
