"""Pre-trained vectors of the items."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from t4r_lab.families.encoders.column_encoder import ColumnEncoder, EncoderInput
from t4r_lab.families.encoders.vectors_spec import VectorsSpec

if TYPE_CHECKING:
    from t4r_lab.nn.layers.feature_vectors import VectorFeature


class GivenVectors(ColumnEncoder):
    """Pre-trained vectors of the items, projected where their width is another one."""

    takes: ClassVar[tuple[str, ...]] = ()  # a feature of its own name, which no column is
    reads_vectors: ClassVar[bool] = True

    encoding: Literal["vectors"] = "vectors"
    vectors: VectorsSpec | None = None

    def build(self, of: EncoderInput) -> VectorFeature:
        """Vectors (N, W) to (N, dim)."""
        from t4r_lab.nn.layers.feature_vectors import VectorFeature

        assert of.vectors is not None
        return VectorFeature(of.vectors.shape[1], of.dim)
