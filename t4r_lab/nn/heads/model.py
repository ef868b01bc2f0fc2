"""The end-to-end model: heads, their loss and their scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from t4r_lab.base.errors import InputError
from t4r_lab.nn.heads.head import Head, loss_weights, numbered_name, refuse_duplicates
from t4r_lab.nn.heads.next_item import NextItemPredictionTask
from t4r_lab.nn.heads.tasks import LEVELS
from t4r_lab.nn.inputs.encoders import CategoricalFeature
from t4r_lab.nn.inputs.tabular import TabularSequenceFeatures
from t4r_lab.nn.kernels.table_rows import is_large
from t4r_lab.nn.layers.flow import Batch, Loss
from t4r_lab.nn.masking import Masking
from t4r_lab.spec import NEXT_ITEM


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
            self.add_module(numbered_name("head", number), head)
        refuse_duplicates([task for head in heads for task in head.tasks])
        _freeze_placeholders(heads)
        self.weights: dict[str, float] = {
            name: weight * share
            for head, weight in zip(heads, loss_weights("head", len(heads), head_weights), strict=True)
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
            "heads", f"the model predicts {', '.join(self.weights)} and no next item", "train one with a next_item head"
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
        predictions: dict[str, Tensor] = {}
        for head in self.heads:
            for level in LEVELS:
                predictions |= head.predict(batch.newest(head.max_length), level)
        return {name: predictions[name] for name in self.weights if name in predictions}


def _freeze_placeholders(heads: Sequence[Head]) -> None:
    """Freeze the vectors of hidden events in heads that predict no next item: they get no gradient there, and several
    processes would wait for it."""
    trained = {id(module) for head in heads if head.predicts_items for module in head.body.modules()}
    for module in (m for head in heads for m in head.body.modules() if id(m) not in trained):
        if isinstance(placeholder := getattr(module, "placeholder", None), nn.Parameter):
            placeholder.requires_grad_(False)
