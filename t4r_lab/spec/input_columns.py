"""Which columns enter a model and how wide: the input block decided, before any module is built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.schema.columns import Column, Schema
from t4r_lab.spec.sections import FeatureSpec, InputsSpec, VectorsSpec

EMBEDDING_MULTIPLIER = 2.0
ENCODINGS = {"categorical": ("embedding",), "continuous": ("scalar", "projected", "soft_one_hot")}
TOGETHER = "all continuous"
"""The feature that `continuous_projection` makes of several columns."""
PATH = "model.inputs.features"


@dataclass(frozen=True)
class Feature:
    """One part of the interaction embedding, with everything decided that a module needs."""

    encoding: str
    """one of `ENCODINGS`, or ``vectors``"""
    dim: int
    columns: tuple[str, ...]
    size: int = 0
    """embedding: rows of its table"""
    multi: bool = False
    bins: int = 0
    table: str | None = None
    vectors: VectorsSpec | None = None


def default_dim(size: int, multiplier: float = EMBEDDING_MULTIPLIER) -> int:
    """Embedding width from cardinality, ``ceil(size^0.25 · multiplier)`` (as in Transformers4Rec).

    >>> default_dim(10_000)
    20
    """
    root: float = size**0.25
    return math.ceil(root * multiplier)


def resolve(inputs: InputsSpec, schema: Schema, d_model: int) -> dict[str, Feature]:
    """Every feature the model reads with encoding, width and table decided, the item first.

    Raises
    ------
    InputError
        for a feature that the schema lacks, an encoding that doesn't fit its kind, tables that can't be shared, or
        widths that the aggregation can't join.
    """
    known = {c.name: c for c in schema.features}
    for refusal in missing(inputs, schema).values():
        raise refusal
    asked = inputs.features if inputs.features is not None else {name: FeatureSpec() for name in known}
    item = schema.item.name
    ordered = _with_shared_dims({item: asked.get(item, FeatureSpec()), **{n: f for n, f in asked.items() if n != item}})
    item_dim = ordered[item].dim or d_model
    summed = inputs.aggregation != "concat"
    together = _together(inputs, known, ordered)
    resolved = {
        name: _fill(known[name], spec, item_dim, summed) if name in known else _vectors(name, spec, item_dim, summed)
        for name, spec in ordered.items()
        if name not in together
    }
    if together:
        resolved[TOGETHER] = Feature("projected", inputs.continuous_projection or 1, together)
    resolved = _share(resolved, item)
    if summed:
        _same_width({name: feature.dim for name, feature in resolved.items()}, inputs.aggregation, item_dim)
    return resolved


def missing(inputs: InputsSpec, schema: Schema) -> dict[str, InputError]:
    """Features that are asked for and that the schema lacks, each with its refusal; vectors need no column."""
    known = dict.fromkeys(c.name for c in schema.features)
    return {
        name: InputError(f"{PATH}.{name}", "the data has no such feature", did_you_mean(name, known))
        for name, spec in (inputs.features or {}).items()
        if name not in known and (spec.vectors is None or name in schema)
    }


def width(resolved: Mapping[str, Feature], aggregation: str) -> int:
    """Width of the aggregated vector."""
    dims = [feature.dim for feature in resolved.values()]
    return sum(dims) if aggregation == "concat" else dims[0]


def _fill(column: Column, spec: FeatureSpec, item_dim: int, summed: bool) -> Feature:
    allowed, path = ENCODINGS[column.kind], f"{PATH}.{column.name}"
    if spec.encoding is not None and spec.encoding not in allowed:
        raise InputError(
            f"{path}.encoding",
            f"{spec.encoding!r} is not for a {column.kind} column",
            f"choose from: {', '.join(allowed)}",
        )
    for name in ("table", "vectors"):
        if getattr(spec, name) is not None and column.kind != "categorical":
            raise InputError(f"{path}.{name}", f"{column.name} is {column.kind} and has no embedding", "leave it out")
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
    return Feature(encoding, dim, (column.name,), column.size, column.multi, spec.bins, spec.table, spec.vectors)


def _vectors(name: str, spec: FeatureSpec, item_dim: int, summed: bool) -> Feature:
    """Pre-trained vectors of the items, projected where their width isn't `dim`."""
    if spec.encoding is not None or spec.table is not None:
        raise InputError(f"{PATH}.{name}", "pre-trained vectors take neither encoding nor table", "leave them out")
    if "." in name or not name:
        raise InputError(f"{PATH}.{name}", "a name has letters and no dots", "call it for example text")
    return Feature("vectors", spec.dim or (item_dim if summed else default_dim(1000)), (name,), vectors=spec.vectors)


def _together(inputs: InputsSpec, known: Mapping[str, Column], asked: Mapping[str, FeatureSpec]) -> tuple[str, ...]:
    """The continuous columns that one layer projects."""
    if inputs.continuous_projection is None:
        return ()
    continuous = [name for name in asked if name in known and known[name].kind == "continuous"]
    return tuple(name for name in continuous if asked[name].encoding is None and asked[name].dim is None)


def _with_shared_dims(asked: Mapping[str, FeatureSpec]) -> dict[str, FeatureSpec]:
    """A width given to one column of a shared table is the width of all its columns."""
    given: dict[str, tuple[str, int]] = {}
    for name, spec in asked.items():
        if spec.table is None or spec.dim is None:
            continue
        first, dim = given.setdefault(spec.table, (name, spec.dim))
        if dim != spec.dim:
            raise InputError(
                f"{PATH}.{name}.dim",
                f"table {spec.table!r} has one width, but {first} has {dim} and {name} has {spec.dim}",
                "give both the same dim, or tables of their own",
            )
    return {
        name: spec.model_copy(update={"dim": given[spec.table][1]}) if spec.table in given else spec
        for name, spec in asked.items()
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
        given = [n for n in names if resolved[n].vectors is not None]
        if len(given) > 1:
            raise InputError(
                f"{PATH}.{given[1]}.vectors",
                f"table {table!r} already starts from those of {given[0]}",
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
