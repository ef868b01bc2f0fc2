"""The bodies of a model: one class per kind with its knobs, and which maskings train it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from t4r_lab.base.errors import InputError
from t4r_lab.spec.knobs import Part, knob


class _Layers(Part):
    d_model: int = knob(64, "width of the body", low=2, high=4096, search=(64, 448), step=64)
    n_layer: int = knob(2, "number of layers", low=1, high=48, search=(1, 4))
    dropout: float = knob(0.1, "dropout inside the body", low=0, high=0.95, search=(0, 0.5))


class _Transformer(_Layers):
    n_head: int = knob(4, "attention heads; must divide d_model", low=1, high=64, search=[1, 2, 4, 8, 16])
    activation: Literal["gelu", "relu", "silu"] = knob("gelu", "activation of the feed-forward layers")
    initializer_range: float = knob(0.01, "standard deviation of the initial weights", low=1e-4, high=1)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> _Transformer:
        if self.d_model % self.n_head:
            fits = [n for n in range(1, self.d_model + 1) if self.d_model % n == 0 and n <= 64]
            raise InputError(f"n_head {self.n_head} does not divide d_model {self.d_model}; choose n_head from {fits}")
        return self


class _Rotary(_Transformer):
    """Positions are rotations of pairs of channels."""

    @model_validator(mode="after")
    def _heads_have_pairs(self) -> _Rotary:
        if self.d_model // self.n_head % 2:
            fits = [n for n in range(1, 65) if self.d_model % (2 * n) == 0]
            remedy = f"choose n_head from {fits}" if fits else "choose an even d_model"
            raise InputError(
                f"n_head {self.n_head} leaves heads {self.d_model // self.n_head} wide, which rotary positions can't "
                f"pair up; {remedy}"
            )
        return self


class XLNet(_Transformer):
    """XLNet: relative positions, either direction of attention."""

    kind: Literal["xlnet"] = "xlnet"


class GPT2(_Transformer):
    """GPT-2: causal attention, absolute positions."""

    kind: Literal["gpt2"] = "gpt2"


class BERT(_Transformer):
    """BERT: attention both ways, absolute positions."""

    kind: Literal["bert"] = "bert"


class RoBERTa(_Transformer):
    """RoBERTa: BERT by another recipe."""

    kind: Literal["roberta"] = "roberta"


class ELECTRA(_Transformer):
    """ELECTRA: BERT's body, made to tell original from replaced."""

    kind: Literal["electra"] = "electra"


class ALBERT(_Transformer):
    """ALBERT: BERT with one set of weights for all layers."""

    kind: Literal["albert"] = "albert"


class DeBERTa(_Transformer):
    """DeBERTa-v2: attention to content and to relative position apart."""

    kind: Literal["deberta-v2"] = "deberta-v2"


class ModernBERT(_Rotary):
    """ModernBERT: attention both ways, rotary positions, gated layers."""

    kind: Literal["modernbert"] = "modernbert"


class Longformer(_Transformer):
    """Longformer: attention both ways to the events nearby."""

    kind: Literal["longformer"] = "longformer"


class Reformer(_Transformer):
    """Reformer: causal, with reversible layers that save memory in training."""

    kind: Literal["reformer"] = "reformer"


class Llama(_Rotary):
    """Llama: causal, rotary positions, gated layers."""

    kind: Literal["llama"] = "llama"
    activation: Literal["gelu", "relu", "silu"] = knob("silu", "activation of the gate")


class Qwen3(_Rotary):
    """Qwen3: Llama with normalized queries and keys."""

    kind: Literal["qwen3"] = "qwen3"
    activation: Literal["gelu", "relu", "silu"] = knob("silu", "activation of the gate")


class SASRec(_Transformer):
    """SASRec: small and quick, either direction of attention."""

    kind: Literal["sasrec"] = "sasrec"


class LiGR(_Transformer):
    """LiGR: SASRec with gated residuals and gated layers."""

    kind: Literal["ligr"] = "ligr"
    activation: Literal["gelu", "relu", "silu"] = knob("silu", "activation of the gate")


class GRU(_Layers):
    """Gated recurrent unit, as in GRU4Rec."""

    kind: Literal["gru"] = "gru"


class LSTM(_Layers):
    """Long short-term memory."""

    kind: Literal["lstm"] = "lstm"


GONE = dict.fromkeys(
    ("transfo-xl", "transfoxl", "transformer-xl"),
    "Transformer-XL left the `transformers` library (deprecated in 4.36, then removed), so it can't be built; use "
    "xlnet, which has its relative positions, or another causal body such as gpt2, llama or sasrec",
)
"""Kinds that people ask for in vain, and what to use instead."""


def _not_gone(content: Any) -> Any:
    kind = content.get("kind") if isinstance(content, dict) else None
    if isinstance(kind, str) and kind.lower() in GONE:
        raise InputError(GONE[kind.lower()])
    return content


BodySpec = Annotated[
    XLNet | GPT2 | BERT | RoBERTa | ELECTRA | ALBERT | DeBERTa | ModernBERT | Longformer | Reformer | Llama | Qwen3
    | SASRec | LiGR | GRU | LSTM,
    Field(discriminator="kind"),
    BeforeValidator(_not_gone),
]  # fmt: skip

CAUSAL, BOTH_WAYS = ("clm",), ("mlm", "rtd")
EITHER = (*CAUSAL, *BOTH_WAYS)

BODY_MASKINGS: dict[str, tuple[str, ...]] = {
    "xlnet": (*EITHER, "plm"),
    "gpt2": CAUSAL,
    "bert": (*BOTH_WAYS, "clm"),
    "roberta": (*BOTH_WAYS, "clm"),
    "electra": (*BOTH_WAYS, "clm"),
    "albert": (*BOTH_WAYS, "clm"),
    "deberta-v2": BOTH_WAYS,
    "modernbert": BOTH_WAYS,
    "longformer": BOTH_WAYS,
    "reformer": CAUSAL,
    "llama": CAUSAL,
    "qwen3": CAUSAL,
    "sasrec": EITHER,
    "ligr": EITHER,
    "gru": CAUSAL,
    "lstm": CAUSAL,
}
"""Which maskings each body supports, the usual one first: read by the validation, the forms, the blocks and the
certificates."""


def pair_refusal(body: str, masking: str, supported: tuple[str, ...] | None = None) -> str | None:
    """Why `masking` can't train `body`, with what can; None where it can. `supported`: of a body outside the table."""
    supported = supported or BODY_MASKINGS[body]
    if masking in supported:
        return None
    others = [name for name, maskings in BODY_MASKINGS.items() if masking in maskings]
    return (
        f"masking {masking!r} is not for body {body!r}: use {' or '.join(supported)} with {body}, "
        f"or {masking} with {', '.join(others)}"
    )


def not_for(body: str) -> dict[str, list[str]]:
    """Maskings that can't train `body`, by what is in their way.

    Examples
    --------
    >>> not_for("modernbert")
    {'it attends both ways': ['clm'], 'only xlnet has its two streams': ['plm']}
    """
    found: dict[str, list[str]] = {}
    causal = set(BODY_MASKINGS[body]) == set(CAUSAL)
    reasons = {"clm": "it attends both ways", "plm": "only xlnet has its two streams"}
    for masking in (m for m in BODY_MASKINGS["xlnet"] if m not in BODY_MASKINGS[body]):  # XLNet takes them all
        found.setdefault("it only looks back" if causal else reasons[masking], []).append(masking)
    return found
