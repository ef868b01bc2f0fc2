"""Vectors made elsewhere, in a spec."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from t4r_lab.base.errors import InputError
from t4r_lab.families.knobs import Part, knob


class VectorsSpec(Part):
    """Vectors made elsewhere, of a text or image model for example: one for each item, or each value of a column."""

    path: str = Field(
        description=".parquet with a column of the user's own ids and a column of lists, or .npy with a row per id"
    )
    trainable: bool = knob(False, "train the vectors too; otherwise they stay fixed")
    normalization: Literal["none", "l2", "standardize"] = knob(
        "none",
        "applied to the given vectors; l2: each of length 1; standardize: each dimension to mean 0 and deviation 1",
    )
    missing: Literal["refuse", "zero"] = knob("refuse", "ids without a vector: refuse, or use zeros")

    @field_validator("path")
    @classmethod
    def _path_is_set(cls, path: str) -> str:
        if not path.strip():
            raise InputError("", "is empty", "give the path of a .parquet or .npy file")
        return path
