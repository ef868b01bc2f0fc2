"""XLNet's two-stream attention, whose query stream replaces the usual output in permutation training."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def query_stream(model: nn.Module, hidden: Tensor, valid: Tensor, order: Tensor, predict: Tensor) -> Tensor:
    """The query stream g of an ``XLNetModel`` at the True positions of `predict`, (B, T, D), zero elsewhere.

    The content stream h reads `hidden` (B, T, D): an event sees itself and the events before it in `order`. The
    query stream starts from the model's learned ``mask_emb`` and sees only the events before, so an event is
    predicted from its position and not from itself (Yang et al., 2019, section 2.3). Its cost is proportional to
    the most targets of a session, not to T.

    Parameters
    ----------
    valid, predict: (B, T) True at real and at predicted events.
    order: (B, T) as in `Masked`.
    """
    most = max(int(predict.sum(1).max()), 1)
    where = predict.int().argsort(dim=1, descending=True, stable=True)[:, :most]  # (B, K), targets first
    out: Tensor = model(
        inputs_embeds=hidden,
        attention_mask=valid.to(hidden.dtype),
        perm_mask=unseen(order).to(hidden.dtype),
        target_mapping=F.one_hot(where, hidden.shape[1]).to(hidden.dtype),
        return_dict=True,
    ).last_hidden_state  # (B, K, D)
    out = out * predict.gather(1, where)[..., None]
    return out.new_zeros(hidden.shape).scatter(1, where[..., None].expand_as(out), out)


def unseen(order: Tensor) -> Tensor:
    """(B, T, T) True where the event of the row may not attend to that of the column."""
    row, column = order[:, :, None], order[:, None, :]
    return (column > 0) & (column >= row)
