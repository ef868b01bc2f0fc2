"""Any configuration of `transformers` as a body.

A model without a row in the table of bodies is run once on a few random events, to test that it reads vectors and
masks padding, and if it attends to later events.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from t4r_lab.base.errors import InputError, first_line
from t4r_lab.families.bodies.shared.library import library
from t4r_lab.families.bodies.shared.row import BOTH_WAYS, CAUSAL

EVENTS, TOLERANCE = 6, 1e-5
REMEDY = "pass the configuration of a text encoder or decoder, or put the module itself into SequentialBlock"


def make_foreign(config: Any) -> tuple[nn.Module, tuple[str, ...]]:
    """The base model of `config` and the maskings it supports: ``clm`` if it is causal, else ``mlm``.

    Parameters that get no gradient, the word embedding first of all, are frozen; configure it with
    ``vocab_size=1`` where the model allows, since it is not used.

    Raises
    ------
    InputError
        if the model can't map (B, T, D) to one vector per event with padding masked.
    """
    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(f"body {kind!r}", "it is an encoder with a decoder, a session is one sequence", REMEDY)
    try:
        model: nn.Module = library().AutoModel.from_config(config)
    except (ValueError, TypeError) as error:
        raise InputError(f"body {kind!r}", f"it has no base model ({first_line(error)})", REMEDY) from None
    for argument, purpose in (("inputs_embeds", "events come as vectors"), ("attention_mask", "padding is masked")):
        if argument not in inspect.signature(model.forward).parameters:
            raise InputError(f"body {kind!r}", f"{type(model).__name__} takes no {argument} ({purpose})", REMEDY)
    try:
        causal = _is_causal(model, kind)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"body {kind!r}", f"{type(model).__name__} can't read {EVENTS} events ({first_line(error)})", REMEDY
        ) from None
    return model, CAUSAL if causal else BOTH_WAYS


def _is_causal(model: Any, kind: str) -> bool:
    """True if the model is causal. Freezes parameters without a gradient; InputError if it can't be a body."""
    name = type(model).__name__
    width = model.get_input_embeddings().embedding_dim
    events = torch.randn(2, EVENTS, width, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(2, EVENTS, dtype=torch.long)
    training = model.training
    model.eval()

    def read(hidden: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = model(inputs_embeds=hidden, attention_mask=mask, return_dict=True).last_hidden_state
        return out

    first = read(events, valid)
    if first.shape[:2] != events.shape[:2]:
        shapes = f"{tuple(first.shape)} for {tuple(events.shape)}"
        raise InputError(f"body {kind!r}", f"{name} gives {shapes}, not one vector per event", REMEDY)
    first.square().sum().backward()
    for parameter in model.parameters():
        if parameter.grad is None:
            parameter.requires_grad_(False)
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        padding = torch.zeros(2, 2, dtype=torch.long)
        wider = read(torch.cat([events, 10 * events[:, :2]], 1), torch.cat([valid, padding], 1))[:, :EVENTS]
        if (wider - first).abs().max() > TOLERANCE:
            raise InputError(f"body {kind!r}", f"{name} lets padding change what it gives for events", REMEDY)
        changed = torch.cat([events[:, :-1], 10 * events[:, :1]], 1)
        difference = (read(changed, valid) - first)[:, :-1].abs().max()
    model.train(training)
    return bool(difference <= TOLERANCE)
