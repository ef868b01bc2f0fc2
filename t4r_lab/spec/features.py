"""Which columns enter a model and how wide: the input block decided, before any module is built."""

from __future__ import annotations

import math

from t4r_lab.errors import InputError, did_you_mean
from t4r_lab.schema import Column, Schema
from t4r_lab.spec.parts import FeatureSpec, InputsSpec

EMBEDDING_MULTIPLIER = 2.0
ENCODINGS = {"categorical": ("embedding",), "continuous": ("scalar", "projected", "soft_one_hot")}


def default_dim(size: int, multiplier: float = EMBEDDING_MULTIPLIER) -> int:
    """Embedding width from cardinality, ``ceil(size^0.25 · multiplier)`` (as in Transformers4Rec).

    >>> default_dim(10_000)
    20
    """
    return math.ceil(size**0.25 * multiplier)


def resolve(inputs: InputsSpec, schema: Schema, d_model: int) -> dict[str, FeatureSpec]:
    """Every feature the model reads with its encoding and width filled in, the item first.

    Raises
    ------
    InputError
        for a feature that the schema lacks, an encoding that doesn't fit its kind, or widths that the
        aggregation can't join.
    """
    known = {c.name: c for c in schema.features}
    asked = inputs.features if inputs.features is not None else {name: FeatureSpec() for name in known}
    for name in asked:
        if name not in known:
            raise InputError(f"model.inputs.features.{name}: the data has no such feature; {did_you_mean(name, known)}")
    item = schema.item.name
    ordered = {item: asked.get(item, FeatureSpec()), **{n: f for n, f in asked.items() if n != item}}
    item_dim = ordered[item].dim or d_model
    summed = inputs.aggregation != "concat"
    resolved = {name: _fill(known[name], spec, item_dim, summed) for name, spec in ordered.items()}
    if summed:
        _same_width({name: spec.dim or 0 for name, spec in resolved.items()}, inputs.aggregation, item_dim)
    return resolved


def width(resolved: dict[str, FeatureSpec], aggregation: str) -> int:
    """Width of the aggregated vector."""
    dims = [spec.dim or 0 for spec in resolved.values()]
    return sum(dims) if aggregation == "concat" else dims[0]


def _fill(column: Column, spec: FeatureSpec, item_dim: int, summed: bool) -> FeatureSpec:
    allowed = ENCODINGS[column.kind]
    if spec.encoding is not None and spec.encoding not in allowed:
        raise InputError(
            f"model.inputs.features.{column.name}.encoding: {spec.encoding!r} is not for a {column.kind} column; "
            f"choose from: {', '.join(allowed)}"
        )
    encoding = spec.encoding or allowed[0]
    if summed and encoding == "scalar":
        encoding = "projected"  # a single channel can't be added to vectors: the sum projects it
    if encoding == "scalar":
        dim = 1
    elif spec.dim is not None:
        dim = spec.dim
    elif summed or column.role == "item":
        dim = item_dim
    else:
        dim = default_dim(column.size) if encoding == "embedding" else default_dim(1000)
    return spec.model_copy(update={"encoding": encoding, "dim": dim})


def _same_width(dims: dict[str, int], aggregation: str, item_dim: int) -> None:
    for name, dim in dims.items():
        if dim != item_dim:
            raise InputError(
                f"model.inputs.features.{name}.dim: {aggregation} needs one width, but the item has {item_dim} and "
                f"{name} has {dim}; give both the same dim or use aggregation concat"
            )
