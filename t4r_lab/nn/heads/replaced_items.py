"""Replaced item detection: the discriminator beside a masked model (ELECTRA; Clark et al., 2020)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t4r_lab.families.maskings.policy import Detection
from t4r_lab.nn.inputs.tabular import TabularSequenceFeatures
from t4r_lab.nn.kernels.linear_cross_entropy import rows_per_chunk
from t4r_lab.nn.layers.flow import Loss, Masked

DISCRIMINATOR = "discriminator"
"""Name of the detector's loss beside those of the tasks."""


class SequenceEncoder(Protocol):
    """The network over a session, to (B, T, output_dim)."""

    output_dim: int

    def __call__(self, masked: Masked) -> Tensor: ...

    def modules(self) -> Iterator[nn.Module]:
        """All modules within, as of `nn.Module`."""


class ScoringTask(Protocol):
    """The task whose scores items are drawn from."""

    @property
    def candidates(self) -> Tensor:
        """Vectors (I, D) that items are scored with."""

    def scores(self, hidden: Tensor) -> Tensor:
        """Hidden vectors (N, D) to scores (N, I) of all items."""


class ReplacedItemDetector(nn.Module):
    """Tells at every real event whether its item is the original or was drawn by the generator.

    It reads the session through the generator's body or, with ``discriminator="separate"``, through a second one that
    starts as its copy; the input block with its embeddings is shared in either case, as in the paper.
    """

    def __init__(self, body: SequenceEncoder, detection: Detection) -> None:
        super().__init__()
        self.weight, self.temperature = detection.weight, detection.temperature
        self.body: SequenceEncoder | None = None
        if detection.separate:
            inputs = {id(m): m for m in body.modules() if isinstance(m, TabularSequenceFeatures)}
            self.body = copy.deepcopy(body, inputs)  # copies everything but these
        width = body.output_dim
        self.judge = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, body: SequenceEncoder, masked: Masked) -> Tensor:
        """Logit of "replaced" at each event, (B, T)."""
        out: Tensor = self.judge((body if self.body is None else self.body)(masked))[..., 0]
        return out

    def loss(self, body: SequenceEncoder, generator: ScoringTask, masked: Masked, hidden: Tensor) -> Loss:
        """Mean binary cross-entropy over all real events.

        `masked` is the generator's batch and `hidden` (N, D) its output at the targets. No gradient passes through
        the draw.
        """
        corrupted = corrupt(masked, draw_items(generator, hidden.detach(), self.temperature))
        replaced = corrupted.batch.ids != masked.batch.ids  # a true item that was drawn is an original
        logits = self(body, corrupted)[corrupted.predict].float()
        total = F.binary_cross_entropy_with_logits(logits, replaced[corrupted.predict].float(), reduction="sum")
        return Loss(total / max(len(logits), 1), len(logits))


def corrupt(masked: Masked, items: Tensor) -> Masked:
    """The batch with `items` (N,) at the hidden events, nothing hidden, to be judged at every real event.

    Attributes in the item table follow the item; columns that travel with the events stay as they are.
    """
    batch = masked.batch
    ids = batch.ids.masked_scatter(masked.predict, items)
    drawn = replace(batch, columns={**batch.columns, batch.item: ids})
    return Masked(drawn, None, batch.valid, ids[batch.valid], causal=False)


@torch.no_grad()
def draw_items(generator: ScoringTask, hidden: Tensor, temperature: float = 1.0) -> Tensor:
    """One item id a row of `hidden` (N, D) from softmax(scores / temperature), (N,), by the Gumbel-max trick.

    Scores are held for a chunk of rows at a time.
    """
    drawn = []
    for rows in hidden.split(rows_per_chunk(len(generator.candidates))):
        scores = generator.scores(rows).float() / temperature
        gumbel = -torch.empty_like(scores).exponential_().log()
        drawn.append((scores + gumbel).argmax(1) + 1)
    return torch.cat(drawn)
