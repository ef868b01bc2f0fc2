"""Heads and the model: what is predicted from the body, its loss and its scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from t4r_lab.base.errors import InputError
from t4r_lab.nn.bodies.blocks import SequentialBlock
from t4r_lab.nn.bodies.towers import Towers
from t4r_lab.nn.heads.replaced_items import DISCRIMINATOR, ReplacedItemDetector
from t4r_lab.nn.heads.tasks import LEVELS, LabelTask
from t4r_lab.nn.inputs.encoders import CategoricalFeature
from t4r_lab.nn.inputs.tabular import TabularSequenceFeatures
from t4r_lab.nn.kernels.dropout import Dropout
from t4r_lab.nn.kernels.linear_cross_entropy import rows_per_chunk
from t4r_lab.nn.kernels.table_rows import is_large
from t4r_lab.nn.layers.flow import Batch, Loss, Masked, positions
from t4r_lab.nn.losses.sampled import SampledLoss
from t4r_lab.nn.masking import Masking
from t4r_lab.nn.metrics.calibration import fit_temperature
from t4r_lab.spec import NEXT_ITEM, CrossEntropy, LossSpec, NextItem


class NextItemPredictionTask(nn.Module):
    """Predict the next item: l = (h·Uᵀ + b) / τ over all items.

    With `weight_tying`, U is the item embedding of the input block (Inan et al., 2017); a body of another
    width gets one linear layer in between. Temperature acts on the loss and on the scores alike, label
    smoothing on the loss alone. `hf_format` is the reference's; here every body has one format.

    Parameters
    ----------
    loss
        what is minimized, by its part of the spec; by default cross-entropy over all items.
    fit_temperature
        keep a second temperature, of the scores alone, that is fitted after training.
    dropout
        on what is read from the body, in training.
    init_std
        standard deviation of the initial output weights, where they aren't tied; None: the default of a spec.
    """

    name = NEXT_ITEM
    fitted: Tensor | None

    def __init__(
        self,
        weight_tying: bool = True,
        label_smoothing: float = 0.0,
        temperature: float = 1.0,
        loss: LossSpec | None = None,
        fit_temperature: bool = False,
        dropout: float = 0.0,
        init_std: float | None = None,
        *,
        hf_format: bool = True,
    ) -> None:
        super().__init__()
        del hf_format
        if temperature <= 0:
            raise InputError("temperature", f"{temperature} is not above 0", "use for example 1.0")
        self.weight_tying, self.temperature = weight_tying, temperature
        self.init_std: float = NextItem.model_fields["init_std"].default if init_std is None else init_std
        if not 0 <= label_smoothing < 1:
            raise InputError("label_smoothing", f"{label_smoothing} is outside of [0, 1)", "use for example 0.1")
        self._loss, self.dropout = loss or CrossEntropy(label_smoothing=label_smoothing), Dropout(dropout)
        self.register_buffer("fitted", torch.ones(()) if fit_temperature else None)

    def build(self, body: SequentialBlock | Towers) -> None:
        """Make the parameters that fit `body`; `Head` calls it once."""
        table = body.inputs.item_embedding
        if not self.weight_tying:
            size = table.num_embeddings
            table = nn.Embedding(size, body.output_dim)
            nn.init.normal_(table.weight, std=self.init_std)
        self.items = table
        width = table.embedding_dim
        self.project = nn.Identity() if width == body.output_dim else nn.Linear(body.output_dim, width)
        self.bias = nn.Parameter(torch.zeros(table.num_embeddings - 1))
        loss = self._loss.build(len(self.bias))
        self.sampled = loss if isinstance(loss, SampledLoss) else None
        self.full = loss if self.sampled is None else None

    @torch.no_grad()
    def count(self, events: Tensor) -> None:
        """Tell how many events of training each item has, (I,): by them a sampled loss draws, and before any training
        the softmax of a loss with a popularity prior is their share, each one more, so that no item is ruled out."""
        if self.sampled is not None:
            self.sampled.counts.copy_(events)
        if self._loss.starts_from_popularity:
            share = torch.log(events.to(self.bias) + 1.0)
            self.bias.copy_(self.temperature * (share - share.mean()))

    @property
    def candidates(self) -> Tensor:
        """Output vectors of the items 1..I, (I, D); padding is no candidate."""
        return self.items.weight[1:]

    def loss(self, hidden: Tensor, labels: Tensor) -> Loss:
        """`hidden` (N, D) at real targets only, `labels` (N,) item ids."""
        queries, classes = self.project(self.dropout(hidden)), labels - 1
        loss = self.full if self.sampled is None else self.sampled
        assert loss is not None
        return Loss(loss(queries, self.items.weight, self.bias, classes, self.temperature), len(labels))

    def scores(self, hidden: Tensor) -> Tensor:
        """Logits over the items 1..I divided by the temperatures, (N, I)."""
        queries = self.project(hidden).to(self.bias.dtype)
        temperature = self.temperature if self.fitted is None else self.temperature * self.fitted
        return torch.mm(queries / temperature, self.candidates.T).add_(self.bias / temperature)

    @torch.no_grad()
    def fit_temperature(self, hidden: Tensor, labels: Tensor) -> float:
        """Fit the temperature of the scores to the cases of `hidden` (N, D) and `labels` (N,) item ids."""
        queries = self.project(hidden).to(self.bias.dtype) / self.temperature
        bias, rows = self.bias / self.temperature, rows_per_chunk(len(self.bias))
        fitted = fit_temperature(queries, self.candidates, bias, labels - 1, rows)
        self.fitted = torch.full_like(self.bias[0], fitted)
        return fitted


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
        self.task_weights = _weights("task", len(self.tasks), task_weights)
        _refuse_twins(self.tasks)
        if inputs is not None and inputs is not body.inputs:
            raise InputError("", "the head's inputs are not those of its body", "leave inputs out")
        for number, task in enumerate(self.tasks):
            self.add_module(_numbered("task", number), task)
            task.build(body)
        self.detector: ReplacedItemDetector | None = None
        detection = None if body.inputs.masking is None else body.inputs.masking.detection
        if detection is not None and self.predicts_items:
            self.detector = ReplacedItemDetector(body, detection)

    @property
    def weights(self) -> dict[str, float]:
        """The factor of each loss by its name; the detector's goes with that of the next item, which it serves."""
        found = {task.name: weight for task, weight in zip(self.tasks, self.task_weights, strict=True)}
        return found if self.detector is None else found | {DISCRIMINATOR: found[NEXT_ITEM] * self.detector.weight}

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
        found: dict[str, Loss] = {}
        for task in self.tasks:
            if isinstance(task, NextItemPredictionTask):
                masked = self.masking.training(batch.newest(self.max_length + self.masking.training_extra))
                hidden = self.body(masked)[masked.predict]
                found[task.name] = task.loss(hidden, masked.labels)
                if self.detector is not None:
                    found[DISCRIMINATOR] = self.detector.loss(self.body, task, masked, hidden)
        for shown, tasks in self._label_passes(batch.newest(self.max_length)):
            hidden = self.body(self._observed(shown))
            for task in tasks:
                read = self._places(shown, task.level, torch.zeros_like(shown.lengths))
                found[task.name] = task.loss(task.read(hidden, shown.valid, read), _label(shown, task.name)[read])
        return {name: found[name] for name in self.weights}

    def predict(self, batch: Batch, level: str, start: Tensor | None = None) -> dict[str, Tensor]:
        """What the label tasks of `level` predict: probability of yes (N,), numbers (N,), or probabilities (N, C).

        A session gives one row, of its last event; with `start` (B,), for labels of events and a causal body,
        one row for each event from there on.
        """
        hidden = self.body(self._observed(batch))
        read = self._places(batch, level, batch.lengths - 1 if start is None else start)
        return {t.name: t.predictions(t.read(hidden, batch.valid, read)) for t in self.labels if t.level == level}

    def _label_passes(self, batch: Batch) -> list[tuple[Batch, list[LabelTask]]]:
        """What the body reads to train labels, with the tasks that are read from it."""
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

    def _places(self, batch: Batch, level: str, start: Tensor) -> Tensor:
        """Where labels are read, (B, T): at the last event; labels of events from `start` on, if the body is causal."""
        if level == "session" or not self.masking.causal:
            start = batch.lengths - 1
        return batch.valid & (positions(batch.ids) >= start[:, None])


class Model(nn.Module):
    """The end-to-end model: `loss` to train, `score` to predict the next item, `predict` to predict labels.

    All take a `Batch`. Calling the model gives the losses by task, which is what several processes need. Heads
    may share a body or have bodies, and maskings, of their own; one task at most predicts the next item.

    Raises
    ------
    InputError
        for two tasks of one name, or weights that don't fit the heads.
    """

    head: Head

    def __init__(self, *heads: Head, head_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.heads = heads
        for number, head in enumerate(heads):
            self.add_module(_numbered("head", number), head)
        _refuse_twins([task for head in heads for task in head.tasks])
        _freeze_placeholders(heads)
        self.weights: dict[str, float] = {
            name: weight * share
            for head, weight in zip(heads, _weights("head", len(heads), head_weights), strict=True)
            for name, share in head.weights.items()
        }

    @property
    def lazy(self) -> list[str]:
        """Names of the large tables that no loss reads whole: their gradients are sparse."""
        read: list[Tensor] = []
        whole: list[Tensor] = []
        for module in self.modules():
            if isinstance(module, CategoricalFeature):
                read.append(module.table.weight)
            elif isinstance(module, TabularSequenceFeatures):
                read += module.trained_tables
            elif isinstance(module, NextItemPredictionTask):
                (whole if module.sampled is None else read).extend([module.items.weight, module.bias])
        lazy = {id(table) for table in read if is_large(table)} - {id(table) for table in whole}
        return [name for name, p in self.named_parameters() if id(p) in lazy and p.requires_grad]

    @property
    def main(self) -> Head:
        """The head that predicts the next item, else the first."""
        return next((head for head in self.heads if head.predicts_items), self.heads[0])

    @property
    def next_item(self) -> NextItemPredictionTask:
        """The task that predicts the next item.

        Raises
        ------
        InputError
            if the model predicts labels only.
        """
        for task in self.main.tasks:
            if isinstance(task, NextItemPredictionTask):
                return task
        raise InputError(
            "", f"the model predicts {', '.join(self.weights)} and no next item", "train one with a next_item head"
        )

    @property
    def predicts_items(self) -> bool:
        """True if one of the heads predicts the next item."""
        return NEXT_ITEM in self.weights

    @property
    def masking(self) -> Masking:
        """The masking of the `main` head."""
        return self.main.masking

    @property
    def max_length(self) -> int:
        """Positions that the body of the `main` head has."""
        return self.main.max_length

    def losses(self, batch: Batch) -> dict[str, Loss]:
        """Mean training loss of each task over its targets."""
        return {name: loss for head in self.heads for name, loss in head.losses(batch).items()}

    def loss(self, batch: Batch) -> Loss:
        """Weighted sum of the tasks' mean losses, and the targets of all of them."""
        losses = self.losses(batch)
        mean = torch.stack([self.weights[name] * loss.mean for name, loss in losses.items()]).sum()
        return Loss(mean, sum(loss.targets for loss in losses.values()))

    def forward(self, batch: Batch) -> dict[str, Loss]:
        """As `losses`: the mean training loss of each task."""
        return self.losses(batch)

    def read(self, batch: Batch, start: Tensor | None = None) -> Tensor:
        """Body output where inference reads: (B, D), or with `start` (B,) one row per position from there on."""
        masked = self.masking.inference(batch, start)
        out: Tensor = self.main.body(masked)[masked.predict]
        return out

    def score(self, batch: Batch) -> Tensor:
        """Scores of the event after each session, (B, I); column j belongs to item id j+1."""
        return self.next_item.scores(self.read(batch))

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Predicted label of each session, or of its last event, by task; as `Head.predict` gives them."""
        found: dict[str, Tensor] = {}
        for head in self.heads:
            for level in LEVELS:
                found |= head.predict(batch.newest(head.max_length), level)
        return {name: found[name] for name in self.weights if name in found}


def _label(batch: Batch, name: str) -> Tensor:
    """A label column, (B, T)."""
    if name not in batch.columns:
        raise InputError(
            "",
            f"label {name!r} is not among the batch's columns {list(batch.columns)}",
            f"prepare the data with --targets {name}, or leave its task out",
        )
    return batch.columns[name]


def _freeze_placeholders(heads: Sequence[Head]) -> None:
    """Where no next item is predicted nothing is hidden: the vector that would stand there gets no gradient, and
    several processes would wait for it."""
    trained = {id(module) for head in heads if head.predicts_items for module in head.body.modules()}
    for module in (m for head in heads for m in head.body.modules() if id(m) not in trained):
        if isinstance(placeholder := getattr(module, "placeholder", None), nn.Parameter):
            placeholder.requires_grad_(False)


def _numbered(word: str, number: int) -> str:
    """Names of modules: the first has no number, so that weights of models with one head and task keep theirs."""
    return f"{word}_{number}" if number else word


def _weights(word: str, count: int, given: Sequence[float] | None) -> tuple[float, ...]:
    if not count:
        raise InputError("", f"there is no {word}", "give one at least")
    if given is not None and len(given) != count:
        raise InputError(f"{word}_weights", f"{len(given)} weights for {count} {word}s", "give one for each")
    weights = (1.0,) * count if given is None else tuple(float(w) for w in given)
    if min(weights) < 0 or not max(weights) > 0:
        raise InputError(f"{word}_weights", f"{list(weights)} weigh nothing", "give 0 or more, and one of them above 0")
    return weights


def _refuse_twins(tasks: Sequence[Task]) -> None:
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            what = "the next item" if name == NEXT_ITEM else f"the label {name!r}"
            raise InputError("", f"{names.count(name)} tasks predict {what}", "keep one of them")
