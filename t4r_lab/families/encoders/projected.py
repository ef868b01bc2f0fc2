"""Numbers through one layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from t4r_lab.families.encoders.column_encoder import ColumnEncoder, EncoderInput

if TYPE_CHECKING:
    from t4r_lab.nn.layers.feature_vectors import ProjectedFeature


class Projected(ColumnEncoder):
    """The number through one fully-connected layer."""

    takes: ClassVar[tuple[str, ...]] = ("continuous",)

    encoding: Literal["projected"] = "projected"

    def build(self, of: EncoderInput) -> ProjectedFeature:
        """One or more columns (N,) to (N, dim)."""
        from t4r_lab.nn.layers.feature_vectors import ProjectedFeature

        return ProjectedFeature(of.dim, of.columns)
