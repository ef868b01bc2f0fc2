"""Modules from one column, or several, to one vector per event."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from t4r_lab.base.errors import InputError
from t4r_lab.nn.kernels.table_rows import rows
from t4r_lab.schema.columns import PADDING


class CategoricalFeature(nn.Module):
    """Embedding of ids, (…, T) or the mean over a list of them, (…, T, K), to (…, T, dim).

    The padding row of `table` is zero and stays so. Several features may hold one table.
    """

    def __init__(self, table: nn.Embedding, multi: bool = False) -> None:
        super().__init__()
        self.table, self.multi = table, multi

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, T), or (B, T, values) of a multi-valued column, to (B, T, dim)."""
        vectors = rows(self.table.weight, ids, self.table.padding_idx)
        if not self.multi:
            return vectors
        count = (ids != PADDING).sum(-1, keepdim=True).clamp(min=1)
        return vectors.sum(-2) / count


class ScalarFeature(nn.Module):
    """A continuous value as one channel, (B, T) to (B, T, 1)."""

    def forward(self, values: Tensor) -> Tensor:
        """Values (B, T) to (B, T, 1)."""
        return values[..., None]


class ProjectedFeature(nn.Module):
    """Continuous columns together through one fully-connected layer, each (B, T), to (B, T, dim)."""

    def __init__(self, dim: int, columns: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(columns, dim)

    def forward(self, *values: Tensor) -> Tensor:
        """One or more columns of values (B, T) to (B, T, dim)."""
        projected: Tensor = self.linear(torch.stack(values, -1))
        return projected


class SoftOneHotFeature(nn.Module):
    """A continuous value as a weighted mean of embeddings, (B, T) to (B, T, dim).

    p = x·W + b, s = softmax(p), g = s·E with W ∈ R^(1×bins), E ∈ R^(bins×dim) (online appendix of
    Transformers4Rec, RecSys '21).
    """

    def __init__(self, bins: int, dim: int, init_std: float = 0.05) -> None:
        super().__init__()
        self.linear = nn.Linear(1, bins)
        self.table = nn.Parameter(torch.empty(bins, dim).normal_(std=init_std))

    def forward(self, values: Tensor) -> Tensor:
        """Values (B, T) to (B, T, dim)."""
        return torch.softmax(self.linear(values[..., None]), -1) @ self.table


class VectorFeature(nn.Module):
    """Pre-trained vectors, (B, T, W) to (B, T, dim): as they are, or through a linear layer to another width."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.project = nn.Identity() if width == dim else nn.Linear(width, dim)

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors (B, T, d_in) to (B, T, dim)."""
        projected: Tensor = self.project(vectors)
        return projected


def embedding_table(size: int, dim: int, init_std: float = 0.05) -> nn.Embedding:
    """Random vectors of ids, (size, dim), that of padding zero."""
    table = nn.Embedding(size, dim, padding_idx=PADDING)
    nn.init.normal_(table.weight, std=init_std)
    with torch.no_grad():
        table.weight[PADDING] = 0.0
    return table


@torch.no_grad()
def start_table(table: nn.Embedding, vectors: Tensor | None, part: bool = False) -> None:
    """Put given vectors, (rows, dim), into a table; None: it waits for weights that are read.

    Parameters
    ----------
    part: they may be those of the first ids alone, as in a table that several columns share.

    Raises
    ------
    InputError
        for vectors of another length or width.
    """
    if vectors is None:
        return
    rows_of_table, dim = table.weight.shape
    size = len(vectors) if part and len(vectors) <= rows_of_table else rows_of_table
    if vectors.shape != (size, dim):
        raise InputError(
            "vectors",
            f"are {tuple(vectors.shape)}, but the embedding is {(size, dim)}",
            f"set dim to {vectors.shape[-1]} and give a row per id, padding first",
        )
    table.weight[1:size] = vectors[1:].to(table.weight.dtype)
