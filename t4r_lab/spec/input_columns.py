"""The columns that enter a model and their widths: the input block decided, before any module is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.families.encoders.column_encoder import ColumnEncoder, EncoderInput
from t4r_lab.families.encoders.encoder_table import ENCODERS, FeatureSpec, encodings_for, made_of
from t4r_lab.families.encoders.given_vectors import GivenVectors
from t4r_lab.families.encoders.projected import Projected
from t4r_lab.families.encoders.vectors_spec import VectorsSpec
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec.sections import InputsSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

TOGETHER = "all continuous"
"""The feature that `continuous_projection` makes of several columns."""
PATH = "model.inputs.features"


@dataclass(frozen=True)
class Feature:
    """One part of the interaction embedding, with everything decided that a module needs."""

    encoder: ColumnEncoder
    dim: int
    columns: tuple[str, ...]
    size: int = 0
    """rows of the table of ids; 0 of numbers and vectors"""
    multi: bool = False

    @property
    def encoding(self) -> str:
        """Name of the encoder."""
        return self.encoder.encoding

    @property
    def table(self) -> str | None:
        """Name of the table that it shares with others."""
        return table_of(self.encoder)

    @property
    def vectors(self) -> VectorsSpec | None:
        """The vectors that it starts from or reads."""
        return vectors_of(self.encoder)

    def describe(self, vectors: Tensor | None, init_std: float, sharing: nn.Module | None) -> EncoderInput:
        """The arguments of its module; `vectors` (rows, W) are those that it names."""
        return EncoderInput(self.dim, len(self.columns), self.size, self.multi, init_std, vectors, sharing)


def resolve(inputs: InputsSpec, schema: Schema, d_model: int) -> dict[str, Feature]:
    """Every feature the model reads with encoding, width and table decided, the item first.

    Raises
    ------
    InputError
        for a feature that the schema lacks, an encoding that doesn't fit its kind, tables that can't be shared, or
        widths that the aggregation can't join.
    """
    columns = {c.name: c for c in schema.features}
    for refusal in missing(inputs, schema).values():
        raise refusal
    features = inputs.features if inputs.features is not None else {name: FeatureSpec() for name in columns}
    item = schema.item.name
    ordered = _with_shared_dims(
        {item: features.get(item, FeatureSpec()), **{n: f for n, f in features.items() if n != item}}
    )
    item_dim = ordered[item].dim or d_model
    summed = inputs.aggregation != "concat"
    together = _together(inputs, columns, ordered)
    resolved = {
        name: _fill(columns[name], spec, item_dim, summed)
        if name in columns
        else _vectors(name, spec, item_dim, summed)
        for name, spec in ordered.items()
        if name not in together
    }
    if together:
        resolved[TOGETHER] = Feature(Projected(), inputs.continuous_projection or 1, together)
    resolved = _share(resolved, item)
    if summed:
        _same_width({name: feature.dim for name, feature in resolved.items()}, inputs.aggregation, item_dim)
    return resolved


def table_of(feature: FeatureSpec | ColumnEncoder) -> str | None:
    """Name of the table that a feature shares; None too where its encoding has none."""
    return getattr(feature, "table", None)


def vectors_of(feature: FeatureSpec | ColumnEncoder) -> VectorsSpec | None:
    """The vectors that a feature names; None too where its encoding takes none."""
    return getattr(feature, "vectors", None)


def missing(inputs: InputsSpec, schema: Schema) -> dict[str, InputError]:
    """Features of a spec that the schema lacks, each with its refusal; vectors need no column."""
    names = dict.fromkeys(c.name for c in schema.features)
    return {
        name: InputError(f"{PATH}.{name}", "the data has no such feature", did_you_mean(name, names))
        for name, spec in (inputs.features or {}).items()
        if name not in names and (vectors_of(spec) is None or name in schema)
    }


def width(resolved: Mapping[str, Feature], aggregation: str) -> int:
    """Width of the aggregated vector."""
    dims = [feature.dim for feature in resolved.values()]
    return sum(dims) if aggregation == "concat" else dims[0]


def _fill(column: Column, spec: FeatureSpec | ColumnEncoder, item_dim: int, summed: bool) -> Feature:
    encoder = _encoder(column, spec, summed)
    if encoder.fixed_dim is not None:
        dim = encoder.fixed_dim
    elif encoder.dim is not None:
        dim = encoder.dim
    else:
        dim = item_dim if summed or column.role == "item" else encoder.default_width(column.size)
    return Feature(encoder, dim, (column.name,), column.size, column.multi)


def _encoder(column: Column, spec: FeatureSpec | ColumnEncoder, summed: bool) -> ColumnEncoder:
    """The encoder of a column, with its knobs."""
    encodings, path = encodings_for(column.kind), f"{PATH}.{column.name}"
    encoder = spec if isinstance(spec, ColumnEncoder) else made_of(ENCODERS[spec.encoding or encodings[0]], spec)
    if column.kind not in encoder.takes:
        problem = f"{spec.encoding!r} is not for a {column.kind} column"
        raise InputError(f"{path}.encoding", problem, f"choose from: {', '.join(encodings)}")
    if column.role == "item" and type(encoder) is not ENCODERS[encodings[0]]:
        problem = f"{spec.encoding!r} is not for the item, whose embedding the heads read too"
        raise InputError(f"{path}.encoding", problem, f"use {encodings[0]}")
    for name, field in type(spec).model_fields.items():
        if field.default is None and getattr(spec, name) is not None and name not in type(encoder).model_fields:
            owners = [word for word, other in ENCODERS.items() if other.takes and name in other.model_fields]
            problem = f"{column.name} is {column.kind} and has no {' or '.join(owners)}"
            raise InputError(f"{path}.{name}", problem, "leave it out")
    return made_of(ENCODERS[encoder.summed_as], spec) if summed and encoder.summed_as else encoder


def _vectors(name: str, spec: FeatureSpec, item_dim: int, summed: bool) -> Feature:
    """Pre-trained vectors of the items, projected where their width isn't `dim`."""
    if spec.encoding is not None or spec.table is not None:
        raise InputError(f"{PATH}.{name}", "pre-trained vectors take neither encoding nor table", "leave them out")
    if "." in name or not name:
        raise InputError(f"{PATH}.{name}", "a name has letters and no dots", "call it for example text")
    encoder = made_of(GivenVectors, spec)
    return Feature(encoder, encoder.dim or (item_dim if summed else encoder.default_width(0)), (name,))


def _together(
    inputs: InputsSpec, columns: Mapping[str, Column], features: Mapping[str, FeatureSpec]
) -> tuple[str, ...]:
    """The continuous columns that one layer projects."""
    if inputs.continuous_projection is None:
        return ()
    continuous = [name for name in features if name in columns and columns[name].kind == "continuous"]
    return tuple(name for name in continuous if features[name].encoding is None and features[name].dim is None)


def _with_shared_dims(features: Mapping[str, FeatureSpec]) -> dict[str, FeatureSpec]:
    """A width given to one column of a shared table is the width of all its columns."""
    widths: dict[str, tuple[str, int]] = {}
    for name, spec in features.items():
        table = table_of(spec)
        if table is None or spec.dim is None:
            continue
        first, dim = widths.setdefault(table, (name, spec.dim))
        if dim != spec.dim:
            raise InputError(
                f"{PATH}.{name}.dim",
                f"table {table!r} has one width, but {first} has {dim} and {name} has {spec.dim}",
                "give both the same dim, or tables of their own",
            )
    return {
        name: spec.model_copy(update={"dim": widths[table][1]}) if (table := table_of(spec)) in widths else spec
        for name, spec in features.items()
    }


def _share(resolved: dict[str, Feature], item: str) -> dict[str, Feature]:
    """Columns of one table with its rows, those of the largest, and its width."""
    groups: dict[str, list[str]] = {}
    for name, feature in resolved.items():
        if feature.table is not None:
            groups.setdefault(feature.table, []).append(name)
    for table, names in groups.items():
        largest = max((resolved[n] for n in names), key=lambda f: f.size)
        lead = resolved[item] if item in names else largest
        if lead.size < largest.size:
            raise InputError(
                f"{PATH}.{largest.columns[0]}.table",
                f"has {largest.size} ids, but the items' table {table!r} has {lead.size} rows",
                f"give {largest.columns[0]} another table",
            )
        with_vectors = [n for n in names if resolved[n].vectors is not None]
        if len(with_vectors) > 1:
            raise InputError(
                f"{PATH}.{with_vectors[1]}.vectors",
                f"table {table!r} already starts from those of {with_vectors[0]}",
                "keep one of them",
            )
        for n in names:
            resolved[n] = replace(resolved[n], size=lead.size, dim=lead.dim)
    return resolved


def _same_width(dims: dict[str, int], aggregation: str, item_dim: int) -> None:
    for name, dim in dims.items():
        if dim != item_dim:
            path = "model.inputs.continuous_projection" if name == TOGETHER else f"{PATH}.{name}.dim"
            raise InputError(
                path,
                f"{aggregation} needs one width, but the item has {item_dim} and {name} has {dim}",
                "give both the same dim or use aggregation concat",
            )
