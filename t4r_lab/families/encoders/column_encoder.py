"""The encoder of a column: knobs, the columns that it takes, and the module that it builds."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from t4r_lab.families.custom import Member
from t4r_lab.families.knobs import knob

if TYPE_CHECKING:
    from torch import Tensor, nn

EMBEDDING_MULTIPLIER = 2.0
USUAL_SIZE = 1000
"""The number of ids by which a feature that has none gets its width."""


def default_dim(size: int, multiplier: float = EMBEDDING_MULTIPLIER) -> int:
    """Embedding width from cardinality, ``ceil(size^0.25 · multiplier)`` (as in Transformers4Rec).

    >>> default_dim(10_000)
    20
    """
    root: float = size**0.25
    return math.ceil(root * multiplier)


class EncoderInput(NamedTuple):
    """Everything that an encoder needs to build its module."""

    dim: int
    """width of its vectors"""
    columns: int = 1
    """how many it reads together"""
    size: int = 0
    """of a categorical column: its ids are 0 … size-1, 0 padding"""
    multi: bool = False
    """of a categorical column: whether an event has a list of ids, padded with 0"""
    init_std: float = 0.05
    """standard deviation of initial embeddings"""
    vectors: Tensor | None = None
    """the vectors that the feature names, (rows, W)"""
    sharing: nn.Module | None = None
    """the module of another feature of the same table"""


class ColumnEncoder(Member):
    """How a column becomes a vector for each event."""

    tag: ClassVar[str] = "encoding"
    needs: ClassVar[tuple[str, ...]] = ("takes",)
    takes: ClassVar[tuple[str, ...]]
    """kinds of the columns that it encodes: ``categorical``, ``continuous``"""
    fixed_dim: ClassVar[int | None] = None
    """the width of its vectors, if it is not chosen; layer norm leaves such out"""
    summed_as: ClassVar[str | None] = None
    """the encoding that takes its place where vectors of one width are added"""
    reads_vectors: ClassVar[bool] = False
    """whether given vectors are what it reads, rather than where its table starts"""

    if TYPE_CHECKING:
        encoding: str  # each encoder gives its own

    dim: int | None = knob(
        None, "width of the feature; empty: from its cardinality, the item as wide as the body", low=1, high=2048
    )

    def default_width(self, size: int) -> int:
        """Width where none is given; `size` is the number of ids, 0 of numbers."""
        return default_dim(USUAL_SIZE)

    @abstractmethod
    def build(self, of: EncoderInput) -> nn.Module:
        """The module from the column to vectors, (N, dim), of the real events of a batch.

        It reads ids (N,), or (N, K) of a column of lists, or numbers (N,).
        """
