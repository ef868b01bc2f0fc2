"""The module of each feature."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from t4r_lab.base.errors import InputError
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
        for vectors of another length or width.
    """
    first_of_table: dict[str | None, nn.Module] = {}
    encoders: dict[str, nn.Module] = {}
    for name, feature in features.items():
        sharing = first_of_table.get(feature.table)
        try:
            encoders[name] = feature.encoder.build(feature.describe(vectors.get(name), init_std, sharing))
        except InputError as error:
            raise error.at(f"{PATH}.{name}.{error.path}") from None
        if feature.table is not None:
            first_of_table.setdefault(feature.table, encoders[name])
    return encoders
