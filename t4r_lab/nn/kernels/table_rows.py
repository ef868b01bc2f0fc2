"""Rows of tables: a step pays for the rows that it reads of a large one, not for all of them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

LARGE = 100_000
"""Rows above which a table's gradient is sparse: a smaller one is soon updated whole, as AdamW means it."""


def is_large(table: Tensor) -> bool:
    """Whether the gradient of what is read of `table` is sparse."""
    return len(table) > LARGE


def rows(table: Tensor, ids: Tensor, padding: int | None = None) -> Tensor:
    """The rows `ids` (…) of `table` (R, D), (…, D); row `padding` gets no gradient."""
    return F.embedding(ids, table, padding, sparse=is_large(table))


def entries(vector: Tensor, ids: Tensor) -> Tensor:
    """The entries `ids` (N,) of `vector` (R,), (N,)."""
    return vector.gather(0, ids, sparse_grad=is_large(vector))
