"""Hugging Face `transformers`: its configurations and models, and their forward passes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from t4r_lab.families.bodies.shared.row import ForwardPass, Sizes

if TYPE_CHECKING:
    from torch import Tensor, nn

WORDS = ("word_embeddings.weight",)
"""The word embedding of BERT and its descendants."""
OPTIONS = ("reorder_and_upcast_attn", "use_sliding_window", "is_decoder", "add_cross_attention")
"""Under which a model of the library keeps its own attention."""


def library() -> Any:
    """`transformers`, whole on every thread.

    At the end of its import it puts another module in its own place; a thread whose ``import`` waited for that of
    another one is left with the first, which has no classes.
    """
    import transformers  # noqa: F401 (what it binds may be the first one)

    return sys.modules["transformers"]


# ── configurations ──────────────────────────────────────────────────────────────────────────────


def config(name: str, **arguments: object) -> object:
    """A configuration class of `transformers` by name, filled."""
    return getattr(library(), name)(vocab_size=1, pad_token_id=0, bos_token_id=0, eos_token_id=0, **arguments)


def bert_config(name: str, s: Sizes, **more: object) -> object:
    """A configuration with the argument names that BERT's descendants share; `more` adds to them or replaces them."""
    arguments = {
        "hidden_size": s.d_model,
        "num_attention_heads": s.n_head,
        "num_hidden_layers": s.n_layer,
        "intermediate_size": 4 * s.d_model,
        "max_position_embeddings": s.total_seq_length,
        "hidden_act": s.activation,
        "hidden_dropout_prob": s.dropout,
        "attention_probs_dropout_prob": s.dropout,
        "initializer_range": s.initializer_range,
        "type_vocab_size": 1,
    }
    return config(name, **(arguments | more))


def llama_config(name: str, s: Sizes) -> object:
    """A configuration with the argument names that the descendants of Llama share."""
    return config(
        name,
        hidden_size=s.d_model,
        num_attention_heads=s.n_head,
        num_key_value_heads=s.n_head,
        head_dim=s.d_model // s.n_head,
        num_hidden_layers=s.n_layer,
        intermediate_size=s.d_gated,
        max_position_embeddings=s.total_seq_length,
        hidden_act=s.activation,
        attention_dropout=s.dropout,
        initializer_range=s.initializer_range,
        use_cache=False,
    )


# ── models ──────────────────────────────────────────────────────────────────────────────────────


def model(name: str, **options: object) -> Callable[[object], nn.Module]:
    """A model class of `transformers`, imported when a model is made."""

    def make(config: object) -> nn.Module:
        made: nn.Module = getattr(library(), name)(config, **options)
        return made

    return make


def packed_model(name: str, **options: object) -> Callable[[object], nn.Module]:
    """One that leaves attention to a function of ours, so that it can read packed events."""

    def make(config: object) -> nn.Module:
        from t4r_lab.nn.layers.packed_library import use_packed_attention

        made = model(name, **options)(config)
        if _packs(made):
            use_packed_attention(made, library())
        return made

    return make


def _packs(model: Any) -> bool:
    return not any(getattr(model.config, option, False) for option in OPTIONS)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


def last_hidden_state(model: Any, hidden: Tensor, **arguments: Tensor) -> Tensor:
    """(B, T, D) of a model that reads the vectors `hidden` (B, T, D)."""
    out: Tensor = model(inputs_embeds=hidden, **arguments, return_dict=True).last_hidden_state
    return out


def read_padded(model: Any, hidden: Tensor, valid: Tensor, causal: bool) -> Tensor:
    """By a model that is causal, or isn't, by itself."""
    return last_hidden_state(model, hidden, attention_mask=valid.long())


def read_padded_either_way(model: Any, hidden: Tensor, valid: Tensor, causal: bool) -> Tensor:
    """By a model that attends both ways: where causal, by a mask (B, 1, T, T), for padding stands on the right,
    unseen."""
    if not causal:
        return read_padded(model, hidden, valid, causal)
    length = hidden.shape[1]
    earlier = valid.new_ones(length, length).tril()
    return last_hidden_state(model, hidden, attention_mask=earlier.expand(len(hidden), 1, -1, -1))


PADDED = ForwardPass(read_padded)
EITHER_WAY = ForwardPass(read_padded_either_way)


def packed_reading(padded: ForwardPass, first_position: int = 0) -> ForwardPass:
    """Of a `packed_model` that calls its first position so; with its own attention it reads as `padded` does."""

    def packed(model: Any, hidden: Tensor, lengths: Tensor, causal: bool, predict: Tensor | None = None) -> Tensor:
        from t4r_lab.nn.layers.packed_library import read_packed

        return read_packed(model, hidden, lengths, causal, first_position)

    return ForwardPass(padded.padded, _packs, packed)
