"""Embedding of ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from t4r_lab.families.encoders.column_encoder import ColumnEncoder, EncoderInput, default_dim
from t4r_lab.families.encoders.vectors_spec import VectorsSpec
from t4r_lab.families.knobs import knob

if TYPE_CHECKING:
    from t4r_lab.nn.layers.feature_vectors import CategoricalFeature


class Embedding(ColumnEncoder):
    """A trained vector for each id, the mean over a list of them."""

    takes: ClassVar[tuple[str, ...]] = ("categorical",)

    encoding: Literal["embedding"] = "embedding"
    table: str | None = knob(
        None, "categorical: columns with the same table name share the embedding; empty: a separate table"
    )
    vectors: VectorsSpec | None = Field(
        None, description="of a column: where its embedding starts; under a new name: pre-trained vectors of the items"
    )

    def default_width(self, size: int) -> int:
        """From the number of ids."""
        return default_dim(size)

    def build(self, of: EncoderInput) -> CategoricalFeature:
        """Rows of a table, its own or that of `of.sharing`, random or given."""
        from t4r_lab.nn.layers.feature_vectors import CategoricalFeature, embedding_table, start_table

        if isinstance(of.sharing, CategoricalFeature):
            table = of.sharing.table
        else:
            table = embedding_table(of.size, of.dim, of.init_std)
        if self.vectors is not None:
            start_table(table, of.vectors, part=self.table is not None)
            table.weight.requires_grad_(self.vectors.trainable)
        return CategoricalFeature(table, of.multi)
