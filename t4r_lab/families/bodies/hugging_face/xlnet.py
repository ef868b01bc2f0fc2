"""XLNet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from t4r_lab.families.bodies.shared.layer_knobs import AttentionLayers
from t4r_lab.families.bodies.shared.library import config, last_hidden_state, library
from t4r_lab.families.bodies.shared.row import EITHER, Configuration, ForwardPass, Sizes, transformer_body

if TYPE_CHECKING:
    from torch import Tensor, nn


class XLNet(AttentionLayers):
    """XLNet: relative positions, either direction of attention."""

    kind: Literal["xlnet"] = "xlnet"


def configuration(s: Sizes) -> object:
    """Relative positions, attention in either direction, causal by a permutation mask (Yang et al., 2019)."""
    return config(
        "XLNetConfig",
        d_model=s.d_model,
        n_head=s.n_head,
        n_layer=s.n_layer,
        d_inner=4 * s.d_model,
        dropout=s.dropout,
        ff_activation=s.activation,
        initializer_range=s.initializer_range,
        mem_len=None,
        use_mems_eval=False,
        use_mems_train=False,
        attn_type="bi",
    )


def model(config: Any) -> nn.Module:
    """XLNet, its relative positions encoded once for all sessions of a batch, not again for each: the same scores,
    and dropout drops a position's channel in all of them."""
    from t4r_lab.nn.layers.content_stream import shift

    made: Any = library().XLNetModel(config)
    if not config.bi_data:  # else two directions of the data share a batch, each with positions of its own
        encode = made.relative_positional_encoding
        made.relative_positional_encoding = lambda qlen, klen, bsz, device: encode(qlen, klen, device=device)
        for layer in made.layer:
            layer.rel_attn.rel_shift_bnij = shift
    xlnet: nn.Module = made
    return xlnet


def packs(model: Any) -> bool:
    """True if it attends both ways to one direction of the data."""
    return model.config.attn_type == "bi" and not model.config.bi_data


def packed(model: Any, hidden: Tensor, lengths: Tensor, causal: bool, predict: Tensor | None = None) -> Tensor:
    """Packed events through the content stream."""
    from t4r_lab.nn.layers.content_stream import content_stream

    return content_stream(model, hidden, lengths, causal, predict)


def padded(model: Any, hidden: Tensor, valid: Tensor, causal: bool) -> Tensor:
    """The model's own forward."""
    masks = {"attention_mask": valid.to(hidden.dtype)}
    if causal:
        length = hidden.shape[1]
        later = hidden.new_ones(length, length).triu(1)
        masks["perm_mask"] = later.expand(len(hidden), -1, -1)  # 1: i may not attend to j
    return last_hidden_state(model, hidden, **masks)


XLNetConfig = Configuration("XLNetConfig", XLNet, configuration)
BODY = transformer_body(
    XLNetConfig,
    (*EITHER, "plm"),
    model,
    ForwardPass(padded, packs, packed),
    # mask_emb and seg_embed serve permutation training and segments, and r_s_bias goes with segments
    ("word_embedding.weight", "mask_emb", "seg_embed", "r_s_bias"),
)
