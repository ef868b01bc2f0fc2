"""A number as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from t4r_lab.families.encoders.column_encoder import ColumnEncoder, EncoderInput

if TYPE_CHECKING:
    from t4r_lab.nn.layers.feature_vectors import ScalarFeature


class Scalar(ColumnEncoder):
    """The number itself as one channel; where vectors are added, it is projected."""

    takes: ClassVar[tuple[str, ...]] = ("continuous",)
    fixed_dim: ClassVar[int | None] = 1
    summed_as: ClassVar[str | None] = "projected"

    encoding: Literal["scalar"] = "scalar"

    def build(self, of: EncoderInput) -> ScalarFeature:
        """(N,) to (N, 1)."""
        from t4r_lab.nn.layers.feature_vectors import ScalarFeature

        return ScalarFeature()
