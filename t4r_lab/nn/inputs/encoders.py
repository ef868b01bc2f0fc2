"""The module of each feature."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from t4r_lab.base.errors import InputError, first_line
from t4r_lab.families.custom import is_custom
from t4r_lab.nn.layers.feature_vectors import (
    CategoricalFeature,
    ProjectedFeature,
    ScalarFeature,
    SoftOneHotFeature,
    VectorFeature,
    embedding_table,
)
from t4r_lab.spec.input_columns import PATH, Feature

__all__ = [
    "CategoricalFeature",
    "ProjectedFeature",
    "ScalarFeature",
    "SoftOneHotFeature",
    "VectorFeature",
    "embedding_table",
    "make_encoders",
]


def make_encoders(
    features: Mapping[str, Feature], vectors: Mapping[str, Tensor], init_std: float
) -> dict[str, nn.Module]:
    """The module of each feature; those that name one table hold the same one.

    `vectors`, (size, W) by feature, are where an embedding starts, or what a feature of pre-trained vectors reads.

    Raises
    ------
    InputError
        for vectors of another length or width, or a custom module that fails or gives another shape.
    """
    first_of_table: dict[str | None, nn.Module] = {}
    encoders: dict[str, nn.Module] = {}
    for name, feature in features.items():
        sharing = first_of_table.get(feature.table)
        try:
            encoders[name] = feature.encoder.build(feature.describe(vectors.get(name), init_std, sharing))
            if is_custom(feature.encoding):
                _try_out(encoders[name], feature)
        except InputError as error:
            raise error.at(f"{PATH}.{name}.{error.path}") from None
        if feature.table is not None:
            first_of_table.setdefault(feature.table, encoders[name])
    return encoders


def _try_out(module: nn.Module, feature: Feature) -> None:
    """Refuse a module that doesn't make two vectors of two events."""
    values = torch.ones((2, 1) if feature.multi else 2, dtype=torch.long if feature.size else torch.float32)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            shape = tuple(module(*[values] * len(feature.columns)).shape)
    except Exception as error:
        problem = f"the module of {feature.encoding} fails ({type(error).__name__}: {first_line(error)})"
        raise InputError("encoding", problem, "fix what its build returns") from error
    if shape != (2, feature.dim):
        problem = f"the module of {feature.encoding} makes {shape} of two events, not {(2, feature.dim)}"
        raise InputError("encoding", problem, "let what its build returns give a vector of the width `dim` an event")
