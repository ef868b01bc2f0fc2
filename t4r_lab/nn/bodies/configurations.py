"""Configurations of transformer bodies, sized for sessions.

Each has ``build(d_model, n_head, n_layer, total_seq_length, …)``, which returns what `TransformerBlock` takes.
Every argument reaches the model. The item embedding lives in the input block, so the word embedding of a model
is made with the one row it must have.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from t4r_lab.base.errors import InputError
from t4r_lab.spec.body_specs import GONE


@dataclass(frozen=True)
class Sizes:
    """What a user decides about a transformer, whatever its kind."""

    d_model: int
    n_head: int
    n_layer: int
    total_seq_length: int
    dropout: float
    activation: str
    initializer_range: float

    @property
    def d_gated(self) -> int:
        """Width of a gated feed-forward layer with as many weights as a plain one of 4·d_model (Shazeer, 2020)."""
        return 8 * self.d_model // 3


@dataclass(frozen=True)
class AttentionConfig:
    """Configuration of a body of `attention.py`."""

    model_type: str
    sizes: Sizes


@dataclass(frozen=True)
class Configuration:
    """How a kind of body is configured; `make` turns sizes into what its model is made from."""

    make: Callable[[Sizes], Any]

    def build(
        self, d_model: int, n_head: int, n_layer: int, total_seq_length: int,
        dropout: float = 0.1, activation: str = "gelu", initializer_range: float = 0.01,
    ) -> Any:  # fmt: skip
        """A configuration for sessions of up to `total_seq_length` events, every argument passed on.

        `dropout` acts wherever the model has dropout; Llama and Qwen have it on attention weights alone.

        Raises
        ------
        InputError
            for a dropout that is no probability, or heads that don't divide the width.
        """
        if not 0 <= dropout <= 1:
            raise InputError(f"dropout {dropout} must lie in [0, 1], for example 0.1")
        if n_head < 1 or d_model % n_head:
            fits = [n for n in range(1, d_model + 1) if d_model % n == 0]
            raise InputError(f"n_head {n_head} does not divide d_model {d_model}; choose n_head from {fits}")
        return self.make(Sizes(d_model, n_head, n_layer, total_seq_length, dropout, activation, initializer_range))


def library() -> Any:
    """`transformers`, whole on every thread.

    At the end of its import it puts another module in its own place; a thread whose ``import`` waited for that of
    another one is left with the first, which has no classes.
    """
    import transformers  # noqa: F401 (what it binds may be the first one)

    return sys.modules["transformers"]


def _config(name: str, **arguments: Any) -> Any:
    """A configuration class of `transformers` by name, filled."""
    return getattr(library(), name)(vocab_size=1, pad_token_id=0, bos_token_id=0, eos_token_id=0, **arguments)


def _bert_like(name: str, s: Sizes, **more: Any) -> Any:
    """What the descendants of BERT call alike; `more` is added or stands instead."""
    arguments = {
        "hidden_size": s.d_model, "num_attention_heads": s.n_head, "num_hidden_layers": s.n_layer,
        "intermediate_size": 4 * s.d_model, "max_position_embeddings": s.total_seq_length,
        "hidden_act": s.activation, "hidden_dropout_prob": s.dropout, "attention_probs_dropout_prob": s.dropout,
        "initializer_range": s.initializer_range, "type_vocab_size": 1,
    }  # fmt: skip
    return _config(name, **(arguments | more))


def _llama_like(name: str, s: Sizes) -> Any:
    """What the descendants of Llama call alike."""
    return _config(
        name, hidden_size=s.d_model, num_attention_heads=s.n_head, num_key_value_heads=s.n_head,
        head_dim=s.d_model // s.n_head, num_hidden_layers=s.n_layer, intermediate_size=s.d_gated,
        max_position_embeddings=s.total_seq_length, hidden_act=s.activation, attention_dropout=s.dropout,
        initializer_range=s.initializer_range, use_cache=False,
    )  # fmt: skip


def _xlnet(s: Sizes) -> Any:
    """Relative positions, attention in either direction (Yang et al., 2019)."""
    return _config(
        "XLNetConfig", d_model=s.d_model, n_head=s.n_head, n_layer=s.n_layer, d_inner=4 * s.d_model,
        dropout=s.dropout, ff_activation=s.activation, initializer_range=s.initializer_range, mem_len=None,
        use_mems_eval=False, use_mems_train=False, attn_type="bi",
    )  # fmt: skip


def _gpt2(s: Sizes) -> Any:
    """Causal attention, pre-norm (Radford et al., 2019)."""
    return _config(
        "GPT2Config", n_embd=s.d_model, n_head=s.n_head, n_layer=s.n_layer, n_positions=s.total_seq_length,
        resid_pdrop=s.dropout, embd_pdrop=s.dropout, attn_pdrop=s.dropout, activation_function=s.activation,
        initializer_range=s.initializer_range, use_cache=False,
    )  # fmt: skip


def _bert(s: Sizes) -> Any:
    """Attention both ways, post-norm (Devlin et al., 2019)."""
    return _bert_like("BertConfig", s)


def _roberta(s: Sizes) -> Any:
    """BERT whose positions are counted from the padding id on, hence one more (Liu et al., 2019)."""
    return _bert_like("RobertaConfig", s, max_position_embeddings=s.total_seq_length + 1)


def _electra(s: Sizes) -> Any:
    """The body of ELECTRA's discriminator (Clark et al., 2020)."""
    return _bert_like("ElectraConfig", s, embedding_size=s.d_model)


def _albert(s: Sizes) -> Any:
    """BERT whose layers share their weights (Lan et al., 2020)."""
    return _bert_like("AlbertConfig", s, embedding_size=s.d_model)


def _deberta(s: Sizes) -> Any:
    """Attention disentangled into content and relative position (He et al., 2021)."""
    return _bert_like(
        "DebertaV2Config", s, relative_attention=True, max_relative_positions=s.total_seq_length,
        position_biased_input=False, pos_att_type=["p2c", "c2p"], norm_rel_ebd="layer_norm", share_att_key=True,
        type_vocab_size=0,
    )  # fmt: skip


def _modernbert(s: Sizes) -> Any:
    """Rotary positions, gated feed-forward layers, every third layer global (Warner et al., 2024)."""
    return _config(
        "ModernBertConfig", hidden_size=s.d_model, num_attention_heads=s.n_head, num_hidden_layers=s.n_layer,
        intermediate_size=s.d_gated, max_position_embeddings=s.total_seq_length, hidden_activation=s.activation,
        attention_dropout=s.dropout, embedding_dropout=s.dropout, mlp_dropout=s.dropout,
        initializer_range=s.initializer_range, cls_token_id=0, sep_token_id=0,
    )  # fmt: skip


def _longformer(s: Sizes) -> Any:
    """Each event attends to those within 64 places (Beltagy et al., 2020)."""
    window = 2 * min(s.total_seq_length, 64)
    padded = -(-s.total_seq_length // window) * window  # sessions are padded to whole windows, with positions
    return _bert_like(
        "LongformerConfig", s, attention_window=window, max_position_embeddings=padded + 1, sep_token_id=0
    )  # fmt: skip


def _reformer(s: Sizes) -> Any:
    """Reversible layers with exact causal attention (Kitaev et al., 2020).

    A chunk holds a whole session, so nothing is hashed: hashing pays beyond thousands of events, and its random
    buckets would let the rest of a batch change a session's scores.
    """
    return _config(
        "ReformerConfig", attn_layers=["local"] * s.n_layer, hidden_size=s.d_model, num_attention_heads=s.n_head,
        attention_head_size=s.d_model // s.n_head, feed_forward_size=4 * s.d_model, hidden_act=s.activation,
        hidden_dropout_prob=s.dropout, local_attention_probs_dropout_prob=s.dropout, is_decoder=True,
        local_attn_chunk_length=s.total_seq_length, max_position_embeddings=s.total_seq_length,
        axial_pos_embds=False, initializer_range=s.initializer_range, use_cache=False,
    )  # fmt: skip


def _llama(s: Sizes) -> Any:
    """Causal, rotary positions, gated feed-forward layers (Touvron et al., 2023)."""
    return _llama_like("LlamaConfig", s)


def _qwen3(s: Sizes) -> Any:
    """Llama with normalized queries and keys (Yang et al., 2025)."""
    return _llama_like("Qwen3Config", s)


def _transfo_xl(s: Sizes) -> Any:
    """Transformer-XL (Dai et al., 2019) left `transformers`."""
    raise InputError(GONE["transfo-xl"])


AlbertConfig = Configuration(_albert)
BertConfig = Configuration(_bert)
DebertaV2Config = Configuration(_deberta)
ElectraConfig = Configuration(_electra)
GPT2Config = Configuration(_gpt2)
LiGRConfig = Configuration(partial(AttentionConfig, "ligr"))
LlamaConfig = Configuration(_llama)
LongformerConfig = Configuration(_longformer)
ModernBertConfig = Configuration(_modernbert)
Qwen3Config = Configuration(_qwen3)
ReformerConfig = Configuration(_reformer)
RobertaConfig = Configuration(_roberta)
SASRecConfig = Configuration(partial(AttentionConfig, "sasrec"))
TransfoXLConfig = Configuration(_transfo_xl)
XLNetConfig = Configuration(_xlnet)
