"""Transformer bodies by kind: configuration, model and what of it stays unused, behind one adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from t4r_lab.base.errors import InputError
from t4r_lab.base.private import seed_reformer
from t4r_lab.nn.bodies import configurations as c
from t4r_lab.nn.bodies.attention import AttentionStack, LiGRLayer, SASRecLayer
from t4r_lab.nn.bodies.xlnet import content_stream, shift
from t4r_lab.nn.flow import positions
from t4r_lab.nn.kernels.dropout import replace_dropouts
from t4r_lab.nn.kernels.packed_attention import attend
from t4r_lab.nn.kernels.packing import Packing
from t4r_lab.spec.body_specs import BODY_MASKINGS, pair_refusal


class Kind(NamedTuple):
    """A row of the table."""

    config: c.Configuration
    model: Callable[[Any], nn.Module]
    unused: tuple[str, ...] = ()
    """ends of the names of parameters that get no gradient: the word embedding gives way to the input block"""


def _named(name: str, **options: Any) -> Callable[[Any], nn.Module]:
    """A model class of `transformers`, imported when a model is made."""

    def make(config: Any) -> nn.Module:
        model: nn.Module = getattr(c.library(), name)(config, **options)
        return model

    return make


def _reformer(config: Any) -> Any:
    """Reformer repeats its dropout in the backward pass by a seed, which it takes from the clock: here from torch's
    generator, so that a run can be repeated."""
    if "lsh" in config.attn_layers:
        raise InputError(
            "body 'reformer': layers of kind 'lsh' hash by chance, so that padding and the rest of a batch would "
            "change a session's scores; use attn_layers of 'local', as ReformerConfig.build does"
        )
    model: Any = _named("ReformerModel")(config)

    def draw(layer: Any, name: str) -> None:
        setattr(layer, name, int(torch.randint(2**62, ())))
        torch.manual_seed(getattr(layer, name))

    for layer in model.encoder.layers:
        seed_reformer(layer, draw)
    return model


def _xlnet(config: Any) -> nn.Module:
    """XLNet, its relative positions encoded once for all sessions of a batch, not again for each: the same scores,
    and dropout drops a position's channel in all of them."""
    model: Any = _named("XLNetModel")(config)
    encode = model.relative_positional_encoding
    if config.bi_data:  # two directions of the data share a batch, each with positions of its own
        return cast(nn.Module, model)
    model.relative_positional_encoding = lambda qlen, klen, bsz, device: encode(qlen, klen, device=device)
    for layer in model.layer:
        layer.rel_attn.rel_shift_bnij = shift
    return model


WORDS = ("word_embeddings.weight",)
GLOBAL = tuple(f"{name}_global.{part}" for name in ("query", "key", "value") for part in ("weight", "bias"))

TRANSFORMERS: dict[str, Kind] = {
    # mask_emb and seg_embed serve permutation training and segments, and r_s_bias goes with segments
    "xlnet": Kind(c.XLNetConfig, _xlnet, ("word_embedding.weight", "mask_emb", "seg_embed", "r_s_bias")),
    "gpt2": Kind(c.GPT2Config, _named("GPT2Model"), ("wte.weight",)),
    "bert": Kind(c.BertConfig, _named("BertModel", add_pooling_layer=False), WORDS),
    "roberta": Kind(c.RobertaConfig, _named("RobertaModel", add_pooling_layer=False), WORDS),
    "electra": Kind(c.ElectraConfig, _named("ElectraModel"), WORDS),
    "albert": Kind(c.AlbertConfig, _named("AlbertModel", add_pooling_layer=False), WORDS),
    "deberta-v2": Kind(c.DebertaV2Config, _named("DebertaV2Model"), WORDS),
    "modernbert": Kind(c.ModernBertConfig, _named("ModernBertModel"), ("tok_embeddings.weight",)),
    "longformer": Kind(c.LongformerConfig, _named("LongformerModel", add_pooling_layer=False), (*WORDS, *GLOBAL)),
    "reformer": Kind(c.ReformerConfig, _reformer, WORDS),
    "llama": Kind(c.LlamaConfig, _named("LlamaModel"), ("embed_tokens.weight",)),
    "qwen3": Kind(c.Qwen3Config, _named("Qwen3Model"), ("embed_tokens.weight",)),
    "sasrec": Kind(c.SASRecConfig, lambda config: AttentionStack(config.sizes, SASRecLayer)),
    "ligr": Kind(c.LiGRConfig, lambda config: AttentionStack(config.sizes, LiGRLayer)),
}


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
        if _can_pack(config):
            _register_packed()
            model.set_attn_implementation(PACKED)  # type: ignore[operator]
        return model, BODY_MASKINGS[name]
    if not hasattr(config, "to_dict") or name is None:
        raise InputError(
            f"{type(config).__name__} is no configuration of a transformer; give what XLNetConfig.build(…) or another "
            "configuration's build returns, or a configuration object of Hugging Face transformers"
        )
    from t4r_lab.nn.bodies.foreign import make_foreign

    model, maskings = make_foreign(config)
    _refuse(name, masking, maskings)
    replace_dropouts(model)
    return model, maskings


def _refuse(kind: str, masking: str | None, supported: tuple[str, ...]) -> None:
    if masking is not None and (refusal := pair_refusal(kind, masking, supported)):
        raise InputError(refusal)


# ── Packed events ───────────────────────────────────────────────────────────────────────────────

PACKED = "packed"
"""Name of `_packed_attention` among the attentions of `transformers`."""
FIRST_POSITION = {"gpt2": 0, "bert": 0, "electra": 0, "roberta": 1, "llama": 0, "qwen3": 0}
"""Bodies of `transformers` that leave attention to a function of ours, and the number of their first position."""


def reads_packed(model: nn.Module) -> bool:
    """Whether the model reads real events alone, so that nothing is gained by grouping sessions of like length."""
    config = getattr(model, "config", None)
    if config is None:
        return isinstance(model, AttentionStack)
    if config.model_type == "xlnet":
        return config.attn_type == "bi" and not config.bi_data
    return _can_pack(config)


def _can_pack(config: Any) -> bool:
    """A body of the table whose attention is the plain one: other options of `transformers` keep its own."""
    options = ("reorder_and_upcast_attn", "use_sliding_window", "is_decoder", "add_cross_attention")
    return config.model_type in FIRST_POSITION and not any(getattr(config, option, False) for option in options)


def _register_packed() -> None:
    c.library().AttentionInterface.register(PACKED, _packed_attention)


def _packed_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, *, packing: Packing,
    causal: bool, scaling: float | None = None, dropout: float = 0.0, **others: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention of packed events, (1, H, N, E) each, as `transformers` calls it; `others` is what it tells all of them.

    Returns (1, N, H, E).
    """
    heads = query.shape[1]
    key, value = (part.repeat_interleave(heads // part.shape[1], 1) for part in (key, value))
    read = torch.stack([part[0].transpose(0, 1) for part in (query, key, value)], 2)
    return attend(read, packing, causal, scaling, dropout).unflatten(1, (heads, -1))[None], None


def sequence_output(
    model: nn.Module, kind: str, hidden: Tensor, lengths: Tensor, causal: bool, predict: Tensor | None = None
) -> Tensor:
    """Run the model over `hidden` (B, T, D) with padding masked; (B, T, D) out.

    `lengths` (B,) counts real events. Given `predict` (B, T), what stands where it is False means nothing.
    """
    if isinstance(model, AttentionStack):
        stacked: Tensor = model(hidden, lengths, causal, predict)
        return stacked
    if reads_packed(model):
        if kind == "xlnet":
            return content_stream(model, hidden, lengths, causal, predict)
        config: Any = model.config
        packing = Packing.of(lengths, hidden.shape[1], config.num_attention_heads)
        place = packing.position[None] + FIRST_POSITION[kind]
        packed = model(inputs_embeds=packing.pack(hidden)[None], position_ids=place, packing=packing, causal=causal)
        return packing.pad(packed.last_hidden_state[0])
    return _padded_output(model, kind, hidden, positions(hidden[..., 0]) < lengths[:, None], causal)


def _padded_output(model: nn.Module, kind: str, hidden: Tensor, valid: Tensor, causal: bool) -> Tensor:
    """Of a model with an attention of its own."""
    arguments: dict[str, Any] = {
        "inputs_embeds": hidden,
        "attention_mask": valid.to(hidden.dtype if kind == "xlnet" else torch.long),
    }
    length = hidden.shape[1]
    if kind == "xlnet" and causal:
        later = torch.ones(length, length, device=hidden.device, dtype=hidden.dtype).triu(1)
        arguments["perm_mask"] = later.expand(len(hidden), -1, -1)  # 1: i may not attend to j
    elif causal and "mlm" in BODY_MASKINGS.get(kind, ()):
        earlier = torch.ones(length, length, device=hidden.device, dtype=torch.bool).tril()
        arguments["attention_mask"] = earlier.expand(len(hidden), 1, -1, -1)  # padding stands on the right, unseen
    out: Tensor = model(**arguments, return_dict=True).last_hidden_state
    if kind == "reformer":
        out = out.unflatten(-1, (2, -1)).mean(-2)  # the two streams of reversible layers
    return out
