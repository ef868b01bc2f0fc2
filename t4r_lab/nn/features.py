"""The input block: columns become one vector per event."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from t4r_lab.errors import InputError
from t4r_lab.nn.dropout import Dropout
from t4r_lab.nn.flow import Masked
from t4r_lab.nn.masking import Masking, make_masking
from t4r_lab.schema import PADDING, Schema
from t4r_lab.spec import FeatureSpec, InputsSpec
from t4r_lab.spec.features import resolve

ITEM_TABLE = "item_table_"
"""What the names of the buffers with item attributes begin with."""


class CategoricalFeature(nn.Module):
    """Embedding of ids, (…, T) or the mean over a list of them, (…, T, K), to (…, T, dim).

    The padding row is zero and stays so.
    """

    def __init__(self, size: int, dim: int, multi: bool = False, init_std: float = 0.05) -> None:
        super().__init__()
        self.multi = multi
        self.table = nn.Embedding(size, dim, padding_idx=PADDING)
        nn.init.normal_(self.table.weight, std=init_std)
        with torch.no_grad():
            self.table.weight[PADDING] = 0.0

    def forward(self, ids: Tensor) -> Tensor:
        vectors: Tensor = self.table(ids)
        if not self.multi:
            return vectors
        count = (ids != PADDING).sum(-1, keepdim=True).clamp(min=1)
        return vectors.sum(-2) / count


class ScalarFeature(nn.Module):
    """A continuous value as one channel, (B, T) to (B, T, 1)."""

    def forward(self, values: Tensor) -> Tensor:
        return values[..., None]


class ProjectedFeature(nn.Module):
    """A continuous value through a fully-connected layer, (B, T) to (B, T, dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(1, dim)

    def forward(self, values: Tensor) -> Tensor:
        projected: Tensor = self.linear(values[..., None])
        return projected


class SoftOneHotFeature(nn.Module):
    """A continuous value as a weighted mean of embeddings, (B, T) to (B, T, dim).

    p = x·W + b, s = softmax(p), g = s·E with W ∈ R^(1×bins), E ∈ R^(bins×dim) (online appendix of
    Transformers4Rec, RecSys '21).
    """

    def __init__(self, bins: int, dim: int, init_std: float = 0.05) -> None:
        super().__init__()
        self.linear = nn.Linear(1, bins)
        self.table = nn.Parameter(torch.empty(bins, dim).normal_(std=init_std))

    def forward(self, values: Tensor) -> Tensor:
        return torch.softmax(self.linear(values[..., None]), -1) @ self.table


class TabularSequenceFeatures(nn.Module):
    """Features of each event, aggregated to one vector, with hidden events replaced.

    Parameters
    ----------
    encoders: one module per column; the item's is a `CategoricalFeature`.
    item: name of the item column.
    item_table: columns that depend on the item alone, indexed by item id, (I+1,) or (I+1, K). They are
        looked up on the device and never travel with the sessions.
    aggregation: ``concat`` or ``element-wise-sum``.
    masking: the policy by which the model trains, kept here for the blocks that follow.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        output_dim: int,
        item: str = "item_id",
        item_table: Mapping[str, Tensor] | None = None,
        aggregation: str = "concat",
        masking: Masking | None = None,
        dropout: float = 0.0,
        projection: nn.Module | None = None,
        max_sequence_length: int = 20,
        init_std: float = 0.05,
    ) -> None:
        super().__init__()
        self._encoders = nn.ModuleDict({f"feature_{name}": encoder for name, encoder in encoders.items()})
        self._names = tuple(encoders)
        self.item, self.aggregation, self.masking = item, aggregation, masking
        self.output_dim, self.max_sequence_length = output_dim, max_sequence_length
        self.item_columns = tuple(item_table or ())
        for name, values in (item_table or {}).items():
            self.register_buffer(f"{ITEM_TABLE}{name}", values)
        self.projection = projection or nn.Identity()
        self.hidden_vector = None
        if masking is not None and masking.hides:
            self.hidden_vector = nn.Parameter(torch.empty(output_dim).normal_(std=init_std))
        self.dropout = Dropout(dropout)

    @property
    def encoders(self) -> dict[str, nn.Module]:
        """The module of each column. (A column may be called like an attribute of a module, ``type`` or ``keys``.)"""
        return dict(zip(self._names, self._encoders.values(), strict=True))

    @property
    def item_embedding(self) -> nn.Embedding:
        """The table of item vectors, (I+1, dim), that a tied head shares."""
        encoder = self.encoders[self.item]
        assert isinstance(encoder, CategoricalFeature)
        return encoder.table

    def forward(self, masked: Masked) -> Tensor:
        """The interaction embedding of each event, (B, T, output_dim)."""
        columns = masked.batch.columns
        vectors = [encoder(self._column(columns, name)) for name, encoder in self.encoders.items()]
        joined = torch.cat(vectors, -1) if self.aggregation == "concat" else torch.stack(vectors).sum(0)
        joined = self.projection(joined)
        if masked.hidden is not None and self.hidden_vector is not None:
            joined = torch.where(masked.hidden[..., None], self.hidden_vector.to(joined.dtype), joined)
        out: Tensor = self.dropout(joined)
        return out

    def _column(self, columns: Mapping[str, Tensor], name: str) -> Tensor:
        if name in self.item_columns:
            table: Tensor = getattr(self, f"{ITEM_TABLE}{name}")
            return table[columns[self.item]]
        if name not in columns:
            raise InputError(
                f"feature {name!r} is not among the batch's columns {list(columns)}; prepare the data with it"
            )
        return columns[name]

    @classmethod
    def from_schema(
        cls,
        schema: Schema,
        max_sequence_length: int = 20,
        continuous_projection: int | None = None,
        continuous_soft_embeddings: bool = False,
        aggregation: str = "concat",
        d_output: int | None = None,
        masking: str | Masking | None = None,
        item_dim: int = 64,
        dropout: float = 0.0,
        init_std: float = 0.05,
        item_table: Mapping[str, Tensor] | None = None,
        features: dict[str, FeatureSpec] | None = None,
    ) -> TabularSequenceFeatures:
        """All features of a schema with their encoders.

        `continuous_projection` gives each continuous column that many channels, `continuous_soft_embeddings`
        encodes it as soft one-hot; `features` overrides single columns; `d_output` adds a linear layer after
        aggregation. Columns of scope ``item`` are read from `item_table` where it holds them, else from the
        batch.
        """
        if features is None:
            encoding = "soft_one_hot" if continuous_soft_embeddings else "projected" if continuous_projection else None
            continuous = FeatureSpec(encoding=encoding, dim=continuous_projection)
            features = {c.name: continuous if c.kind == "continuous" else FeatureSpec() for c in schema.features}
        inputs = InputsSpec(features=features, aggregation=aggregation)
        resolved = resolve(inputs, schema, item_dim)
        encoders = {name: _encoder(schema, name, spec, init_std) for name, spec in resolved.items()}
        dims = [spec.dim or 0 for spec in resolved.values()]
        joined = sum(dims) if aggregation == "concat" else dims[0]
        table = {n: v for n, v in (item_table or {}).items() if n in resolved}
        return cls(
            encoders,
            d_output or joined,
            item=schema.item.name,
            item_table=table,
            aggregation=aggregation,
            masking=make_masking(masking) if isinstance(masking, str) else masking,
            dropout=dropout,
            projection=nn.Linear(joined, d_output) if d_output else None,
            max_sequence_length=max_sequence_length,
            init_std=init_std,
        )


def _encoder(schema: Schema, name: str, spec: FeatureSpec, init_std: float) -> nn.Module:
    column, dim = schema[name], spec.dim or 1
    if spec.encoding == "embedding":
        return CategoricalFeature(column.size, dim, column.multi, init_std)
    if spec.encoding == "projected":
        return ProjectedFeature(dim)
    if spec.encoding == "soft_one_hot":
        return SoftOneHotFeature(spec.bins, dim, init_std)
    return ScalarFeature()
