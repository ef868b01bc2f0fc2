"""Reformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from t4r_lab.base.errors import InputError
from t4r_lab.base.private import seed_reformer
from t4r_lab.families.bodies.shared.layer_knobs import AttentionLayers
from t4r_lab.families.bodies.shared.library import WORDS, config, library, read_padded
from t4r_lab.families.bodies.shared.row import CAUSAL, Configuration, ForwardPass, Sizes, transformer_body

if TYPE_CHECKING:
    from torch import Tensor, nn


class Reformer(AttentionLayers):
    """Reformer: causal, with reversible layers that save memory in training."""

    kind: Literal["reformer"] = "reformer"


def configuration(s: Sizes) -> object:
    """Reversible layers with exact causal attention (Kitaev et al., 2020).

    A chunk holds a whole session, so nothing is hashed: hashing pays beyond thousands of events, and its random
    buckets would let the rest of a batch change a session's scores.
    """
    return config(
        "ReformerConfig",
        attn_layers=["local"] * s.n_layer,
        hidden_size=s.d_model,
        num_attention_heads=s.n_head,
        attention_head_size=s.d_model // s.n_head,
        feed_forward_size=4 * s.d_model,
        hidden_act=s.activation,
        hidden_dropout_prob=s.dropout,
        local_attention_probs_dropout_prob=s.dropout,
        is_decoder=True,
        local_attn_chunk_length=s.total_seq_length,
        max_position_embeddings=s.total_seq_length,
        axial_pos_embds=False,
        initializer_range=s.initializer_range,
        use_cache=False,
    )


def model(config: Any) -> nn.Module:
    """Reformer repeats its dropout in the backward pass by a seed, which it takes from the clock: here from torch's
    generator, so that a run can be repeated."""
    import torch

    if "lsh" in config.attn_layers:
        raise InputError(
            "body 'reformer'",
            "layers of kind 'lsh' hash by chance, so that padding and the rest of a batch would change "
            "a session's scores",
            "use attn_layers of 'local', as ReformerConfig.build does",
        )
    made: nn.Module = library().ReformerModel(config)

    def draw(layer: Any, name: str) -> None:
        setattr(layer, name, int(torch.randint(2**62, ())))
        torch.manual_seed(getattr(layer, name))

    layers: Any = made.encoder.layers  # type: ignore[union-attr]
    for layer in layers:
        seed_reformer(layer, draw)
    return made


def padded(model: Any, hidden: Tensor, valid: Tensor, causal: bool) -> Tensor:
    """The mean of the two streams of reversible layers."""
    return read_padded(model, hidden, valid, causal).unflatten(-1, (2, -1)).mean(-2)


ReformerConfig = Configuration("ReformerConfig", Reformer, configuration)
BODY = transformer_body(
    ReformerConfig,
    CAUSAL,
    model,
    ForwardPass(padded),
    WORDS,
    # reversible layers go backward by themselves, once for each time that a step reads them, and torch takes the
    # second for a mistake
    one_process="use gpt2 or llama",
)
