"""The input block: columns become one vector per event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from t4r_lab.base.errors import InputError
from t4r_lab.nn.inputs.encoders import CategoricalFeature, make_encoders
from t4r_lab.nn.inputs.noise import InputNoise
from t4r_lab.nn.kernels.dropout import Dropout
from t4r_lab.nn.kernels.table_rows import rows
from t4r_lab.nn.layers.flow import Masked
from t4r_lab.nn.masking import Masking, make_masking
from t4r_lab.schema.columns import PADDING, Schema
from t4r_lab.spec import FeatureSpec, InputsSpec
from t4r_lab.spec.input_columns import Feature, resolve, width
from t4r_lab.spec.run_spec import explain

ITEM_TABLE = "item_table_"
"""Prefix of the names of tensors with item attributes."""


def _item_multi(item: Tensor, features: Sequence[Tensor]) -> Tensor:
    """m_k = x_k ⊙ [1 + f_1,k + … + f_F,k], x the item (Transformers4Rec, RecSys '21)."""
    return item * (1 + torch.stack(list(features)).sum(0)) if features else item


AGGREGATIONS: dict[str, Callable[[Tensor, Sequence[Tensor]], Tensor]] = {
    "concat": lambda item, features: torch.cat([item, *features], -1),
    "element-wise-sum": lambda item, features: torch.stack([item, *features]).sum(0),
    "element-wise-sum-item-multi": _item_multi,
}
"""Joins the item's vector and those of the other features, (B, T, dim) each, into one."""


@dataclass(frozen=True)
class FeatureReader:
    """The steps from one feature to a vector: the columns that are read, their encoder, and its layer norm."""

    encoder: nn.Module
    """from the columns, (N,) or (N, K) each, to (N, dim); the item's is a `CategoricalFeature`"""
    columns: tuple[str, ...]
    norm: nn.Module | None = None


@dataclass(frozen=True)
class Joining:
    """The steps from the vectors of an event's features to the one that a body reads, (output_dim,)."""

    output_dim: int
    aggregation: str = "concat"
    """one of `AGGREGATIONS`"""
    projection: nn.Module | None = None
    """after the aggregation"""
    hidden: nn.Parameter | None = None
    """the learned vector that stands for a hidden event, (output_dim,)"""
    dropout: float = 0.0


class TabularSequenceFeatures(nn.Module):
    """Features of each event, aggregated to one vector, with hidden events replaced.

    Parameters
    ----------
    features
        the reader of each, the item's among them.
    joining
        how their vectors become one.
    masking
        the policy by which the model trains, kept here for the blocks that follow.
    max_sequence_length
        events of a session that the body has positions for.
    item
        name of the item column.
    item_table
        columns that depend on the item alone, indexed by item id, (I+1,) or (I+1, K). They are
        looked up on the device and never travel with the sessions. A parameter among them is trained.
    noise
        what is done to the columns in training.

    Raises
    ------
    InputError
        for a masking that hides as many events as a session has, or without a vector that stands for hidden ones.
    """

    def __init__(
        self,
        features: Mapping[str, FeatureReader],
        joining: Joining,
        masking: Masking | None = None,
        max_sequence_length: int = 20,
        item: str = "item_id",
        item_table: Mapping[str, Tensor] | None = None,
        noise: nn.Module | None = None,
    ) -> None:
        super().__init__()
        _check_masking(masking, joining, max_sequence_length)
        self._encoders = nn.ModuleDict({f"feature_{name}": part.encoder for name, part in features.items()})
        self._norms = nn.ModuleDict(
            {f"feature_{name}": part.norm for name, part in features.items() if part.norm is not None}
        )
        self._columns = {name: part.columns for name, part in features.items()}
        self.item, self.masking, self.max_sequence_length = item, masking, max_sequence_length
        self.item_columns = tuple(item_table or ())
        for name, values in (item_table or {}).items():
            if isinstance(values, nn.Parameter):
                self.register_parameter(f"{ITEM_TABLE}{name}", values)
            else:
                self.register_buffer(f"{ITEM_TABLE}{name}", values)
        self.noise = noise or InputNoise({})
        self.output_dim, self.aggregation = joining.output_dim, joining.aggregation
        self.projection = joining.projection or nn.Identity()
        self.hidden_vector = joining.hidden
        self.dropout = Dropout(joining.dropout)

    @property
    def encoders(self) -> dict[str, nn.Module]:
        """The module of each column. (A column may be called like an attribute of a module, ``type`` or ``keys``.)"""
        return dict(zip(self._columns, self._encoders.values(), strict=True))

    @property
    def placeholder(self) -> nn.Parameter | None:
        """The learned vector that stands for a hidden event, (output_dim,)."""
        return self.hidden_vector

    @property
    def item_embedding(self) -> nn.Embedding:
        """The table of item vectors, (I+1, dim), that a tied head shares."""
        encoder = self.encoders[self.item]
        assert isinstance(encoder, CategoricalFeature)
        return encoder.table

    @property
    def trained_tables(self) -> list[nn.Parameter]:
        """The trained ones among the columns by item id."""
        return [p for name, p in self.named_parameters(recurse=False) if name.startswith(ITEM_TABLE)]

    def forward(self, masked: Masked) -> Tensor:
        """The interaction embedding of each event, (B, T, output_dim); zero at padding, which costs nothing."""
        places = masked.batch.valid.flatten().nonzero()[:, 0]  # (N,) of the real events in the flattened batch
        values = {name: v.flatten(0, 1).index_select(0, places) for name, v in self._values(masked).items()}
        vectors = self._vectors(values)
        item = vectors.pop(self.item)
        joined = self.projection(AGGREGATIONS[self.aggregation](item, list(vectors.values())))
        if masked.hidden is not None and self.hidden_vector is not None:
            hidden = masked.hidden.flatten().index_select(0, places).nonzero()[:, 0]
            joined = joined.index_copy(0, hidden, self.hidden_vector.to(joined.dtype).expand(len(hidden), -1))
        events: Tensor = self.dropout(joined)
        shape = masked.batch.ids.shape
        return events.new_zeros(shape.numel(), self.output_dim).index_copy(0, places, events).unflatten(0, shape)

    def _values(self, masked: Masked) -> dict[str, Tensor]:
        """Values that the encoders read, by column, (B, T, …). A hidden event gives its values to no other."""
        names = dict.fromkeys(name for columns in self._columns.values() for name in columns)
        values = {name: self._column(masked.batch.columns, name) for name in names}
        real = masked.batch.valid if masked.hidden is None else masked.batch.valid & ~masked.hidden
        noisy: dict[str, Tensor] = self.noise(values, real)
        return noisy

    def _vectors(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The vector of each feature, (N, dim)."""
        vectors = {}
        for name, encoder in self.encoders.items():
            vector = encoder(*(values[column] for column in self._columns[name]))
            key = f"feature_{name}"
            vectors[name] = self._norms[key](vector) if key in self._norms else vector
        return vectors

    def _column(self, columns: Mapping[str, Tensor], name: str) -> Tensor:
        if name in self.item_columns:
            table: Tensor = getattr(self, f"{ITEM_TABLE}{name}")
            ids = columns[self.item]  # only a trained table has a gradient, which must spare padding
            return rows(table, ids, PADDING) if table.requires_grad else table[ids]
        if name not in columns:
            raise InputError(
                "inputs",
                f"feature {name!r} is not among the batch's columns {list(columns)}",
                "prepare the data with it",
            )
        return columns[name]

    @classmethod
    def from_spec(
        cls,
        inputs: InputsSpec,
        schema: Schema,
        d_model: int,
        max_sequence_length: int = 20,
        masking: str | Masking | None = None,
        d_output: int | None = None,
        item_table: Mapping[str, Tensor] | None = None,
        vectors: Mapping[str, Tensor] | None = None,
    ) -> TabularSequenceFeatures:
        """The input block of a spec.

        `vectors`, (size, W) by feature, are those that the spec's features name: where an embedding starts, or what
        is read by item id. The latter are kept like the columns of `item_table`, and may come back by it. `d_output`
        adds a linear layer after aggregation.
        """
        resolved, vectors = resolve(inputs, schema, d_model), vectors or {}
        table = {n: v for n, v in (item_table or {}).items() if any(n in f.columns for f in resolved.values())}
        for name, feature in resolved.items():
            if feature.encoder.reads_vectors:
                table[name] = _item_vectors(name, feature, vectors.get(name, table.get(name)), schema.item.size)
        encoders = make_encoders(resolved, {**table, **vectors}, inputs.init_std)
        masking = make_masking(masking) if isinstance(masking, str) else masking
        sizes = {c: f.size for f in resolved.values() if f.size for c in f.columns}
        return cls(
            {
                name: FeatureReader(encoders[name], feature.columns, _norm(inputs, feature))
                for name, feature in resolved.items()
            },
            _joining(inputs, width(resolved, inputs.aggregation), d_output, masking),
            masking,
            max_sequence_length,
            schema.item.name,
            table,
            InputNoise(sizes, inputs.shared_embeddings, inputs.swap_noise, inputs.swap),
        )

    @classmethod
    def from_schema(
        cls,
        schema: Schema | str | Path,
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
        features: Mapping[str, FeatureSpec] | None = None,
        embedding_dims: Mapping[str, int] | None = None,
        layer_norm: bool = False,
        shared_embeddings: float = 0.0,
        swap_noise: float = 0.0,
        swap: str = "feature",
        vectors: Mapping[str, Tensor] | None = None,
    ) -> TabularSequenceFeatures:
        """All features of a schema, ours or Merlin's (or the path of one), with their encoders.

        `continuous_projection` sends all continuous columns together through one layer of that width,
        `continuous_soft_embeddings` encodes each as soft one-hot (of that width, if both are given);
        `embedding_dims` are widths by column; `features` says everything about each column that is read. Columns of
        scope ``item`` are read from `item_table` where it holds them, else from the batch. `vectors` as in
        `from_spec`; `d_output` adds a linear layer after aggregation.
        """
        schema = schema if isinstance(schema, Schema) else Schema.load(schema)
        if features is None:
            features = _schema_features(schema, continuous_soft_embeddings, continuous_projection)
        for name, dim in (embedding_dims or {}).items():
            features = {**features, name: features.get(name, FeatureSpec()).model_copy(update={"dim": dim})}
        content = {
            "features": dict(features),
            "aggregation": aggregation,
            "dropout": dropout,
            "init_std": init_std,
            "continuous_projection": None if continuous_soft_embeddings else continuous_projection,
            "layer_norm": layer_norm,
            "shared_embeddings": shared_embeddings,
            "swap_noise": swap_noise,
            "swap": swap,
        }
        inputs = _checked(content)
        return cls.from_spec(inputs, schema, item_dim, max_sequence_length, masking, d_output, item_table, vectors)


def _schema_features(schema: Schema, soft: bool, dim: int | None) -> dict[str, FeatureSpec]:
    """A spec for every feature of a schema; of continuous ones as soft one-hot of width `dim` if `soft`."""
    continuous = FeatureSpec(encoding="soft_one_hot", dim=dim) if soft else FeatureSpec()
    return {c.name: continuous if c.kind == "continuous" else FeatureSpec() for c in schema.features}


def _checked(content: dict[str, object]) -> InputsSpec:
    """The spec of an input block; a wrong value is explained."""
    try:
        return InputsSpec.model_validate(content)
    except ValidationError as error:
        raise explain(InputsSpec, content, error) from None


def _check_masking(masking: Masking | None, joining: Joining, max_sequence_length: int) -> None:
    """Refuse a masking that leaves nothing visible, or has nothing to put in the place of what it hides."""
    if masking is None:
        return
    masking.check(max_sequence_length, "max_sequence_length")
    if masking.hides and joining.hidden is None:
        raise InputError("masking", "it hides events, and no vector stands for them", "give Joining a hidden one")


def _norm(inputs: InputsSpec, feature: Feature) -> nn.Module | None:
    """The layer norm after the encoder of a feature; None without one."""
    return nn.LayerNorm(feature.dim) if inputs.layer_norm and feature.encoder.fixed_dim is None else None


def _joining(inputs: InputsSpec, joined: int, d_output: int | None, masking: Masking | None) -> Joining:
    """Aggregation to `joined` values, projected to `d_output`, if that is given."""
    projection, output_dim = nn.Linear(joined, d_output) if d_output else None, d_output or joined
    hidden = None
    if masking is not None and masking.hides:
        hidden = nn.Parameter(torch.empty(output_dim).normal_(std=inputs.init_std))
    return Joining(output_dim, inputs.aggregation, projection, hidden, inputs.dropout)


def _item_vectors(name: str, feature: Feature, vectors: Tensor | None, rows: int) -> Tensor:
    """Pre-trained vectors of the items, (I+1, W), as a buffer or, to be trained, as a parameter."""
    path = f"model.inputs.features.{name}.vectors"
    if vectors is None:
        raise InputError(path, "were not given", f"pass vectors={{{name!r}: …}} with a row per item id")
    if vectors.ndim != 2 or len(vectors) != rows:
        raise InputError(path, f"are {tuple(vectors.shape)}, but there are {rows - 1} items", f"give ({rows}, width)")
    values = vectors.to(torch.float32).clone()
    values[PADDING] = 0.0
    trainable = feature.vectors is not None and feature.vectors.trainable
    return nn.Parameter(values) if trainable else values
