"""Common code of the bodies that run `nn/layers/attention_stack.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from t4r_lab.families.bodies.shared.row import ForwardPass, Sizes

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class AttentionConfig:
    """Configuration of a stack of attention layers."""

    model_type: str
    sizes: Sizes


def _packed(model: nn.Module, hidden: Tensor, lengths: Tensor, causal: bool, predict: Tensor | None = None) -> Tensor:
    out: Tensor = model(hidden, lengths, causal, predict)
    return out


def _padded(model: nn.Module, hidden: Tensor, valid: Tensor, causal: bool) -> Tensor:
    return _packed(model, hidden, valid.sum(1), causal)


STACKED = ForwardPass(_padded, lambda model: True, _packed)
