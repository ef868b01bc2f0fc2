"""Fast dropout on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t4r_lab.base.errors import InputError


class Dropout(nn.Dropout):
    """Inverted dropout (Srivastava et al., 2014), any shape in and out.

    On a CPU torch draws a Bernoulli number for each element, which is a fifth of an XLNet step at the sizes of
    sessions. Here each random word serves four elements, 16 bits each, so `p` is rounded to 1/65,536.
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise InputError("dropout", f"{p} is outside of [0, 1]", "use for example 0.1")
        super().__init__(p)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape in and out; in evaluation the input itself."""
        return drop(input, self.p) if self.training else input


def drop(values: Tensor, p: float) -> Tensor:
    """`values` with a share `p` of them zeroed and the others scaled up, as in training."""
    if p == 0:
        return values
    if values.device.type != "cpu" or p == 1:
        return F.dropout(values, p)
    return values * keep_mask(values.shape, p, values.dtype)


def factors(values: Tensor, p: float) -> Tensor:
    """The random factors of `drop`, in the shape of `values`."""
    if values.device.type != "cpu" or p == 1:
        return F.dropout(torch.ones_like(values), p)
    return keep_mask(values.shape, p, values.dtype)


def keep_mask(shape: torch.Size, p: float, dtype: torch.dtype) -> Tensor:
    """0 with probability `p` rounded to 1/65,536, else the inverse of the probability to keep."""
    dropped = min(round(p * 65_536), 65_535)
    words = torch.empty(-(-shape.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    keep = torch.empty(shape.numel(), dtype=dtype)  # written directly: by way of booleans takes ten times as long
    torch.ge(words.view(torch.int16)[: len(keep)], dropped - 32_768, out=keep)
    return keep.mul_(65_536 / (65_536 - dropped)).view(shape)


def replace_dropouts(model: nn.Module) -> None:
    """Replace every ``nn.Dropout`` of a model by `Dropout`."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p))
