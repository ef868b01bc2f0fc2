"""Rows of tables: a step on a large table costs time for the rows that it reads, not for all."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

LARGE = 100_000
"""Rows above which a table's gradient is sparse: updating all of a smaller table, as AdamW does, is fast."""


def is_large(table: Tensor) -> bool:
    """True if the gradient of `table` is sparse."""
    return len(table) > LARGE


def rows(table: Tensor, ids: Tensor, padding: int | None = None) -> Tensor:
    """The rows `ids` (…) of `table` (R, D), (…, D); row `padding` gets no gradient."""
    return F.embedding(ids, table, padding, sparse=is_large(table))


def entries(vector: Tensor, ids: Tensor) -> Tensor:
    """The entries `ids` (N,) of `vector` (R,), (N,)."""
    return vector.gather(0, ids, sparse_grad=is_large(vector))
