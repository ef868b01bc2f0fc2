"""Recurrent layers on packed events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from t4r_lab.nn.kernels.dropout import Dropout

if TYPE_CHECKING:
    from t4r_lab.nn.layers.flow import Masked


class RNNBlock(nn.Module):
    """GRU or LSTM over (B, T, d_in), (B, T, d_model) out, with dropout between layers and after the last.

    Events alone are read, in `torch`'s packed form; the output is zero at padding.
    """

    maskings = ("clm",)

    def __init__(self, kind: str, d_in: int, d_model: int, n_layer: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        cell = {"gru": nn.GRU, "lstm": nn.LSTM}[kind]
        self.kind = kind
        self.rnn = cell(d_in, d_model, n_layer, batch_first=True, dropout=dropout if n_layer > 1 else 0.0)
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor, masked: Masked, last: bool = False) -> Tensor:
        """(B, T, d_model); the same for the `last` block of a body."""
        lengths = masked.batch.lengths.clamp(min=1).cpu()  # an empty session counts as one of padding
        packed = pack_padded_sequence(hidden, lengths, batch_first=True, enforce_sorted=False)
        seen = self.rnn(packed)[0]
        seen = seen._replace(data=self.dropout(seen.data))
        out: Tensor = pad_packed_sequence(seen, batch_first=True, total_length=hidden.shape[1])[0]
        return out
