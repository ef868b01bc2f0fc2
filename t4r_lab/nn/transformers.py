"""Transformer bodies: Hugging Face models behind one adapter.

A configuration class here has only ``build``, which returns a configuration of `transformers` sized for
sessions. Every argument reaches the model. The item embedding lives in the input block, so the models get
``inputs_embeds`` and their own word embedding is frozen at one unused row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from t4r_lab.nn.dropout import replace_dropouts


class XLNetConfig:
    """XLNet (Yang et al., 2019): relative positions, attention in either direction."""

    @staticmethod
    def build(
        d_model: int,
        n_head: int,
        n_layer: int,
        total_seq_length: int,
        dropout: float = 0.1,
        activation: str = "gelu",
        initializer_range: float = 0.02,
    ) -> Any:
        from transformers import XLNetConfig as Config

        del total_seq_length  # relative positions have no longest length
        return Config(
            vocab_size=1, d_model=d_model, n_head=n_head, n_layer=n_layer, d_inner=4 * d_model, dropout=dropout,
            ff_activation=activation, initializer_range=initializer_range, mem_len=None, use_mems_eval=False,
            use_mems_train=False, attn_type="bi", pad_token_id=0, bos_token_id=0, eos_token_id=0,
        )  # fmt: skip


class GPT2Config:
    """GPT-2 (Radford et al., 2019): causal attention, pre-norm."""

    @staticmethod
    def build(
        d_model: int,
        n_head: int,
        n_layer: int,
        total_seq_length: int,
        dropout: float = 0.1,
        activation: str = "gelu",
        initializer_range: float = 0.02,
    ) -> Any:
        from transformers import GPT2Config as Config

        return Config(
            vocab_size=1, n_embd=d_model, n_head=n_head, n_layer=n_layer, n_positions=total_seq_length,
            resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout, activation_function=activation,
            initializer_range=initializer_range, use_cache=False, bos_token_id=0, eos_token_id=0,
        )  # fmt: skip


class BertConfig:
    """BERT (Devlin et al., 2019): attention both ways, post-norm."""

    @staticmethod
    def build(
        d_model: int,
        n_head: int,
        n_layer: int,
        total_seq_length: int,
        dropout: float = 0.1,
        activation: str = "gelu",
        initializer_range: float = 0.02,
    ) -> Any:
        from transformers import BertConfig as Config

        return Config(
            vocab_size=1, hidden_size=d_model, num_attention_heads=n_head, num_hidden_layers=n_layer,
            intermediate_size=4 * d_model, max_position_embeddings=total_seq_length, hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout, hidden_act=activation, initializer_range=initializer_range,
            type_vocab_size=1, pad_token_id=0,
        )  # fmt: skip


TRANSFORMERS: dict[str, Any] = {"xlnet": XLNetConfig, "gpt2": GPT2Config, "bert": BertConfig}


def make_transformer(config: Any) -> nn.Module:
    """The model of a configuration, its unused parameters frozen so that they get no gradient."""
    from transformers import BertModel, GPT2Model, XLNetModel

    # The word embedding gives way to the input block; in XLNet mask_emb and seg_embed serve permutation
    # training and segments, and r_s_bias goes with segments.
    model: nn.Module
    unused: tuple[str, ...]
    if config.model_type == "bert":
        model, unused = BertModel(config, add_pooling_layer=False), ("word_embeddings.weight",)
    elif config.model_type == "gpt2":
        model, unused = GPT2Model(config), ("wte.weight",)
    else:
        model, unused = XLNetModel(config), ("word_embedding.weight", "mask_emb", "seg_embed", "r_s_bias")
    for name, parameter in model.named_parameters():
        if name.endswith(unused):
            parameter.requires_grad_(False)
    replace_dropouts(model)
    return model


def sequence_output(model: nn.Module, kind: str, hidden: Tensor, valid: Tensor, causal: bool) -> Tensor:
    """Run the model over `hidden` (B, T, D) with padding masked; (B, T, D) out."""
    arguments: dict[str, Any] = {
        "inputs_embeds": hidden,
        "attention_mask": valid.to(hidden.dtype if kind == "xlnet" else torch.long),
    }
    if kind == "xlnet" and causal:
        length = hidden.shape[1]
        later = torch.ones(length, length, device=hidden.device, dtype=hidden.dtype).triu(1)
        arguments["perm_mask"] = later.expand(len(hidden), -1, -1)  # 1: i may not attend to j
    out: Tensor = model(**arguments, return_dict=True).last_hidden_state
    return out
