"""Soft one-hot encoding of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from t4r_lab.families.encoders.column_encoder import ColumnEncoder, EncoderInput
from t4r_lab.families.knobs import knob

if TYPE_CHECKING:
    from t4r_lab.nn.layers.feature_vectors import SoftOneHotFeature


class SoftOneHot(ColumnEncoder):
    """A weighted mean of embeddings, the weights by the number."""

    takes: ClassVar[tuple[str, ...]] = ("continuous",)

    encoding: Literal["soft_one_hot"] = "soft_one_hot"
    bins: int = knob(10, "soft one-hot: number of embeddings mixed", low=2, high=1000)

    def build(self, of: EncoderInput) -> SoftOneHotFeature:
        """(N,) to (N, dim)."""
        from t4r_lab.nn.layers.feature_vectors import SoftOneHotFeature

        return SoftOneHotFeature(self.bins, of.dim, of.init_std)
