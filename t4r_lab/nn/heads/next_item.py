"""The task that predicts the next item: scores over the catalog, and their loss."""

from __future__ import annotations

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from t4r_lab.base.errors import InputError
from t4r_lab.nn.bodies.blocks import SequentialBlock
from t4r_lab.nn.bodies.towers import Towers
from t4r_lab.nn.kernels.dropout import Dropout
from t4r_lab.nn.kernels.linear_cross_entropy import rows_per_chunk
from t4r_lab.nn.layers.flow import Loss
from t4r_lab.nn.losses.sampled import SampledLoss
from t4r_lab.nn.metrics.calibration import fit_temperature
from t4r_lab.spec import NEXT_ITEM, CrossEntropy, LossSpec, NextItem
from t4r_lab.spec.run_spec import explain


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
        self._loss, self.dropout = loss or _cross_entropy(label_smoothing), Dropout(dropout)
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


def _cross_entropy(label_smoothing: float) -> CrossEntropy:
    """The loss over all items; a smoothing outside of its knob's bounds is refused."""
    try:
        return CrossEntropy(label_smoothing=label_smoothing)
    except ValidationError as error:
        raise explain(CrossEntropy, {"label_smoothing": label_smoothing}, error) from None
