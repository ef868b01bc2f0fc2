"""Heads and the model: what is predicted from the body, its loss and its scores."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from t4r_lab.errors import InputError
from t4r_lab.nn.blocks import SequentialBlock
from t4r_lab.nn.flow import Batch, Masked
from t4r_lab.nn.losses import linear_cross_entropy
from t4r_lab.nn.masking import Masking, ReplacedItems
from t4r_lab.nn.rtd import ReplacedItemDetector


class Loss(NamedTuple):
    """Mean loss over the `targets` of one batch; where it is a weighted sum, its terms by name."""

    mean: Tensor
    targets: int
    terms: Mapping[str, Tensor] = MappingProxyType({})


class NextItemPredictionTask(nn.Module):
    """Predict the next item: l = (h·Uᵀ + b) / τ over all items.

    With `weight_tying`, U is the item embedding of the input block (Inan et al., 2017); a body of another
    width gets one linear layer in between. Temperature acts on the loss and on the scores alike, label
    smoothing on the loss alone.
    """

    def __init__(self, weight_tying: bool = True, label_smoothing: float = 0.0, temperature: float = 1.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise InputError(f"label_smoothing {label_smoothing} must lie in [0, 1), for example 0.1")
        if temperature <= 0:
            raise InputError(f"temperature {temperature} must be above 0, for example 1.0")
        self.weight_tying, self.label_smoothing, self.temperature = weight_tying, label_smoothing, temperature

    def build(self, body: SequentialBlock) -> None:
        """Make the parameters that fit `body`; `Head` calls it once."""
        table = body.inputs.item_embedding
        if not self.weight_tying:
            size = table.num_embeddings
            table = nn.Embedding(size, body.output_dim)
            nn.init.normal_(table.weight, std=0.02)
        self.items = table
        width = table.embedding_dim
        self.project = nn.Identity() if width == body.output_dim else nn.Linear(body.output_dim, width)
        self.bias = nn.Parameter(torch.zeros(table.num_embeddings - 1))

    @property
    def candidates(self) -> Tensor:
        """Output vectors of the items 1..I, (I, D); padding is no candidate."""
        return self.items.weight[1:]

    def loss(self, hidden: Tensor, labels: Tensor) -> Loss:
        """`hidden` (N, D) at real targets only, `labels` (N,) item ids."""
        queries = self.project(hidden)
        total = linear_cross_entropy(
            queries, self.candidates, self.bias, labels - 1, self.label_smoothing, self.temperature
        )
        return Loss(total / max(len(labels), 1), len(labels))

    def scores(self, hidden: Tensor) -> Tensor:
        """Logits over the items 1..I divided by the temperature, (N, I)."""
        queries = self.project(hidden).to(self.bias.dtype)
        return torch.addmm(self.bias, queries, self.candidates.T) / self.temperature


class Head(nn.Module):
    """A body with the task that reads it and, where the masking replaces items, the detector of replaced ones."""

    def __init__(self, body: SequentialBlock, task: NextItemPredictionTask) -> None:
        super().__init__()
        self.body, self.task = body, task
        task.build(body)
        masking = body.inputs.masking
        self.detector = ReplacedItemDetector(body, masking) if isinstance(masking, ReplacedItems) else None

    def loss(self, masked: Masked) -> Loss:
        """The task's loss; with a detector, that plus the detector's times its weight."""
        hidden = self.body(masked)[masked.predict]
        loss = self.task.loss(hidden, masked.labels)
        if self.detector is None:
            return loss
        found = self.detector.loss(self.body, self.task, masked, hidden)
        return Loss(
            loss.mean + self.detector.weight * found, loss.targets, {"next_item": loss.mean, "discriminator": found}
        )


class Model(nn.Module):
    """The end-to-end model; `loss` to train, `score` to predict.

    Both take a `Batch`. Calling the model gives the loss, which is what several processes need.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    @property
    def masking(self) -> Masking:
        return self.head.body.masking

    @property
    def max_length(self) -> int:
        """Positions that the body has."""
        return self.head.body.inputs.max_sequence_length

    def loss(self, batch: Batch) -> Loss:
        """Mean training loss over the targets that the masking chooses."""
        return self.head.loss(self.masking.training(batch))

    def forward(self, batch: Batch) -> Loss:
        return self.loss(batch)

    def read(self, batch: Batch, start: Tensor | None = None) -> Tensor:
        """Body output where inference reads: (B, D), or with `start` (B,) one row per position from there on."""
        masked = self.masking.inference(batch, start)
        out: Tensor = self.head.body(masked)[masked.predict]
        return out

    def score(self, batch: Batch) -> Tensor:
        """Scores of the event after each session, (B, I); column j belongs to item id j+1."""
        return self.head.task.scores(self.read(batch))
