"""Transformers by their configuration: made, and read, by the row of their kind or as any model of the library."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from t4r_lab.base.errors import InputError
from t4r_lab.families.bodies.body_table import BODIES, BODY_MASKINGS, pair_refusal
from t4r_lab.families.bodies.shared.library import PADDED
from t4r_lab.families.bodies.shared.row import ForwardPass, Transformer
from t4r_lab.nn.kernels.dropout import replace_dropouts
from t4r_lab.nn.layers.flow import positions

TRANSFORMERS: dict[str, Transformer] = {
    kind: body.transformer for kind, body in BODIES.items() if body.transformer is not None
}
"""Kind → how its model is made and read."""


def make_transformer(config: Any, masking: str | None = None) -> tuple[nn.Module, tuple[str, ...]]:
    """The model of a configuration and the maskings it supports, `masking` among them.

    Its unused parameters are frozen, so that several processes don't wait for their gradients.

    Raises
    ------
    InputError
        if `masking` is not for this body, or a model outside the table can't read sessions.
    """
    name = getattr(config, "model_type", None)
    if name in TRANSFORMERS:
        _refuse(name, masking, BODY_MASKINGS[name])
        model = TRANSFORMERS[name].model(config)
        for path, parameter in model.named_parameters():
            if path.endswith(TRANSFORMERS[name].unused):
                parameter.requires_grad_(False)
        replace_dropouts(model)
        return model, BODY_MASKINGS[name]
    if not hasattr(config, "to_dict") or name is None:
        raise InputError(
            "config",
            f"{type(config).__name__} is not a configuration of a transformer",
            "give what XLNetConfig.build(…) or another configuration's build returns, or a "
            "configuration object of Hugging Face transformers",
        )
    from t4r_lab.nn.bodies.foreign import make_foreign

    model, maskings = make_foreign(config)
    _refuse(name, masking, maskings)
    replace_dropouts(model)
    return model, maskings


def _refuse(kind: str, masking: str | None, supported: tuple[str, ...]) -> None:
    if masking is not None and (refusal := pair_refusal(kind, masking, supported)):
        raise refusal


def reads_packed(model: nn.Module, kind: str) -> bool:
    """True if the model reads packed events, so that sessions need no grouping by length."""
    return _reading(kind).packs(model)


def sequence_output(
    model: nn.Module, kind: str, hidden: Tensor, lengths: Tensor, causal: bool, predict: Tensor | None = None
) -> Tensor:
    """Run the model over `hidden` (B, T, D) with padding masked; (B, T, D) out.

    `lengths` (B,) counts real events. Given `predict` (B, T), the output is undefined where it is False.
    """
    reading = _reading(kind)
    if reading.packed is not None and reading.packs(model):
        return reading.packed(model, hidden, lengths, causal, predict)
    return reading.padded(model, hidden, positions(hidden[..., 0]) < lengths[:, None], causal)


def _reading(kind: str) -> ForwardPass:
    return TRANSFORMERS[kind].reading if kind in TRANSFORMERS else PADDED
